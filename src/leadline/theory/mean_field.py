"""Wide layers without normalisation: maps of length and correlation, fixed points, and the edge of chaos."""

import math

import numpy as np
from scipy.optimize import root_scalar

from leadline._core.errors import AssumptionError
from leadline.theory.activations import Activation, ArrayFunction, activation
from leadline.theory.gaussian import expectation, grid, integrate, moments

_REACH = 12.0
# Edges around a kink in units of the width over which the inner expectation smooths it.
_GRADED = np.array([-12.0, -8.0, -5.0, -3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0, 5.0, 8.0, 12.0])


def q_map(phi: str | Activation, q: float, *, weight_std: float, bias_std: float = 0.0) -> float:
    r"""Variance of the next pre-activation: $\sigma_w^2\,\mathrm{E}\,\varphi(\sqrt q\,z)^2 + \sigma_b^2$.

    Weights have variance $\sigma_w^2$/fan_in, biases $\sigma_b^2$; the layer is wide.

    Args:
        phi: The activation or its name.
        q: Variance of this layer's pre-activation, at least 0.
        weight_std: $\sigma_w$.
        bias_std: $\sigma_b$.

    Returns:
        The variance, to about 1e-14 relative; with ``sin`` up to q = 200 only (``moments``).

    Raises:
        UsageError: If no activation has that name.
        AssumptionError: If ``q`` is no variance.

    Source:
        poole2016, eq. 3.

    Example:
        >>> round(q_map("relu", 3.0, weight_std=2**0.5), 12)
        3.0
    """
    return weight_std**2 * moments(phi, std=_length(q)).second + bias_std**2


def _length(q: float) -> float:
    if q < 0:
        raise AssumptionError(f"q is the variance of a pre-activation and at least 0, got {q:.6g}.")
    return math.sqrt(q)


def fixed_point(
    phi: str | Activation, *, weight_std: float, bias_std: float = 0.0, start: float = 1.0, steps: int = 100_000
) -> float:
    r"""The variance $q^*$ that a wide network settles at: the limit of ``q_map`` from ``start``.

    Args:
        phi: The activation or its name.
        weight_std: $\sigma_w$.
        bias_std: $\sigma_b$.
        start: Variance of the first pre-activation.
        steps: Layers after which to give up.

    Returns:
        $q^*$ to 1e-10 relative; 0 where lengths decay geometrically, ``inf`` where they grow without bound.

    Raises:
        UsageError: If no activation has that name.
        AssumptionError: If the map has not settled after ``steps`` layers (it converges slower than geometrically
            at the edge of chaos of a saturating activation).

    Source:
        poole2016, section 2.1.

    Example:
        >>> round(fixed_point("tanh", weight_std=2.0, bias_std=0.3), 4)
        2.2538
    """
    q, slope = start, math.nan
    for _ in range(steps):
        if q == 0 or not math.isfinite(q):
            return q
        following = q_map(phi, q, weight_std=weight_std, bias_std=bias_std)
        if following < 1e-30:
            return 0.0
        if following > 1e30:
            return math.inf
        change, previous, q = following - q, slope, following
        slope = abs(change)
        # The distance left of a geometric approach is change · ratio / (1 − ratio).
        ratio = slope / previous if previous > 0 else 1.0
        if slope <= 1e-15 * q or (ratio < 1 and slope * ratio / (1 - ratio) <= 1e-10 * q):
            return q
    raise AssumptionError(f"The variance has not settled after {steps} layers; it is {q:.3g}.")


def chi_1(phi: str | Activation, q: float, *, weight_std: float) -> float:
    r"""Slope of the correlation map at 1, $\chi_1 = \sigma_w^2\,\mathrm{E}\,\varphi'(\sqrt q\,z)^2$.

    The squared norm of a gradient is multiplied by it at every layer towards the input: below 1 gradients vanish
    and samples become alike (order), above 1 gradients explode and neighbours part (chaos).

    Args:
        phi: The activation or its name.
        q: Variance of the pre-activation.
        weight_std: $\sigma_w$.

    Returns:
        The slope, dimensionless, at least 0.

    Raises:
        UsageError: If no activation has that name.
        AssumptionError: If ``q`` is no variance.

    Source:
        schoenholz2017, eq. 5.

    Example:
        >>> round(chi_1("relu", 1.0, weight_std=2**0.5), 12)
        1.0
    """
    return weight_std**2 * moments(phi, std=_length(q)).slope_second


