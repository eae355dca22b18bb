r"""Where batch normalisation leaves the samples' Gram matrix after many layers: how orthogonal, and how many samples.

The layer is $x' = \mathrm{BN}_\alpha(xW^\top)$, the identity as activation; rows of $x$ are samples and $\alpha$ is the
exponent of fractional batch normalisation, 1 for batch normalisation. Each layer contracts the deviation from isometry
and adds the sampling noise of $d$ random features. With Gaussian weights, many features and small steps the Gram
matrix is a diffusion that settles, up to scale, at a **Wishart law** with $\nu \approx 4\alpha d/n$ degrees of freedom.
"""

import math

import numpy as np
from scipy.special import digamma

from leadline._core.errors import AssumptionError
from leadline._core.names import check_choice
from leadline.theory.gram_noise import gaussian_layer, haar_layer
from leadline.theory.orthogonality_step import check_sizes

WEIGHTS = ("gaussian", "haar")


def surviving_samples(d: int, *, alpha: float = 1.0) -> int:
    r"""How many samples Gaussian weights of width $d$ keep apart at any depth.

    The largest n with $(n-1)(n+2) < 4\alpha d$, about $2\sqrt{\alpha d}$. A batch of more collapses, at a rate of order
    $1/d$ a layer, onto a Gram matrix of this rank. Haar weights keep all $n \le d$ samples.

    Args:
        d: Width, at least 1.
        alpha: Exponent of fractional batch normalisation, in (0, 1].

    Returns:
        The number, at least 1 and at most ``d``.

    Raises:
        AssumptionError: If ``d`` is below 1 or ``alpha`` outside (0, 1].

    Source:
        leadline: the Wishart law has a density for $\nu > n - 1$ only, here for small $\alpha$; at $\alpha = 1$ the
        spectrum of many samples gives $\sqrt{4d + 3} - 1$, within one of it. Dense networks of width 32, 64 and
        128 end at ranks of 9 to 10, 14 to 15 and 20 to 22: a direction just beyond the edge fades over many times d
        layers. daneshmand2021 states $d = \Omega(n^2)$ without the constant.

    Example:
        >>> [surviving_samples(d) for d in (32, 64, 128)], surviving_samples(128, alpha=0.1)
        ([10, 15, 22], 6)
    """
    if d < 1:
        raise AssumptionError(f"A width is at least 1, got d={d}.")
    _check_alpha(alpha)
    return min(max(math.ceil((-1 + math.sqrt(9 + 16 * alpha * d)) / 2) - 1, 1), d)


def gram_degrees_of_freedom(*, n: int, d: int, alpha: float = 1.0, weights: str = "gaussian") -> float:
    r"""Degrees of freedom $\nu$ of the Wishart law that the shape of the samples' Gram matrix has at stationarity.

    $$\nu = \frac{(n-1)(n+2)}{n^2\,V_0^2}, \qquad V_0^2 = \frac{\text{noise}}{1 - f},$$

    from one layer at isometry: the squared orthogonality gap that it adds, and the factor $f$ by which it shrinks a
    squared gap.

    Gaussian weights: $f = (1 - \frac{2\alpha}{n+2})^2$ and noise
    $\frac{n-1}{nd}\,\frac{\Gamma(n/2+2-2\alpha)\,\Gamma(n/2)}{\Gamma(n/2+1-\alpha)^2}$, together
    $\nu = \frac{4d(n+1)}{n(n+2)}$ at $\alpha = 1$ and $\frac{4\alpha d}{n+2}$ for small $\alpha$.

    Haar weights: noise by quadrature over the joint law of two features, of order $\alpha^2(1 - n/d)$, and
    $f = 1 - \frac{4\alpha - 2\alpha^2n/d}{n+2} + \frac{4\alpha^2(1-n/d)}{(n+2)^2}$, exact at n = d and for
    $d \to \infty$.

    Args:
        n: Samples, 2 ≤ n ≤ d.
        d: Width.
        alpha: Exponent of fractional batch normalisation, in (0, 1].
        weights: ``"gaussian"`` or ``"haar"``.

    Returns:
        $\nu$; ``inf`` for Haar weights with n = d, which reach isometry.

    Raises:
        AssumptionError: If not 2 ≤ n ≤ d, ``alpha`` is outside (0, 1], or Gaussian weights do not keep n samples apart
            (n > ``surviving_samples``).
        UsageError: If there are no such weights.

    Source:
        leadline; derivation on the page on the laws of depth.

    Example:
        >>> round(gram_degrees_of_freedom(n=4, d=40), 2), gram_degrees_of_freedom(n=8, d=8, weights="haar")
        (33.33, inf)
    """
    _check(n, d, alpha, weights)
    if weights == "gaussian" and n > surviving_samples(d, alpha=alpha):
        raise AssumptionError(
            f"Gaussian weights of width {d} keep {surviving_samples(d, alpha=alpha)} samples apart at alpha={alpha}, "
            f"got n={n}; take more features, fewer samples or Haar weights."
        )
    noise, factor = (gaussian_layer if weights == "gaussian" else haar_layer)(n, d, alpha)
    return math.inf if noise == 0 else (n - 1) * (n + 2) * (1 - factor) / (n * n * noise)


