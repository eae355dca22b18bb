"""How fast gradients explode behind batch normalisation: the wide limit, finite batches, and finite width."""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from leadline._core.errors import AssumptionError
from leadline.theory.activations import Activation, ArrayFunction, activation
from leadline.theory.gaussian import integrate, moments

PairFunction = Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]]


def batch_norm_gradient_rate(phi: str | Activation, *, n: int | None = None, d: int | None = None) -> float:
    r"""Growth of the log gradient norm per layer $x' = \varphi(\mathrm{BN}(Wx))$, towards the input.

    Without ``n`` the limit $n \to \infty$ behind $d \to \infty$,

    $$\tfrac12 \log \frac{\mathrm{E}\,\varphi'(z)^2}{\mathrm{Var}\,\varphi(z)} \ge 0,$$

    zero for the identity only: $\tfrac12\log\frac{\pi}{\pi-1} = .1916$ for the ReLU. With ``n`` the wide limit at
    that batch size. Every feature is then $\sqrt n\,u$ with $u$ uniform on the unit sphere orthogonal to the ones, and
    with $D = \mathrm{diag}\,\varphi'(\sqrt n u)$, $G = I - \mathbf 1\mathbf 1^\top/n$,
    $a = \mathrm{E}\varphi_i^2 - \mathrm{E}\varphi_i\varphi_j$, the rate is

    $$\tfrac12\log\Bigl( \frac{n}{(n-1)(n-3)\,a}\, \mathrm{E}\,\mathrm{tr}\,(G - uu^\top) D G D \Bigr),$$

    $\tfrac12\log\frac{n-2}{n-3}$ for the identity. With ``d`` too, the rate is lowered by what the identity's loses
    at that width with orthogonal weights: $\tfrac14\log\frac{d}{d-2}$ while $n - 1 < d$, all of it from there on.
    That last step is a fit: measured ReLU rates at (n, d) = (32, 256), (100, 100), (256, 256), (512, 128) lie 0 to
    9 % below it, the more the larger n/d.

    Args:
        phi: The activation or its name; no gain in front of it (the norm's scale is 1).
        n: Samples that a feature's mean and variance are taken over, at least 4.
        d: Width, at least 3; needs ``n``.

    Returns:
        Nats per layer.

    Raises:
        UsageError: If no activation has that name.
        AssumptionError: If ``n`` is below 4 (the expectation diverges), ``d`` below 3 or given without ``n``, or the
            activation is constant or a step.

    Source:
        yang2019, theorem 3.9 and its finite-batch form in the basis of the sphere; meterez2023 for orthogonal
        weights of the identity; the width's correction is leadline's fit.

    Example:
        >>> round(batch_norm_gradient_rate("relu"), 4), round(batch_norm_gradient_rate("relu", n=32), 4)
        (0.1916, 0.21)
        >>> batch_norm_gradient_rate("identity")
        0.0
    """
    phi = activation(phi)
    if d is not None and (n is None or d < 3):
        raise AssumptionError(f"A finite width needs n and d >= 3, got n={n}, d={d}.")
    if n is None:
        m = moments(phi)
        if m.variance <= 1e-15:
            raise AssumptionError("A constant activation leaves nothing to normalise.")
        _check_slope(m.slope_second)
        return max(0.5 * math.log(m.slope_second / m.variance), 0.0)
    if n < 4:
        raise AssumptionError(f"The mean squared inverse deviation of a batch is finite from n = 4 on, got n={n}.")
    wide = _wide_rate(phi, n)
    return wide if d is None else wide - _width_correction(n, d)


def orthogonal_identity_rate(*, n: int, d: int) -> float:
    r"""Growth of the log gradient norm per layer of the identity network with Haar weights and uncentred batch norm.

    $$\max\Bigl(\tfrac14 \log \frac{n(d-2)}{d(n-2)}, 0\Bigr) \approx \tfrac12\Bigl(\frac1n - \frac1d\Bigr)^+$$

    0 for $n \ge d$, where the rows become orthogonal; for $n < d$ they cannot. With batch statistics that subtract the
    mean the same holds for n − 1. A repeated batch counts its different samples only.

    Args:
        n: Samples, at least 3.
        d: Width, at least 3.

    Returns:
        Nats per layer: a fit, up to 3 % low for n ≤ d/2 and 21 % low at (40, 50).

    Raises:
        AssumptionError: If ``n`` or ``d`` is below 3.

    Source:
        meterez2023, theorem 1 for n ≥ d; the law for n < d is leadline's fit.

    Example:
        >>> round(orthogonal_identity_rate(n=25, d=50), 4), orthogonal_identity_rate(n=50, d=50)
        (0.0106, 0.0)
    """
    if n < 3 or d < 3:
        raise AssumptionError(f"The law needs at least 3 samples and features, got n={n}, d={d}.")
    return max(0.25 * math.log(n * (d - 2) / (d * (n - 2))), 0.0)