def c_map(phi: str | Activation, c: float, *, q: float, weight_std: float, bias_std: float = 0.0) -> float:
    r"""Correlation of two samples behind the next layer, both of variance $q$ and of correlation $c$.

    $$\frac{\sigma_w^2\,\mathrm{E}\,\varphi(u)\varphi(v) + \sigma_b^2}
    {\sigma_w^2\,\mathrm{E}\,\varphi(u)^2 + \sigma_b^2}, \qquad
    (u, v) \sim N(0, q \begin{pmatrix} 1 & c \\ c & 1 \end{pmatrix})$$

    Args:
        phi: The activation or its name.
        c: Correlation in [-1, 1].
        q: Variance of the pre-activations.
        weight_std: $\sigma_w$.
        bias_std: $\sigma_b$.

    Returns:
        The correlation, to about 1e-12 for activations that vary on scales of about one and more (of sin 20x to
        1e-8 only); ``nan`` where the next layer has no variance.

    Raises:
        UsageError: If no activation has that name.
        AssumptionError: If ``c`` is no correlation, or ``q`` no variance.

    Source:
        poole2016, eq. 5.

    Example:
        The arc-cosine kernel of the ReLU at right angles is 1/π.

        >>> round(c_map("relu", 0.0, q=1.0, weight_std=1.0) * math.pi, 10)
        1.0
    """
    if not -1 <= c <= 1:
        raise AssumptionError(f"c is a correlation and lies in [-1, 1], got {c:.6g}.")
    phi = activation(phi)
    length = q_map(phi, q, weight_std=weight_std, bias_std=bias_std)
    if length == 0:
        return math.nan
    return (weight_std**2 * product_expectation(phi.function, c, math.sqrt(q), phi.breakpoints) + bias_std**2) / length


def depth_scale(phi: str | Activation, *, weight_std: float, bias_std: float = 0.0) -> float:
    r"""Layers over which the correlation of two samples approaches its limit e-fold, $\xi_c = -1/\log\chi_{c^*}$.

    In the ordered phase $c^* = 1$ and $\chi_{c^*} = \chi_1$; in the chaotic phase the slope is taken at the stable
    $c^* < 1$. Networks much deeper than a few $\xi_c$ do not train.

    Args:
        phi: The activation or its name.
        weight_std: $\sigma_w$.
        bias_std: $\sigma_b$.

    Returns:
        Layers; ``inf`` at the edge of chaos, 0 where one layer forgets its input (no weights).

    Raises:
        UsageError: If no activation has that name.
        AssumptionError: If lengths have no fixed point in (0, ∞), or the activation is a step.

    Source:
        schoenholz2017, eq. 9.

    Example:
        >>> round(depth_scale("tanh", weight_std=1.0, bias_std=0.3), 2)
        2.81
    """
    phi = activation(phi)
    q = fixed_point(phi, weight_std=weight_std, bias_std=bias_std)
    if q == 0 or not math.isfinite(q):
        raise AssumptionError(
            f"The depth scale is defined at a fixed point of the lengths in (0, inf), here it is {q}."
        )
    _check_slope(phi, q)
    slope = chi_1(phi, q, weight_std=weight_std)
    if slope > 1 + 1e-9:
        slope = _chaotic_slope(phi, q, weight_std, bias_std)
    return e_fold(slope)


def length_depth_scale(phi: str | Activation, *, weight_std: float, bias_std: float = 0.0) -> float:
    r"""Layers over which the length approaches its fixed point e-fold, $\xi_q = -1/\log\chi_q$.

    $$\chi_q = \frac{dq'}{dq}\Big|_{q^*} =
    \frac{\sigma_w^2}{\sqrt{q^*}}\,\mathrm{E}\,z\,\varphi(\sqrt{q^*}z)\,\varphi'(\sqrt{q^*}z)$$

    Args:
        phi: The activation or its name.
        weight_std: $\sigma_w$.
        bias_std: $\sigma_b$.

    Returns:
        Layers; ``inf`` where the slope is 1 (positively homogeneous activations with their gain keep any length), 0
        where it is 0.

    Raises:
        UsageError: If no activation has that name.
        AssumptionError: If lengths have no fixed point in (0, ∞), or the activation is a step.

    Source:
        schoenholz2017, eq. 8, where the slope is written with a second derivative,
        $\chi_1 + \sigma_w^2\,\mathrm{E}\,\varphi''\varphi$; by Stein's identity it is the same, and here holds for
        activations with kinks too.

    Example:
        >>> round(length_depth_scale("tanh", weight_std=1.5, bias_std=0.3), 2)
        1.17
    """
    phi = activation(phi)
    q = fixed_point(phi, weight_std=weight_std, bias_std=bias_std)
    if q == 0 or not math.isfinite(q):
        raise AssumptionError(
            f"The depth scale is defined at a fixed point of the lengths in (0, inf), here it is {q}."
        )
    _check_slope(phi, q)
    mean = expectation(lambda x: x * phi.function(x) * phi.derivative(x), std=math.sqrt(q), breakpoints=phi.breakpoints)
    return e_fold(abs(weight_std**2 * float(mean) / q))


