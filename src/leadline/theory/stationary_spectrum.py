"""The spectrum that a deep linear network with batch normalisation settles at: a Marchenko-Pastur law."""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from leadline._core.errors import AssumptionError

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(64)


def batch_norm_rank(*, n: int, d: int) -> float:
    r"""Participation ratio that a deep linear network with batch normalisation settles at.

    $$r = \frac{k}{1 + y}, \qquad y = \frac{(k+2)^2 (k-1)}{4d(k+1)}, \qquad k = \min(n, \sqrt{4d+3} - 1)$$

    for $H' = \mathrm{BN}(HW^\top)$ without centring, W of independent entries of mean 0 and one variance, and n
    linearly independent samples; a skip connection only changes how fast it is reached. With batch statistics that
    subtract the mean, $n - 1$ takes the place of n. The fluctuations that a layer of finite width adds balance the
    contraction by $n/(n+2)$; the stationary spectrum is that of ``batch_norm_spectrum``. For $n \ge 2\sqrt d$ the ratio
    is $\sqrt d$ to leading order.

    Exact for wide networks at fixed n, and in the limit at fixed $n/\sqrt d$. Networks lie below it: by .5 % at
    (n, d) = (32, 1024), 1.4 % at (64, 1024), and for $n = d$ by 8, 6, 4 and 3 % at d = 8, 32, 128 and 256.

    Args:
        n: Linearly independent samples, at least 1.
        d: Width, at least 1.

    Returns:
        $r$, at least 1.

    Raises:
        AssumptionError: If ``n`` or ``d`` is below 1.

    Source:
        leadline's derivation, "Rank behind batch normalisation". daneshmand2020, theorem 2, proves the order $\sqrt d$
        from below.

    Example:
        >>> round(batch_norm_rank(n=32, d=1024), 2), round(batch_norm_rank(n=1024, d=1024), 2)
        (25.29, 31.51)
    """
    kept, ratio = _kept(n, d)
    return max(kept / (1 + ratio), 1.0)


def batch_norm_soft_rank(*, n: int, d: int, tau: float = 0.5) -> float:
    r"""Soft rank that a deep linear network with batch normalisation settles at.

    The number of eigenvalues of $H^\top H/n$ at or above $\tau$ times their mean over all d features, zeros included,
    as in ``leadline.metrics.soft_rank``: $k\,P(\lambda \ge \tau k/d)$ with k of ``batch_norm_rank`` and $\lambda$ of
    the law of ``batch_norm_spectrum``. For $n = d$ it is $2\sqrt d\,(1 - \tfrac{2\sqrt{2\tau}}{\pi} d^{-1/4} - \dots)$,
    so that on a logarithmic plot its slope is above 1/2 at every width that one can try.

    Args:
        n: Linearly independent samples, at least 1.
        d: Width, at least 1.
        tau: The threshold in [0, 1).

    Returns:
        The expected number, real. Dense networks with $n = d$ and $\tau = .5$ lie 9, 4 and 4 % below it at d = 32, 128
        and 256.

    Raises:
        AssumptionError: If ``n`` or ``d`` is below 1 or ``tau`` not in [0, 1).

    Source:
        leadline's derivation, "Rank behind batch normalisation"; daneshmand2020, figure 3, shows it for $n = d$,
        $\tau = .5$.

    Example:
        >>> round(batch_norm_soft_rank(n=256, d=256), 1)
        26.2
    """
    if not 0 <= tau < 1:
        raise AssumptionError(f"The soft rank is defined for tau in [0, 1), got {tau:g}.")
    kept, ratio = _kept(n, d)
    if ratio == 0:
        return kept
    cosine = (tau * kept / d - 1 - ratio) / (2 * math.sqrt(ratio))
    end = math.acos(min(max(cosine, -1.0), 1.0))
    t = end / 2 * (1 + _NODES)
    # The share above the threshold, with the eigenvalue 1 + y + 2√y cos t.
    density = 2 / math.pi * np.sin(t) ** 2 / (1 + ratio + 2 * math.sqrt(ratio) * np.cos(t))
    return kept * end / 2 * float(_WEIGHTS @ density)


def batch_norm_spectrum(*, n: int, d: int) -> tuple[float, float]:
    r"""Edges $(1 \mp \sqrt y)^2$ of the stationary eigenvalues of the samples' Gram matrix, over their mean.

    With y of ``batch_norm_rank``, about $n^2/(4d)$: the law is Marchenko and Pastur's with that ratio, as if the n
    samples were independent Gaussian ones of $4d/n$ features. At ``surviving_samples`` the lower edge reaches 0, and
    samples beyond it are lost; for those the edges are of the directions that stay. Few samples do not fill the law to
    its edges: at (8, 1024) the extreme eigenvalues are .79 and 1.23 on average, the edges .74 and 1.29.

    Args:
        n: Linearly independent samples, at least 1.
        d: Width, at least 1.

    Returns:
        The smallest and the largest eigenvalue over the mean of those that stay, in [0, 4].

    Raises:
        AssumptionError: If ``n`` or ``d`` is below 1.

    Source:
        leadline's derivation, "Rank behind batch normalisation".

    Example:
        >>> [round(edge, 3) for edge in batch_norm_spectrum(n=32, d=1024)]
        [0.235, 2.295]
    """
    root = math.sqrt(_kept(n, d)[1])
    return (1 - root) ** 2, (1 + root) ** 2


def batch_norm_spectrum_density(x: ArrayLike, *, n: int, d: int) -> NDArray[np.float64]:
    r"""Density of the stationary eigenvalues of the samples' Gram matrix, over their mean.

    $$\rho(x) = \frac{\sqrt{(b - x)(x - a)}}{2\pi y x}, \qquad a, b = (1 \mp \sqrt y)^2.$$

    Args:
        x: Eigenvalues over their mean, any shape.
        n: Linearly independent samples, at least 2.
        d: Width, at least 1.

    Returns:
        The density in the shape of ``x``, of mass 1, mean 1 and second moment $1 + y$; 0 outside the edges, ``nan`` for
        ``nan``.

    Raises:
        AssumptionError: If ``n`` is below 2 (one sample has one eigenvalue) or ``d`` below 1.

    Source:
        leadline's derivation, "Rank behind batch normalisation".

    Example:
        >>> batch_norm_spectrum_density([0.1, 1.0, 3.0], n=32, d=1024).round(4)
        array([0.    , 0.5974, 0.    ])
    """
    if n < 2:
        raise AssumptionError(f"A density needs at least two samples, got n={n}.")
    x = np.asarray(x, np.float64)
    ratio = _kept(n, d)[1]
    low, high = batch_norm_spectrum(n=n, d=d)
    at = np.where((x > low) & (x < high), x, high)
    value = np.sqrt((high - at) * (at - low)) / (2 * math.pi * ratio * at)
    return np.asarray(np.where(np.isnan(x), math.nan, value))


def _kept(n: int, d: int) -> tuple[float, float]:
    """The directions that stay, and the ratio y of their law: 1 at the number that can."""
    _check(n, d)
    kept = min(float(n), math.sqrt(4 * d + 3) - 1)  # what stays, in the limit of many samples and its first correction
    return kept, min((kept + 2) ** 2 * (kept - 1) / (4 * d * (kept + 1)), 1.0)


def _check(n: int, d: int) -> None:
    if n < 1 or d < 1:
        raise AssumptionError(f"The law needs at least one sample and one feature, got n={n}, d={d}.")