def _check_slope(slope: float) -> None:
    if slope == 0:
        raise AssumptionError("A gradient does not pass an activation that changes by jumps alone.")


def _width_correction(n: int, d: int) -> float:
    if n - 1 >= d:
        return 0.5 * math.log((n - 2) / (n - 3))
    return 0.25 * math.log(d / (d - 2))


def _wide_rate(phi: Activation, n: int) -> float:
    """The rate at d → ∞ and batch n; expectations over one or two coordinates of √n u."""
    f, g = phi.function, phi.derivative

    def one(function: ArrayFunction) -> float:
        return sphere_expectation(lambda x, y: function(x), n, phi.breakpoints)

    def two(function: ArrayFunction) -> float:
        return sphere_expectation(lambda x, y: function(x) * function(y), n, phi.breakpoints)

    spread = one(lambda x: f(x) ** 2) - two(f)
    if spread <= 1e-15:
        raise AssumptionError("A constant activation leaves nothing to normalise.")
    slope, slopes = one(lambda x: g(x) ** 2), two(g)
    _check_slope(slope)
    tilted, tilts = one(lambda x: (x * g(x)) ** 2), two(lambda x: x * g(x))
    trace = (n - 2 + 1 / n) * slope + (1 - 1 / n) * slopes  # E tr G D G D
    radial = (1 - 1 / n) * (tilted - tilts)  # E uᵀ D G D u
    return 0.5 * math.log(n * (trace - radial) / ((n - 1) * (n - 3) * spread))


def sphere_expectation(function: PairFunction, n: int, breakpoints: tuple[float, ...]) -> float:
    """E f(x_1, x_2) for two coordinates of √n u, u uniform on the unit sphere of Rⁿ orthogonal to the ones.

    x_1 = √(n−1) sin α and x_2 = √(n−1) (−sin α + √(n(n−2)) cos α sin β)/(n−1) with angles of density
    ∝ cosⁿ⁻³ α and cosⁿ⁻⁴ β; split where either coordinate meets a kink.
    """
    root = math.sqrt(n - 1)
    kinks = np.asarray(breakpoints) / root

    def second(alpha: NDArray[np.float64], beta: NDArray[np.float64]) -> NDArray[np.float64]:
        return (-np.sin(alpha) + math.sqrt(n * (n - 2)) * np.cos(alpha) * np.sin(beta)) / root

    def given(alpha: NDArray[np.float64]) -> NDArray[np.float64]:
        along = math.sqrt(n * (n - 2)) / (n - 1) * np.cos(alpha)[..., None]
        corners = _arcsin((kinks + np.sin(alpha)[..., None] / (n - 1)) / along)
        alpha = alpha[..., None, None]
        inner = integrate(
            lambda beta: function(root * np.sin(alpha), second(alpha, beta)) * _angle_density(beta, n - 4),
            _panels(corners, n),
        )
        return inner * _angle_density(alpha[..., 0, 0], n - 3)

    # A kink of x_2 bends the outer integrand where it enters the circle of x_1, at the ends ±arcsin of its bound.
    rims = [sign * kink for kink in kinks for sign in (1, -1)]
    return float(integrate(given, _panels(_arcsin(np.concatenate([kinks, np.asarray(rims)])), n)))


def _panels(corners: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    """Edges of quadrature over an angle of density cosⁿ, split at ``corners`` (last axis)."""
    reach = min(math.pi / 2, 14 / math.sqrt(n))
    regular = np.broadcast_to(np.linspace(-reach, reach, 25), (*corners.shape[:-1], 25))
    return np.sort(np.concatenate([regular, np.clip(corners, -reach, reach)], axis=-1), axis=-1)


def _angle_density(angle: NDArray[np.float64], power: int) -> NDArray[np.float64]:
    """Density ∝ cosᵖ on [−π/2, π/2]."""
    log_norm = gammaln(power / 2 + 1) - gammaln((power + 1) / 2) - 0.5 * math.log(math.pi)
    return math.exp(log_norm) * np.cos(angle) ** power


def _arcsin(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.arcsin(np.clip(x, -1.0, 1.0))
