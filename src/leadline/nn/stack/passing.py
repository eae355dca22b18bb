"""One pass through all layers of a stack and back, as a single node of autograd's graph."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from leadline._core.errors import UsageError
from leadline.nn.stack.arena import Arena, Pool
from leadline.nn.stack.tail import Tail

_FAR = 1e-2  # relative; gradients at an input that is further off are not those that were asked for


class Passage:
    """A pass in train mode: what it keeps between forward and backward, and how it goes back.

    Args:
        weight: ``(layers, width, width)``.
        tail: What stands behind each.
        pool: Where its memory comes from.
        segment: Layers between two states that are kept; those between are computed again on the way back. ``None``
            keeps all, ``"reverse"`` the last alone: layers are undone, and their weights must be orthogonal.
        keep: Whether there will be a way back.
    """

    def __init__(self, weight: Tensor, tail: Tail, pool: Pool, *, segment: int | str | None, keep: bool):
        self._weight, self.tail, self._pool, self._keep = weight, tail, pool, keep
        self._segment, self._reverse = segment if isinstance(segment, int) else None, segment == "reverse"
        self._arena: Arena | None = None
        self._inputs: list[Tensor] = []
        self._kept: list[tuple[Tensor, Any]] = []

    def forward(self, x: Tensor) -> Tensor:
        """The output of the last layer."""
        depth, undone = len(self._weight), self._keep and self._reverse
        length = 1 if not self._keep or undone else self._segment or depth
        arena, h = self._take(length, x, moments=depth if undone else None), x
        if undone:
            self._inputs.append(x)
        for first in range(0, depth, length):
            if self._keep and self._segment:
                self._inputs.append(h.clone())
            h = self._run(arena, first, min(length, depth - first), h, track=True)
        out = h.clone()
        if undone:
            self._inputs.append(h)
        if self._keep and not self._segment:
            self._arena = arena
        else:
            self._pool.give(arena)
            self._kept = []
        return out

    def backward(self, grad: Tensor) -> tuple[Tensor, Tensor]:
        """Gradients of the input and of all weights ``(layers, width, width)``."""
        if not self._kept and not self._inputs:
            raise UsageError("A DeepStack goes back once a call: what it kept is gone. Call the model again.")
        weights, tail = self._pool.parts("weight", self._weight), self.tail
        arena = self._arena or self._take(self._segment or len(weights), grad)
        of_weights = self._pool.grad(self._weight)
        slots, places = of_weights.unbind(), torch.empty(2, *grad.shape, dtype=grad.dtype, device=grad.device).unbind()
        grad = places[len(weights) % 2].copy_(grad)
        layers = self._undone(arena) if self._reverse else self._recalled(arena)
        for layer, given, of_tail in layers:
            grad = tail.backward(layer, grad, of_tail)
            torch.mm(grad.mT, given, out=slots[layer])
            grad = torch.mm(grad, weights[layer], out=places[layer % 2])
        self._pool.give(arena)
        self._arena = None
        # Another tensor on the same memory, which autograd may take as it is.
        return grad, of_weights.detach()

    def _recalled(self, arena: Arena) -> Iterator[tuple[int, Tensor, Any]]:
        """Number, input and what its tail kept of each layer from the last on: kept, or computed again."""
        depth = len(self._weight)
        length = self._segment or depth
        for first in reversed(range(0, depth, length)):
            if self._segment:
                self._run(arena, first, min(length, depth - first), self._inputs.pop(), track=False)
            kept = self._kept
            while kept:
                yield first + len(kept) - 1, *kept.pop()

    def _undone(self, arena: Arena) -> Iterator[tuple[int, Tensor, Any]]:
        """The same, out of the last output."""
        weights = self._pool.parts("weight", self._weight)
        y, x, self._kept = self._inputs.pop(), self._inputs.pop(), []
        diverged = not y.isfinite().all()
        for layer in reversed(range(len(weights))):
            z = self.tail.undo(layer, y, arena)
            h = torch.mm(z, weights[layer], out=arena.outputs[arena.slot(layer - 1)])
            _, of_tail = self.tail.forward(layer, z, arena, track=False)
            yield layer, h, of_tail
            y = h
        if not diverged:
            _check(y, x)

    def _take(self, maps: int, like: Tensor, *, moments: int | None = None) -> Arena:
        # Two places at least, since a layer that works in place must not write over what it reads.
        maps = max(maps, 2)
        return self._pool.take(moments or maps, maps, like, spare=self.tail.spare)

    def _run(self, arena: Arena, first: int, count: int, h: Tensor, *, track: bool) -> Tensor:
        """``count`` layers, each in a place of the arena that the one before it does not use."""
        self._kept = kept = []
        tail, maps, weights = self.tail, arena.maps, self._pool.parts("transposed", self._weight.mT)
        for layer in range(first, first + count):
            z = torch.mm(h, weights[layer], out=maps[arena.slot(layer)])
            y, of_tail = tail.forward(layer, z, arena, track=track)
            kept.append((h, of_tail))
            h = y
        return h


def _check(found: Tensor, given: Tensor) -> None:
    """Whether what came out at the first layer is what went in."""
    off = float(torch.linalg.vector_norm(found - given) / torch.linalg.vector_norm(given))
    if not off <= _FAR:
        raise UsageError(
            f"Going back through the layers led to an input that is {off:.1%} off: the weights are not orthogonal, a "
            "scale is zero, or rounding grew. Call retract() after each step of the optimiser, or use segment='root'."
        )


class Through(torch.autograd.Function):
    """``Through.apply(passage, x, weight, scale, shift)``."""

    @staticmethod
    def forward(ctx: Any, passage: Passage, x: Tensor, *parameters: Tensor | None) -> Tensor:
        """The output."""
        ctx.passage, ctx.has = passage, [parameter is not None for parameter in parameters]
        # Kept for autograd's own check that nobody changes them before the way back.
        ctx.save_for_backward(x, *[parameter for parameter in parameters if parameter is not None])
        return passage.forward(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Gradients of the input, the weights, the scales and the shifts."""
        _ = ctx.saved_tensors
        of_x, of_weight = ctx.passage.backward(grads[0])
        found = (of_weight, *ctx.passage.tail.parameter_grads())
        return None, of_x, *(grad if has else None for grad, has in zip(found, ctx.has, strict=True))