def orthogonality_plateau(*, n: int, d: int, alpha: float = 1.0, weights: str = "gaussian") -> float:
    r"""Root mean square of the samples' orthogonality gap after many layers.

    $$\mathrm{E}V^2 = \frac{\nu + k + 1}{k\nu + 2} - \frac1n = \frac{(k-1)(k+2)}{k(k\nu + 2)} + \frac1k - \frac1n,$$

    $\nu$ of ``gram_degrees_of_freedom`` and $k = n$. For batch normalisation, Gaussian weights and $d \gg n^2$ it is
    $V = c_n/\sqrt d$ with $c_n = \frac{n+2}{2}\sqrt{\frac{n-1}{n(n+1)}}$; it rises as $\alpha$ falls, like
    $1/\sqrt\alpha$. With more samples than Gaussian weights keep apart $k$ is ``surviving_samples`` and
    $\nu = 4\alpha d/(k+2)$: the participation ratio $1/(V^2 + 1/n)$ tends to $\sqrt{\alpha d}$. For Haar weights
    $V^2 \approx \frac{\alpha}{2d}(1 - \frac nd)$ for small $\alpha$: it falls with $\alpha$.

    Args:
        n: Samples, 2 ≤ n ≤ d.
        d: Width.
        alpha: Exponent of fractional batch normalisation, in (0, 1].
        weights: ``"gaussian"`` or ``"haar"``.

    Returns:
        The gap, dimensionless: within 3 % of dense runs for Haar weights, 9 % for Gaussian ones.

    Raises:
        AssumptionError: If not 2 ≤ n ≤ d or ``alpha`` is outside (0, 1].
        UsageError: If there are no such weights.

    Source:
        leadline. daneshmand2021, theorem 1, bounds the mean gap by $3n/(a\sqrt d)$; daneshmand2020 finds ranks of the
        order of $\sqrt d$.

    Example:
        >>> round(orthogonality_plateau(n=4, d=512) * 512**0.5, 2), orthogonality_plateau(n=8, d=8, weights="haar")
        (1.16, 0.0)
    """
    _check(n, d, alpha, weights)
    k = min(n, surviving_samples(d, alpha=alpha)) if weights == "gaussian" else n
    nu = 4 * alpha * d / (k + 2) if k < n else gram_degrees_of_freedom(n=n, d=d, alpha=alpha, weights=weights)
    if math.isinf(nu):
        return 0.0
    return math.sqrt((k - 1) * (k + 2) / (k * (k * nu + 2)) + (1 / k - 1 / n))


def isometry_gap_plateau(*, n: int, d: int, alpha: float = 1.0, weights: str = "gaussian") -> float:
    r"""Expected isometry gap of the samples after many layers.

    $$\psi(n\nu/2) - \log n - \frac1n \sum_{i=0}^{n-1} \psi\Bigl(\frac{\nu-i}{2}\Bigr) \approx \frac{n+1}{2\nu},$$

    that of the Wishart law with the $\nu$ of ``gram_degrees_of_freedom``.

    Args:
        n: Samples, 2 ≤ n ≤ d.
        d: Width.
        alpha: Exponent of fractional batch normalisation, in (0, 1].
        weights: ``"gaussian"`` or ``"haar"``.

    Returns:
        Nats; ``inf`` where Gaussian weights do not keep n samples apart (the gap then grows with depth), 0 for Haar
        weights with n = d.

    Raises:
        AssumptionError: If not 2 ≤ n ≤ d or ``alpha`` is outside (0, 1].
        UsageError: If there are no such weights.

    Source:
        leadline.

    Example:
        >>> round(isometry_gap_plateau(n=10, d=100, weights="haar"), 3), isometry_gap_plateau(n=20, d=40)
        (0.024, inf)
    """
    _check(n, d, alpha, weights)
    if weights == "gaussian" and n > surviving_samples(d, alpha=alpha):
        return math.inf
    nu = gram_degrees_of_freedom(n=n, d=d, alpha=alpha, weights=weights)
    if math.isinf(nu):
        return 0.0
    return float(digamma(n * nu / 2) - math.log(n) - np.mean(digamma((nu - np.arange(n)) / 2)))


def _check(n: int, d: int, alpha: float, weights: str) -> None:
    check_choice("weights", weights, WEIGHTS)
    check_sizes(n, d)
    _check_alpha(alpha)


def _check_alpha(alpha: float) -> None:
    if not 0 < alpha <= 1:
        raise AssumptionError(f"alpha must be in (0, 1], got {alpha}.")
