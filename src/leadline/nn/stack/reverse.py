"""The input of a layer from its output, where its parts can be undone: orthogonal weights, norm, and two lines."""

from collections.abc import Sequence

import torch
from torch import Tensor

from leadline._core.errors import UsageError
from leadline.nn.stack.activations import Pair
from leadline.nn.stack.arena import Arena
from leadline.nn.stack.norms import Parts

_FAR = 1e-2  # relative; gradients at an input that is further off are not those that were asked for


class Reverse:
    r"""Undoes $y = \varphi(A(z - \mu) + b)$ with $z = W h$ and $W^{-1} = W^T$.

    Args:
        weights: Those of the layers, each ``(width, width)``.
        scale: Of the layers, or ``None``.
        shift: Likewise.
        pairs: The activation of each layer, two lines that rise.
    """

    def __init__(self, weights: Sequence[Tensor], scale: Parts, shift: Parts, pairs: Sequence[Pair]):
        self._weights, self._scale, self._shift = weights, scale, shift
        self._bends = [pair.bend for pair in pairs]

    def undo(self, layer: int, y: Tensor, arena: Arena) -> tuple[Tensor, Tensor]:
        """``h`` and ``z`` of a layer, in places of the arena; its moments must still be there."""
        bend, place, z = self._bends[layer], arena.place(layer), arena.maps[arena.slot(layer)]
        assert bend is not None
        x = y - bend.lift
        x = torch.where(x > 0, x / bend.above, x / bend.below)
        factor = arena.inverses[place] if self._scale is None else arena.inverses[place] * self._scale[layer]
        if self._shift is not None:
            x.sub_(self._shift[layer])
        torch.addcmul(arena.means[place], x, factor.reciprocal(), out=z)
        return torch.mm(z, self._weights[layer], out=arena.outputs[arena.slot(layer - 1)]), z


def check(found: Tensor, given: Tensor) -> None:
    """Whether what came out at the first layer is what went in.

    Raises:
        UsageError: If it is not.
    """
    off = float(torch.linalg.vector_norm(found - given) / torch.linalg.vector_norm(given))
    if off > _FAR:  # not where training has diverged to nan
        raise UsageError(
            f"Going back through the layers led to an input that is {off:.1%} off: the weights are not orthogonal, or "
            "rounding grew. Call retract() after each step of the optimiser, or use segment='root'."
        )
