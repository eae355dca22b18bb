r"""One layer $\mathrm{BN}_\alpha(xW^\top)$ at isometry: the squared orthogonality gap it adds, and its contraction."""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, gammaln, log_expit

from leadline.theory.orthogonality_step import orthogonality_contraction


def gaussian_layer(n: int, d: int, alpha: float) -> tuple[float, float]:
    """Noise and factor of the squared gap with Gaussian weights: features are independent vectors of n samples."""
    spread = math.exp(gammaln(n / 2 + 2 - 2 * alpha) + gammaln(n / 2) - 2 * gammaln(n / 2 + 1 - alpha))
    return (n - 1) / (n * d) * spread, orthogonality_contraction(n, alpha=alpha) ** 2


def haar_layer(n: int, d: int, alpha: float) -> tuple[float, float]:
    r"""The same for Haar weights: features are the columns of a uniform frame of n orthonormal rows; to about 1e-10.

    A column has the squared length t. Another has $b(1 - ty)$, and with the first the squared inner product
    $tb(1 - t)y$, for independent beta variables t, b and y. As the rows are orthonormal,
    $\sum_k \bigl(\langle c_j, c_k\rangle^2 - \lvert c_j\rvert^2 \lvert c_k\rvert^2/n\bigr) = 0$ for every column j, so
    that any constant may be taken from the inverse lengths $R^{-2\alpha}$. With $g(s) = (sd/n)^{-\alpha} - 1$ each
    term of the noise is of its own order, $\alpha^2(1 - n/d)$, and no digit is lost.
    """
    share = n / d
    factor = 1 - (4 * alpha - 2 * alpha**2 * share) / (n + 2) + 4 * alpha**2 * (1 - share) / (n + 2) ** 2
    if n == d:
        return 0.0, factor
    t, short_of_t, t_weights = (each[:, None] for each in _beta(n / 2, (d - n) / 2))
    b, _, b_weights = _beta(n / 2, (d - n - 1) / 2)
    y, short_of_y, y_weights = _beta(0.5, (n - 1) / 2)
    own, other = np.expm1(-alpha * np.log(t / share)), np.expm1(-alpha * np.log(b / share))
    rest = short_of_t + t * short_of_y  # 1 - ty
    change = np.expm1(-alpha * np.log(rest))
    # b g(b (1 - ty)), and b over the inverse length, averaged over b.
    deviating = float(b_weights @ (b * other)) * (1 + change) + float(b_weights @ b) * change
    divided = float(b_weights @ (b * (1 + other))) * (1 + change)
    pairs = d * (d - 1) * t_weights * y_weights
    alone = d * float(np.sum(t_weights * np.square(t * own))) * (1 - 1 / n)
    together = float(np.sum(pairs * t * own * deviating * (n * y * short_of_t - rest))) / n
    trace = d * float(np.sum(t_weights * np.square(t * (1 + own))))
    traces = float(np.sum(pairs * t * (1 + own) * divided * rest))
    return (alone + together) / (trace + traces), factor


def _beta(a: float, b: float) -> tuple[NDArray[np.float64], ...]:
    """Nodes of the beta law, what they lack of 1, and weights; the point 1 where the second parameter is 0.

    The trapezoidal rule in log(t/(1 - t)), which is exact to rounding for averages of any powers of t and 1 - t.
    """
    if b == 0:
        return np.ones(1), np.zeros(1), np.ones(1)
    # At a distance x from the mode the log density is lower by sharpness (x - 1 + exp(-x)) at least: 40 at the ends.
    sharpness = a * b / (a + b)
    reach, step = 40 / sharpness + math.sqrt(80 / sharpness), 0.35 / math.sqrt(1 + sharpness)
    steps = math.ceil(reach / step)
    log_odds = math.log(a / b) + step * np.arange(-steps, steps + 1)
    log_density = a * log_expit(log_odds) + b * log_expit(-log_odds)
    weights = np.exp(log_density - log_density.max())
    kept = weights > 1e-18
    return expit(log_odds[kept]), expit(-log_odds[kept]), weights[kept] / weights.sum()
