"""The classical laws of the initial weights, by name."""

import math
from typing import Literal

import torch
from torch import nn

from leadline._core.names import check_choice
from leadline._core.unstored import UnstoredWeight

InitName = Literal["default", "he", "xavier", "orthogonal", "gaussian"]

_FILLED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


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

    All but `default` set the biases to zero. Draws from torch's global generator, as `torch.nn.init` does; a
    `leadline.simulate.LazyLinear` draws from its own seed.

    Args:
        model: The model; normalisations and embeddings are left alone.
        init: One of the names above.
        gain: Factor on the weights, finite.

    Returns:
        ``model``.

    Raises:
        UsageError: If ``init`` is none of these names.

    Source:
        he2015, eq. 10; glorot2010, eq. 12, normal where the paper draws uniformly; saxe2014, section 3.

    Example:
        >>> from leadline._core.randomness import seeded
        >>> with seeded(0):
        ...     layer = fill(torch.nn.Linear(4, 4), init="orthogonal")
        >>> torch.allclose(layer.weight @ layer.weight.T, torch.eye(4), atol=1e-6)
        True
    """
    draws = {
        "default": lambda w: w.mul_(gain),
        "he": lambda w: w.normal_(0.0, gain * math.sqrt(2 / w[0].numel())),
        "xavier": lambda w: nn.init.xavier_normal_(w, gain),
        "orthogonal": lambda w: nn.init.orthogonal_(w, gain),
        "gaussian": lambda w: w.normal_(0.0, gain / math.sqrt(w[0].numel())),
    }
    draw = draws[check_choice("init", init, draws)]
    for layer in model.modules():
        if isinstance(layer, UnstoredWeight):
            layer.redraw(init=init, gain=gain)
        elif isinstance(layer, _FILLED):
            draw(layer.weight)
            if layer.bias is not None and init != "default":
                layer.bias.zero_()
    return model
