r"""One layer of batch normalisation with Gaussian or Haar weights, seen from the samples' Gram matrix.

The layer is $x' = \mathrm{BN}(xW^\top)$ with rows of $x$ samples, $n \le d$ of them; BN divides each feature by its
norm over the batch, without mean, affine part and epsilon; with an exponent $\alpha < 1$ it is fractional. A
**spectrum** is the $n$ eigenvalues of $xx^\top$, the squared singular values of $x$, here on the scale of sum 1: that
is the papers' scale, where $\lVert x\rVert_F = 1$.
"""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from leadline._core.errors import AssumptionError
from leadline.theory.isometry import checked_spectrum


def orthogonality_applies(x: ArrayLike) -> bool:
    """Whether statements on the orthogonality of samples hold for ``x``: n ≤ d, samples independent, finite.

    >>> [orthogonality_applies(x) for x in (np.eye(4)[:3], np.eye(4)[:, :3], np.ones((2, 4)))]
    [True, False, False]
    """
    x = np.asarray(x, np.float64)
    if x.ndim != 2 or x.shape[0] > x.shape[1] or not x.size or not np.isfinite(x).all():
        return False
    return int(np.linalg.matrix_rank(x)) == x.shape[0]


def spectrum_orthogonality_gap(spectrum: ArrayLike) -> float:
    r"""Orthogonality gap of a spectrum, $V = \sqrt{\sum_i(\lambda_i - 1/n)^2}$ on the scale of sum 1.

    What ``leadline.metrics.orthogonality_gap`` measures of a representation with n ≤ d; in
    $[0, \sqrt{1 - 1/n}]$.

    Args:
        spectrum: The $n$ eigenvalues of $xx^\top$ (zeros included), on any scale.

    Returns:
        The gap, dimensionless.

    Raises:
        AssumptionError: If the eigenvalues are not finite, at least 0, and one of them above 0.

    Source:
        daneshmand2021, eq. 2.

    Example:
        >>> spectrum_orthogonality_gap([1.0, 1.0]), round(spectrum_orthogonality_gap([1.0, 0.0]) ** 2, 9)
        (0.0, 0.5)
    """
    return float(np.linalg.norm(unit_spectrum(spectrum) - 1 / np.size(spectrum)))


def smallest_deficit(spectrum: ArrayLike) -> float:
    r"""The Lyapunov function $\hat V = 1/n - \lambda_{\min}$ on the scale of sum 1, in $[0, 1/n]$.

    Args:
        spectrum: The $n$ eigenvalues of $xx^\top$ (zeros included), on any scale.

    Returns:
        The deficit; 0 for orthogonal samples of one length, $1/n$ for dependent ones.

    Raises:
        AssumptionError: If the eigenvalues are not finite, at least 0, and one of them above 0.

    Source:
        daneshmand2021, eq. 11.

    Example:
        >>> smallest_deficit([3.0, 1.0])
        0.25
    """
    return 1 / np.size(spectrum) - float(unit_spectrum(spectrum).min())


def expected_spectrum(spectrum: ArrayLike, *, alpha: float = 1.0) -> NDArray[np.float64]:
    r"""Eigenvalues of the expected Gram matrix behind one layer, in the order of ``spectrum``, of sum 1.

    In the eigenbasis of $xx^\top$ the expectation is diagonal, with

    $$p_i \propto \mathrm{E}\frac{\lambda_i w_i^2}{\bigl(\sum_k \lambda_kw_k^2\bigr)^\alpha} =
    \frac{1}{\Gamma(\alpha)} \int_0^\infty \frac{t^{\alpha-1}\lambda_i}{1 + 2t\lambda_i}
    \prod_j (1 + 2t\lambda_j)^{-1/2}\, dt, \qquad w \sim N(0, I).$$

    At $\alpha = 1$ they sum to 1 as they are. Order is kept, and near isometry
    $p_i - \tfrac1n = \bigl(1 - \tfrac{2\alpha}{n+2}\bigr)(\lambda_i - \tfrac1n)$ (``orthogonality_contraction``).

    Args:
        spectrum: The $n$ eigenvalues of $xx^\top$ (zeros included), on any scale.
        alpha: Exponent of fractional batch normalisation, in [0, 1]; 1 is batch normalisation.

    Returns:
        The $p_i$, to about 1e-10. Exact for Gaussian weights at every width with $\alpha = 1$ (with $\alpha < 1$ up to
        the fluctuation of the common scale, of relative order $1/d$), and near isometry for Haar weights too.

    Raises:
        AssumptionError: If the eigenvalues are not finite, at least 0, and one of them above 0, or ``alpha`` is
            outside [0, 1].

    Source:
        daneshmand2021, lemma 6 and eq. 15, there for $\alpha = 1$. Eq. 15 shows the product over $j \ne n$ with the
        exponent +1/2; it is over all $j$ with −1/2. Eq. 13 writes the index n for i.

    Example:
        >>> expected_spectrum([0.75, 0.25]).round(4)  # √λ_i / (√λ_1 + √λ_2)
        array([0.634, 0.366])
    """
    values = unit_spectrum(spectrum)
    if not 0 <= alpha <= 1:
        raise AssumptionError(f"alpha must be in [0, 1], got {alpha}.")
    if alpha == 0:
        return values
    # In log t, where the trapezoidal rule is exact to rounding; below -40 it is a geometric series.
    log_t, step = np.linspace(-40.0, 80.0, 4801, retstep=True)
    t = np.exp(log_t)[:, None] * values
    weight = np.exp(alpha * log_t - 0.5 * np.log1p(2 * t).sum(axis=1))
    below = math.exp(-40 * alpha) / math.expm1(alpha * step)
    p = values * (np.sum(weight[:, None] / (1 + 2 * t), axis=0) + below)
    return p / p.sum()