def e_fold(slope: float) -> float:
    """Layers over which what is multiplied by ``slope`` a layer changes e-fold: 0 where nothing is left after one."""
    if abs(slope - 1) <= 1e-9:
        return math.inf
    return -1 / math.log(slope) if slope > 0 else 0.0


def edge_of_chaos(phi: str | Activation, *, bias_std: float) -> tuple[float, float]:
    r"""The weight standard deviation with $\chi_1 = 1$ at its own fixed point, for a given bias.

    Along the edge $\sigma_w^{-2} = \mathrm{E}\,\varphi'(\sqrt q z)^2$, so $q$ solves
    $q = \mathrm{E}\varphi^2/\mathrm{E}\varphi'^2 + \sigma_b^2$.

    Args:
        phi: The activation or its name.
        bias_std: $\sigma_b > 0$.

    Returns:
        $(\sigma_w, q^*)$.

    Raises:
        UsageError: If no activation has that name.
        AssumptionError: If ``bias_std`` is not positive, the activation has no slope (it is constant or a step), or no
            variance below 1e4 solves the equation; positively homogeneous activations have their edge at ``gain`` and
            zero bias only.

    Source:
        schoenholz2017, section 3; poole2016, figure 2.

    Example:
        >>> sigma_w, q = edge_of_chaos("tanh", bias_std=0.3)
        >>> round(sigma_w, 4), round(q, 4)
        (1.3956, 0.7635)
    """
    if bias_std <= 0:
        raise AssumptionError(f"The edge is sought at a positive bias_std, got {bias_std}.")

    def excess(log_q: float) -> float:
        m = moments(phi, std=math.exp(log_q / 2))
        if m.slope_second == 0:
            raise AssumptionError(
                f"An activation has no edge of chaos where it has no slope, here at q={math.exp(log_q):.3g}."
            )
        return m.second / m.slope_second + bias_std**2 - math.exp(log_q)

    grid = np.linspace(2 * math.log(bias_std), math.log(1e4), 200)
    values = [excess(x) for x in grid]
    for low, high, left, right in zip(grid[:-1], grid[1:], values[:-1], values[1:], strict=True):
        if left >= 0 > right:
            q = math.exp(root_scalar(excess, bracket=(low, high), xtol=1e-14).root)
            return 1 / math.sqrt(moments(phi, std=math.sqrt(q)).slope_second), q
    raise AssumptionError("This activation has no edge of chaos at that bias: lengths have no fixed point there.")


def _check_slope(phi: Activation, q: float) -> None:
    m = moments(phi, std=math.sqrt(q))
    if m.slope_second == 0 and m.variance > 1e-15 * m.second:
        raise AssumptionError("An activation that changes by jumps alone has no slope and so no depth scale.")


def _chaotic_slope(phi: Activation, q: float, weight_std: float, bias_std: float) -> float:
    """Slope of the correlation map at its stable fixed point below 1."""

    def excess(c: float) -> float:
        return c_map(phi, c, q=q, weight_std=weight_std, bias_std=bias_std) - c

    below = next((1 - 10.0**-k for k in range(1, 8) if excess(1 - 10.0**-k) < 0), None)
    if below is None:
        return 1.0
    c = 0.0 if abs(excess(0.0)) < 1e-13 else root_scalar(excess, bracket=(0.0, below), xtol=1e-13).root
    return weight_std**2 * product_expectation(phi.derivative, c, math.sqrt(q), phi.breakpoints)


def product_expectation(function: ArrayFunction, c: float, std: float, breakpoints: tuple[float, ...]) -> float:
    """E f(u) f(v) for centred Gaussians of standard deviation ``std`` and correlation ``c``, to about 1e-12."""
    if c == 1:
        return float(expectation(lambda x: np.square(function(x)), std=std, breakpoints=breakpoints))
    if c == -1:
        mirrored = (*breakpoints, *(-b for b in breakpoints))
        return float(expectation(lambda x: function(x) * function(-x), std=std, breakpoints=mirrored))
    if std == 0:
        return float(function(np.zeros(1))[0]) ** 2
    rest = math.sqrt(1 - c * c)
    kinks = np.asarray(breakpoints) / std
    # The inner expectation smooths a kink of f at b over a width rest/|c| around b/c.
    smoothed = (kinks[:, None] + _GRADED * rest).ravel() / c if c else np.empty(0)
    steps = np.arange(-40.0, 41.0) / std if std > 3 else np.empty(0)
    edges = np.unique(np.clip(np.concatenate([grid(std), steps, kinks, smoothed]), -_REACH, _REACH))

    def outer(z: np.ndarray) -> np.ndarray:
        inner = expectation(function, mean=c * std * z, std=rest * std, breakpoints=breakpoints)
        return function(std * z) * inner * np.exp(-np.square(z) / 2) / math.sqrt(2 * math.pi)

    return float(integrate(outer, edges))
