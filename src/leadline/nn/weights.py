"""The classical laws of the initial weights, by name."""

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from leadline._core.names import check_choice
from leadline._core.unstored import UnstoredWeight
from leadline.init._fill import zero_biases
from leadline.init._maps import LinearMap, settable_maps
from leadline.init._setting import set_weight

InitName = Literal["default", "he", "xavier", "orthogonal", "gaussian"]


@torch.no_grad()
def fill(model: nn.Module, *, init: str = "default", gain: float = 1.0) -> nn.Module:
    r"""Draw the weights of every linear and convolutional layer anew, in place.

    With $g$ the gain, weights have mean zero and

    | `init` | law |
    |---|---|
    | `default` | what the constructor drew, times $g$; biases are kept |
    | `he` | normal, variance $2 g^2 / \text{fan\_in}$ |
    | `xavier` | normal, variance $2 g^2 / (\text{fan\_in} + \text{fan\_out})$ |
    | `gaussian` | normal, variance $g^2 / \text{fan\_in}$ |
    | `orthogonal` | $g$ times a Haar matrix; a kernel is taken as the matrix (out, in · positions) |

    All but `default` set the biases to zero. The fan in of a transposed convolution is divided by its stride, as an
    output sums over so many fewer; the fan out counts all outputs, as in torch. Parametrised weights are set through
    their parametrisation. Draws from torch's global generator, as `torch.nn.init` does; a
    `leadline.simulate.LazyLinear` draws from its own seed.

    Args:
        model: The model. What counts as a layer, and what is left alone: as for ``leadline.init.gaussian``.
        init: One of the names above.
        gain: Factor on the weights, finite.

    Returns:
        ``model``.

    Raises:
        UsageError: If ``init`` is none of these names, or a weight has no values yet or cannot be set.

    Source:
        he2015, eq. 10; glorot2010, eq. 12, normal where the paper draws uniformly; saxe2014, section 3.

    Example:
        >>> from leadline._core.randomness import seeded
        >>> with seeded(0):
        ...     layer = fill(torch.nn.Linear(4, 4), init="orthogonal")
        >>> torch.allclose(layer.weight @ layer.weight.T, torch.eye(4), atol=1e-6)
        True
    """
    check_choice("init", init, ("default", *_LAWS))
    maps = settable_maps(model)
    for layer in model.modules():
        if isinstance(layer, UnstoredWeight):
            layer.redraw(init=init, gain=gain)
    if init == "default":
        for entry in maps:
            _scale(entry, gain)
        return model
    for entry in maps:
        shape = (entry.maps * entry.outputs, entry.inputs, *entry.kernel)
        values = torch.empty(shape, dtype=entry.dtype, device=entry.parameter.device)
        _LAWS[init](values, entry.fan_in, gain)
        entry.store(values.unflatten(0, (entry.maps, -1)))
    zero_biases(model, (entry.name for entry in maps))
    return model


def _scale(entry: LinearMap, gain: float) -> None:
    if entry.owner is None:
        entry.parameter.mul_(gain)
    else:
        set_weight(*entry.owner, entry.parameter * gain)


def _fan_out(weight: Tensor) -> int:
    return weight[:, 0].numel()


# Of a weight (outputs, inputs, *kernel), its fan in, and the gain.
_LAWS: dict[str, Callable[[Tensor, float, float], object]] = {
    "he": lambda w, fan_in, gain: w.normal_(0.0, gain * math.sqrt(2 / fan_in)),
    "xavier": lambda w, fan_in, gain: w.normal_(0.0, gain * math.sqrt(2 / (fan_in + _fan_out(w)))),
    "orthogonal": lambda w, fan_in, gain: nn.init.orthogonal_(w, gain),
    "gaussian": lambda w, fan_in, gain: w.normal_(0.0, gain / math.sqrt(fan_in)),
}
