"""The other families of shaped activations: gains that decay with depth, and tailored leaky ReLUs."""

import math

import numpy as np
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from leadline._core.errors import UsageError
from leadline.nn.shaping.adapted import Elementwise
from leadline.nn.shaping.root import root


def gain_schedule(depth: int, *, exponent: float = 0.4) -> list[float]:
    r"""Gains $\alpha_l = l^{-k}$ of layers $l = 1 \ldots L$.

    Rates of explosion behave like $\alpha^4$ for tanh and sin at small gains, so gradients stay bounded at any depth
    for $k > 1/4$.

    Args:
        depth: Layers $L$, at least 1.
        exponent: $k \ge 0$; 0 is no shaping.

    Raises:
        UsageError: If an argument is out of range.

    Source:
        meterez2023, section 4; $k = .4$ there.

    Example:
        >>> gain_schedule(4, exponent=0.5)[3]
        0.5
    """
    if depth < 1 or exponent < 0:
        raise UsageError(f"depth must be at least 1 and exponent at least 0; got {depth} and {exponent}.")
    return [layer**-exponent for layer in range(1, depth + 1)]


class GainedActivation(nn.Module):
    r"""$\varphi(\alpha x)$: the gain $\alpha$ in front of an activation, fixed.

    Example:
        >>> layers = [GainedActivation(nn.Tanh(), gain) for gain in gain_schedule(100)]
        >>> round(layers[-1].gain, 4)
        0.1585
    """

    def __init__(self, activation: Elementwise, gain: float):
        super().__init__()
        self.activation, self.gain = activation, gain

    def forward(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """The activation of the scaled entries."""
        return self.activation(self.gain * x)

    def extra_repr(self) -> str:
        """The gain."""
        return f"gain={self.gain:.6g}"


class TailoredLeakyReLU(nn.Module):
    r"""$\sqrt{2/(1+\alpha^2)}\,\max(x, \alpha x)$: a leaky ReLU that keeps the mean square."""

    def __init__(self, negative_slope: float):
        super().__init__()
        self.negative_slope = negative_slope
        self.gain = math.sqrt(2 / (1 + negative_slope**2))

    def forward(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """The activation of every entry."""
        # The backward of leaky_relu needs its input only, so that its output may be scaled in place.
        return F.leaky_relu(x, self.negative_slope).mul_(self.gain)

    def extra_repr(self) -> str:
        """The slope."""
        return f"negative_slope={self.negative_slope:.6g}"


def tailored_leaky_relu(depth: int, *, correlation: float = 0.9) -> TailoredLeakyReLU:
    r"""The leaky ReLU for a network of ``depth`` layers without normalisation or skips.

    Its slope is the least one for which uncorrelated inputs have correlation at most ``correlation`` behind the last
    layer: with

    $$C(c) = c + \frac{(1-\alpha)^2}{\pi(1+\alpha^2)} \bigl(\sqrt{1-c^2} - c \arccos c\bigr),$$

    $C$ composed ``depth`` times takes 0 to it.

    Args:
        depth: Layers, at least 1.
        correlation: In (0, 1).

    Returns:
        The module; the plain ReLU (scaled by $\sqrt2$) where that stays below ``correlation``.

    Raises:
        UsageError: If an argument is out of range.

    Source:
        zhang2022, section 4 (tailored rectifiers).

    Example:
        >>> round(tailored_leaky_relu(100).negative_slope, 3)
        0.57
    """
    if depth < 1 or not 0 < correlation < 1:
        raise UsageError(f"depth must be at least 1 and correlation in (0, 1); got {depth} and {correlation}.")

    def beyond(slope: float) -> float:
        c = 0.0
        for _ in range(depth):
            c = min(c + (1 - slope) ** 2 / (math.pi * (1 + slope**2)) * _bend(c), 1.0)
        return c - correlation

    return TailoredLeakyReLU(0.0 if beyond(0.0) <= 0 else root(beyond, 0.0, 1.0))


def _bend(c: float) -> float:
    return float(np.sqrt(1 - c * c) - c * np.arccos(c))
