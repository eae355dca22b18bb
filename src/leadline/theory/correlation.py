"""How the correlation of two samples travels through many layers: a map interpolated once, then followed cheaply."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.polynomial import Chebyshev
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import root_scalar

from leadline._core.errors import AssumptionError
from leadline.theory.activations import Activation, activation
from leadline.theory.gaussian import moments
from leadline.theory.mean_field import e_fold, product_expectation

_TAIL = 1e-10
_MOST = 128


@dataclass(frozen=True, kw_only=True)
class CorrelationMap:
    r"""The map $c \mapsto c'$ of the correlation of two equally long samples through one layer.

    Made by ``correlation_map``.

    Attributes:
        shrinkage: $G(\theta) = (1 - c')/(1 - c)$ by the angle $\theta = \arccos c$, a polynomial on $[0, \pi]$.
            Interpolating it and not c' keeps digits where samples are nearly alike.
    """

    shrinkage: Chebyshev

    def __call__(self, c: ArrayLike) -> NDArray[np.float64]:
        """The correlation behind the next layer, in the shape of ``c``."""
        c = _correlations(c)
        return np.asarray(1 - (1 - c) * self.shrinkage(np.arccos(c)))

    def slope(self, c: ArrayLike) -> NDArray[np.float64]:
        r"""Derivative of the map, $\chi(c)$; at $c = 1$ the $\chi_1$ that a gradient's squared norm is multiplied by.

        $\chi(c^*)$ at a fixed point tells how fast correlations approach it.
        """
        theta = np.arccos(_correlations(c))
        return np.asarray(self.shrinkage(theta) + np.tan(theta / 2) * self.shrinkage.deriv()(theta))

    def path(self, c: float, *, layers: int) -> NDArray[np.float64]:
        r"""What tells two samples apart, $1 - c_l$ for l = 0, …, ``layers``, to relative precision however small.

        Args:
            c: Correlation in front of the first layer.
            layers: Number of layers.

        Returns:
            Shape ``(layers + 1,)``; half the squared distance of the two samples over their squared length.
        """
        left = np.empty(layers + 1)
        left[0] = 1 - float(_correlations(c))
        for layer in range(layers):
            e = left[layer]
            left[layer + 1] = min(e * float(self.shrinkage(2 * math.asin(math.sqrt(min(e / 2, 1.0))))), 2.0)
        return left

    def fixed_point(self) -> float:
        r"""The correlation $c^*$ that samples of positive correlation tend to: 1 where $\chi_1 \le 1$.

        Otherwise the stable fixed point in [0, 1).
        """
        if float(self.slope(1.0)) <= 1 + 1e-9:
            return 1.0

        def excess(c: float) -> float:
            return float(self.shrinkage(math.acos(c))) - 1

        if excess(0.0) >= -1e-12:  # c' is not above 0 at c = 0
            return 0.0
        return float(root_scalar(excess, bracket=(0.0, 1 - 1e-15), xtol=1e-14).root)

    def depth_scale(self) -> float:
        r"""Layers over which correlations approach $c^*$ e-fold, $-1/\log\chi(c^*)$: ``inf`` at slope 1, 0 at 0."""
        return e_fold(abs(float(self.slope(self.fixed_point()))))


def correlation_map(
    phi: str | Activation,
    *,
    q: float = 1.0,
    weight_std: float = 1.0,
    bias_std: float = 0.0,
    skip: float = 0.0,
    centred: bool = False,
) -> CorrelationMap:
    r"""The map of the correlation of two samples, both of variance q, through one wide layer.

    With $K(c) = \mathrm{E}\,\varphi(u)\varphi(v)$, (u, v) Gaussian of variance q and correlation c, and
    $m = \mathrm{E}\,\varphi(u)$,

    $$c' = \frac{s^2 q\,c + \sigma_w^2 K(c) + b}{s^2 q + \sigma_w^2 K(1) + b}, \qquad
    b = \sigma_b^2 \text{, or } \sigma_b^2 - \sigma_w^2 m^2 \text{ where a norm subtracts the mean behind } \varphi.$$

    | design | arguments |
    |---|---|
    | $h' = W\varphi(h) + b$ at its own fixed point $q^*$ | ``q``, ``weight_std``, ``bias_std`` |
    | $h' = \mathrm{LN}(W\varphi(h))$ or RMS norm there | none: the norm sets q = 1, and the scale of W cancels |
    | $x' = \mathrm{RMS}(\varphi(Wx))$ | ``q`` $= \sigma_w^2$ |
    | $x' = \mathrm{LN}(\varphi(Wx))$ | ``q`` $= \sigma_w^2$, ``centred=True`` |
    | $x' = s x + W\varphi(x)$, the stream of variance q | ``q``, ``weight_std``, ``skip`` |
    | $x' = s x + W\varphi(\mathrm{LN}(x))$ | the same with q = 1 and $\sigma_w$ over the root of the stream's variance
    |

    Batch normalisation is none of them: there the samples of a batch decide each other's lengths.

    Args:
        phi: The activation or its name.
        q: Variance of the pre-activation, above 0.
        weight_std: $\sigma_w$, weights have variance $\sigma_w^2$/fan_in.
        bias_std: $\sigma_b$.
        skip: s.
        centred: Whether the mean over features is subtracted behind the activation.

    Returns:
        The map, to about 1e-9 relative in $1 - c'$.

    Raises:
        UsageError: If no activation has that name.
        AssumptionError: If ``q`` is not positive, nothing reaches the next layer, or interpolation fails (very steep
            activations).

    Source:
        poole2016, eq. 5; schoenholz2017, eq. 9; yang2017 for skips; centring is leadline's.

    Example:
        >>> relu = correlation_map("relu", weight_std=2**0.5)
        >>> round(float(relu(0.0)) * math.pi, 8), round(float(relu.slope(1.0)), 8)
        (1.0, 1.0)
        >>> [float(f"{e:.3g}") for e in relu.path(0.0, layers=1000)[[10, 100, 1000]]]  # tends to 9π²/(2l²)
        [0.128, 0.00358, 4.31e-05]
    """
    if not q > 0:
        raise AssumptionError(f"Correlations need pre-activations of positive variance, got q={q}.")
    phi = activation(phi)
    m, std = moments(phi, std=math.sqrt(q)), math.sqrt(q)
    shift = bias_std**2 - (weight_std**2 * m.mean**2 if centred else 0.0)
    length = skip**2 * q + weight_std**2 * m.second + shift
    if not length > 1e-15 * weight_std**2 * m.second:
        raise AssumptionError("Nothing reaches the next layer, so its samples have no correlation.")

    def spread(theta: float) -> float:
        """(K(1) − K(c))/(1 − c), the slope of K at c = 1."""
        if theta == 0:
            return q * m.slope_second
        c = -1.0 if theta == math.pi else math.cos(theta)
        return (m.second - product_expectation(phi.function, c, std, phi.breakpoints)) / (2 * math.sin(theta / 2) ** 2)

    series = _interpolated(spread)
    return CorrelationMap(shrinkage=(series * weight_std**2 + skip**2 * q) / length)


def _interpolated(function: Callable[[float], float]) -> Chebyshev:
    """The polynomial through a function of an angle at Chebyshev's extreme points, as many as its tail asks for."""
    known: dict[float, float] = {}
    size = 16
    while True:
        # Doubling keeps the points; as fractions of a half circle they are equal exactly.
        for k in range(size + 1):
            if k / size not in known:
                known[k / size] = function(math.pi * math.sin(math.pi * k / size / 2) ** 2)
        values = np.array([known[k / size] for k in range(size + 1)])
        mirrored = np.concatenate([values[::-1], values[1:-1]])
        coefficients = np.fft.rfft(mirrored).real / size
        coefficients[[0, -1]] /= 2
        if np.abs(coefficients[-3:]).max() <= _TAIL * np.abs(coefficients).max():
            return Chebyshev(coefficients, domain=[0, math.pi])
        if size >= _MOST:
            raise AssumptionError(
                f"The correlation map of this activation is too steep to interpolate: with {size} points the last "
                f"coefficients are still {np.abs(coefficients[-3:]).max():.1e}."
            )
        size *= 2


def _correlations(c: ArrayLike) -> NDArray[np.float64]:
    c = np.asarray(c, np.float64)
    if not np.all((c >= -1) & (c <= 1)):
        raise AssumptionError("A correlation lies in [-1, 1].")
    return c
