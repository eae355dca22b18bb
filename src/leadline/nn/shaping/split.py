"""An activation split into its mean, its straight line and the rest, by one quadrature."""

from dataclasses import dataclass

import numpy as np

from leadline._core.errors import UsageError
from leadline.nn.shaping.adapted import Elementwise, adapted
from leadline.theory import expectation

_STRAIGHT = 1e-20  # share of the variance that rounding leaves to a straight line
_CONSTANT = 1e-10  # share of its mean that rounding leaves to a constant
_JUMP = 1e-6  # share of the standard deviation by which the two ways to the linear part may differ


@dataclass(frozen=True, kw_only=True)
class Split:
    r"""$\varphi(x) = m + c\,x + s\,\varphi_\perp(x)$ for $x \sim N(0, 1)$.

    $\varphi_\perp$ has mean 0 and variance 1 and is orthogonal to $x$.

    Attributes:
        name: The activation's class or function name.
        mean: $m = \mathrm{E}\,\varphi(x)$.
        linear: $c = \mathrm{E}\,x\varphi(x)$.
        scale: $s \ge 0$; 0 for a straight line.
        slope: $\chi_\perp = \mathrm{E}\,\varphi_\perp'(x)^2 \ge 2$; 1 for a straight line, which has no rest.
        cubic: $\mathrm{E}\,x^3\varphi_\perp(x)$; its sign says whether lengths run away.
    """

    name: str
    mean: float
    linear: float
    scale: float
    slope: float
    cubic: float

    @property
    def own_share(self) -> float:
        r"""Share $s^2/(c^2 + s^2)$ of the variance that is not linear in $\varphi$ itself."""
        return self.scale**2 / (self.linear**2 + self.scale**2)


def split(activation: Elementwise) -> Split:
    r"""Split an elementwise activation at a standard normal pre-activation.

    $s$ and $\chi_\perp = \mathrm{E}(\varphi' - c)^2 / s^2$ are means of squares, so that nearly straight lines lose no
    digits.

    Args:
        activation: A module or callable, tensor to tensor of the same shape.

    Returns:
        The split, to about 1e-12.

    Raises:
        UsageError: If the activation is constant, jumps, is not finite or not elementwise, or its mean squared slope
            is infinite.

    Source:
        leadline, shaping any activation; the identities are Stein's.

    Example:
        >>> from torch import nn
        >>> relu = split(nn.ReLU())
        >>> round(relu.linear, 12), round(relu.mean**2 * 2 * np.pi, 12), round(relu.slope, 4)
        (0.5, 1.0, 2.7519)
    """
    phi = adapted(activation)

    def expect(function) -> float:
        return float(expectation(function, breakpoints=phi.breakpoints))

    mean = expect(phi.function)
    linear = expect(lambda x: x * phi.function(x))

    def rest(x):
        return phi.function(x) - mean - linear * x

    variance = expect(lambda x: np.square(rest(x)))
    size = np.hypot(np.sqrt(variance), linear)
    if size <= _CONSTANT * abs(mean):
        raise UsageError(f"{phi.name} is constant under a standard normal, so it cannot be shaped.")
    if not abs(linear - expect(phi.derivative)) <= _JUMP * size:
        raise UsageError(f"{phi.name} jumps or is given with a derivative that is not its own, so it cannot be shaped.")
    if variance <= _STRAIGHT * linear**2:
        return Split(name=phi.name, mean=mean, linear=linear, scale=0.0, slope=1.0, cubic=0.0)
    scale = float(np.sqrt(variance))
    return Split(
        name=phi.name,
        mean=mean,
        linear=linear,
        scale=scale,
        slope=expect(lambda x: np.square(phi.derivative(x) - linear)) / variance,
        cubic=expect(lambda x: x**3 * rest(x)) / scale,
    )
