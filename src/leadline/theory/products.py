"""Products of independent Gaussian matrices: growth of norms, and the density of singular values."""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import digamma, polygamma

from leadline._core.errors import AssumptionError


def log_norm_drift(d: int, *, std: float = 1.0) -> float:
    r"""Expected growth of $\log\|x\|$ under one Gaussian matrix, $\mathrm{E}\log(\|Wx\|/\|x\|)$.

    $$\log\sigma + \tfrac12\bigl(\psi(d/2) - \log(d/2)\bigr) \approx \log\sigma - \frac{1}{2d},$$

    exact at every width for entries $N(0, \sigma^2/d)$: $\|Wx\|^2/\|x\|^2$ is $\sigma^2\chi^2_d/d$. So a product
    that keeps the mean square loses norm with depth, and a gradient's log-norm is a random walk with this drift.
    Convolutions and activations change it.

    Args:
        d: Width, at least 1.
        std: $\sigma$.

    Returns:
        Nats per layer.

    Raises:
        AssumptionError: If ``d`` is below 1 or ``std`` not positive.

    Source:
        newman1986 (Commun. Math. Phys. 103, 121), eq. 7: the largest Lyapunov exponent.

    Example:
        >>> round(log_norm_drift(100), 6)
        -0.005017
    """
    return lyapunov_exponents(d, std=std, count=1)[0].item()


def log_norm_deviation(d: int) -> float:
    r"""Standard deviation of the growth of $\log\|x\|$ under one Gaussian matrix, $\tfrac12\sqrt{\psi_1(d/2)}$.

    About $1/\sqrt{2d}$; after L independent layers the log-norm has spread $\sqrt L$ times as far.

    Args:
        d: Width, at least 1.

    Returns:
        Nats.

    Raises:
        AssumptionError: If ``d`` is below 1.

    Source:
        The variance of a logarithmic chi-square variable.

    Example:
        >>> round(log_norm_deviation(100) * 200**0.5, 3)
        1.005
    """
    _check_width(d)
    return 0.5 * math.sqrt(float(polygamma(1, d / 2)))


def lyapunov_exponents(d: int, *, std: float = 1.0, count: int | None = None) -> NDArray[np.float64]:
    r"""Growth rates of the singular values of $W_L \cdots W_1$ per factor, largest first.

    $$\mu_k = \log\sigma + \tfrac12\bigl(\psi\bigl(\tfrac{d-k+1}{2}\bigr) - \log\tfrac d2\bigr),
    \qquad k = 1, \dots, d.$$

    The gap $\mu_1 - \mu_2$, about $1/(2d)$, is the rate at which a deep Gaussian product aligns all samples: no choice
    of $\sigma$ changes it. Orthogonal factors have all exponents equal.

    Args:
        d: Width, at least 1.
        std: $\sigma$; entries have variance $\sigma^2/d$.
        count: How many of the largest; all by default.

    Returns:
        Nats per layer, decreasing, shape ``(count,)``.

    Raises:
        AssumptionError: If ``d`` is below 1, ``std`` not positive, or ``count`` not in [1, d].

    Source:
        newman1986 (Commun. Math. Phys. 103, 121), eq. 7.

    Example:
        >>> lyapunov_exponents(4).round(3)
        array([-0.135, -0.328, -0.635, -1.328])
    """
    _check_width(d)
    if not std > 0:
        raise AssumptionError(f"std must be positive, got {std}.")
    count = d if count is None else count
    if not 1 <= count <= d:
        raise AssumptionError(f"A product of {d} x {d} matrices has 1 to {d} exponents, got count={count}.")
    k = np.arange(count)
    return math.log(std) + 0.5 * (digamma((d - k) / 2) - math.log(d / 2))


def product_edge(factors: int) -> float:
    r"""Largest singular value of a product of M wide Gaussian matrices, $\sqrt{(M+1)^{M+1}/M^M}$.

    Args:
        factors: M, at least 1. Entries have variance 1/N, N → ∞ at fixed M.

    Returns:
        The right edge of the density; about $\sqrt{e M}$ for many factors. The left edge is 0.

    Raises:
        AssumptionError: If ``factors`` is below 1.

    Source:
        bjorck2018, theorem 1; penson2011 (arXiv:1103.3453).

    Example:
        >>> product_edge(1)
        2.0
    """
    _check_factors(factors)
    return math.exp(0.5 * ((factors + 1) * math.log(factors + 1) - factors * math.log(factors)))


def product_density(s: ArrayLike, *, factors: int) -> NDArray[np.float64]:
    r"""Density of the singular values of a product of M wide Gaussian matrices.

    With $\varphi \in (0, \pi/(M+1))$ the angle at which

    $$s^2 = \frac{\sin^{M+1}((M+1)\varphi)}{\sin\varphi\,\sin^M(M\varphi)}, \qquad
    \rho_M(s) = \frac{2}{\pi s}\,\frac{\sin((M+1)\varphi)\,\sin\varphi}{\sin(M\varphi)}.$$

    One factor gives the quarter circle $\sqrt{4 - s^2}/\pi$; from two on the density is infinite at 0, and the
    condition number grows with every factor whatever the scale of the weights.

    Args:
        s: Singular values, any shape.
        factors: M, at least 1. Entries have variance 1/N, N → ∞ at fixed M.

    Returns:
        The density in the shape of ``s``, to about 1e-12 relative, and where the angle is near an end of its range to
        about $10^{-15}$ over $s^{2/(M+1)}$ at small s and over 1 - s/edge at the right; 0 outside
        $[0, \text{edge}]$, ``inf`` at 0 for two factors and more, ``nan`` for ``nan``. Its second moment is 1.

    Raises:
        AssumptionError: If ``factors`` is below 1.

    Source:
        bjorck2018, theorem 1, there for the squared value; parametrised as in forrester2014 (arXiv:1401.7802).

    Example:
        >>> product_density([0.0, 1.0, 2.5], factors=1).round(4)
        array([0.6366, 0.5513, 0.    ])
    """
    _check_factors(factors)
    s = np.asarray(s, np.float64)
    inside = (s > 0) & (s < product_edge(factors))
    angle = product_angle(np.where(inside, s, 1.0), factors=factors)
    ratio = np.sin((factors + 1) * angle) * np.sin(angle) / np.sin(factors * angle)
    at_zero = 2 / math.pi if factors == 1 else math.inf
    density = np.where(inside, 2 * ratio / (math.pi * np.where(inside, s, 1.0)), np.where(s == 0, at_zero, 0.0))
    return np.asarray(np.where(np.isnan(s), np.nan, density))


def product_angle(s: NDArray[np.float64], *, factors: int) -> NDArray[np.float64]:
    """The angle of each singular value: the squared value falls from the edge to 0 as the angle grows."""
    low, high = np.zeros_like(s), np.full_like(s, math.pi / (factors + 1))
    target = 2 * np.log(s)
    for _ in range(60):
        middle = (low + high) / 2
        value = (
            (factors + 1) * np.log(np.sin((factors + 1) * middle))
            - np.log(np.sin(middle))
            - factors * np.log(np.sin(factors * middle))
        )
        low, high = np.where(value > target, middle, low), np.where(value > target, high, middle)
    return np.asarray((low + high) / 2)


def _check_width(d: int) -> None:
    if d < 1:
        raise AssumptionError(f"A width is at least 1, got d={d}.")


def _check_factors(factors: int) -> None:
    if factors < 1:
        raise AssumptionError(f"A product has at least one factor, got factors={factors}.")