def sampling_noise(spectrum: ArrayLike, *, d: int) -> float:
    r"""Mean squared Frobenius distance of the next Gram matrix from its expectation, Gaussian weights.

    $$\mathrm{E}\lVert C' - \mathrm{E}\,C'\rVert_F^2 = \frac{1 - \sum_i p_i^2}{d} \le \frac1d,$$

    with $p$ of ``expected_spectrum``: $C'$ is the mean of $d$ independent projections on a line. It bounds
    $\mathrm{E}(\hat V' - (1/n - p_n))^2$ too.

    Args:
        spectrum: The $n$ eigenvalues of $xx^\top$, on any scale.
        d: Width.

    Returns:
        The variance, on the scale $\mathrm{tr}\,C' = 1$.

    Raises:
        AssumptionError: If the eigenvalues are not finite, at least 0, and one of them above 0, or ``d`` is below 1.

    Source:
        daneshmand2021, lemmas 6 and 7, which have the bound $1/d$; the equality is leadline's.

    Example:
        >>> round(sampling_noise([1.0, 1.0], d=50), 6)
        0.01
    """
    if d < 1:
        raise AssumptionError(f"A width is at least 1, got d={d}.")
    return (1 - float(np.square(expected_spectrum(spectrum)).sum())) / d


def orthogonality_contraction(n: int, *, alpha: float = 1.0) -> float:
    r"""Factor by which a layer shrinks the expected deviation of the samples' Gram matrix from isometry.

    $$1 - \frac{2\alpha}{n+2}, \qquad \frac{n}{n+2} \text{ for batch normalisation.}$$

    To first order in the deviation, for Gaussian and Haar weights of every width $d \ge n$: features' directions are
    uniform, and $\mathrm{E}\,u_i^2u_k^2 = (1 + 2\delta_{ik})/(n(n+2))$.

    Args:
        n: Samples, at least 1, at most the width.
        alpha: Exponent of fractional batch normalisation, in [0, 1].

    Returns:
        The factor per layer.

    Raises:
        AssumptionError: If ``n`` is below 1 or ``alpha`` outside [0, 1].

    Source:
        leadline; daneshmand2021, theorem 5, has the weaker $1 - \tfrac{2}{3n}$ for the smallest eigenvalue.

    Example:
        >>> orthogonality_contraction(2), orthogonality_contraction(8, alpha=0.5)
        (0.5, 0.9)
    """
    if n < 1 or not 0 <= alpha <= 1:
        raise AssumptionError(f"The contraction needs n >= 1 and alpha in [0, 1], got n={n} and alpha={alpha}.")
    return 1 - 2 * alpha / (n + 2)


def unit_spectrum(spectrum: ArrayLike) -> NDArray[np.float64]:
    """The eigenvalues on the scale of sum 1."""
    values = checked_spectrum(spectrum)
    return values / values.sum()


def check_sizes(n: int, d: int) -> None:
    """Refuse other than 2 ≤ n ≤ d."""
    if not 2 <= n <= d:
        raise AssumptionError(f"Needs 2 <= n <= d, got n={n} and d={d}.")


def root(value: float) -> float:
    """Square root of what rounding may have put below 0."""
    return math.sqrt(max(value, 0.0))
