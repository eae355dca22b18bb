r"""How batch normalisation brings the Gram spectrum of enough samples to isometry, step by step and with depth.

The layer is $x' = \mathrm{BN}(xW^\top)$: rows of $x$ are samples, $W$ is a Haar orthogonal matrix, and BN divides each
feature (column) by its norm over the batch: no mean, no affine part, no epsilon; a common factor does not matter. All
needs at least as many samples as features, $n \ge d$, and full rank: then $x^\top x$ is a $d \times d$ matrix without
zero eigenvalues. A **spectrum** here is its eigenvalues, the squared singular values of $x$, on any scale.
"""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from leadline._core.errors import AssumptionError
from leadline._core.names import check_choice

_FORMS = ("sharp", "loose")
# The drift's integrand in log t: flat ends are below 1e-17 here for every spectrum of mean 1.
_LOG_T = np.linspace(-40.0, 60.0, 4001)


def isometry_applies(x: ArrayLike) -> bool:
    """Whether what this module says holds for ``x``: at least as many samples as features, full rank, finite.

    >>> isometry_applies(np.eye(4)[:, :3]), isometry_applies(np.eye(4)[:3]), isometry_applies(np.ones((4, 2)))
    (True, False, False)
    """
    x = np.asarray(x, np.float64)
    if x.ndim != 2 or x.shape[0] < x.shape[1] or not x.size or not np.isfinite(x).all():
        return False
    return int(np.linalg.matrix_rank(x)) == x.shape[1]


def spectrum_gap(spectrum: ArrayLike) -> float:
    r"""Isometry gap of a spectrum, $\log\bigl(\tfrac1d\sum_i\lambda_i\bigr) - \tfrac1d\sum_i\log\lambda_i$.

    What ``leadline.metrics.isometry_gap`` measures of a representation.

    Args:
        spectrum: Eigenvalues $\lambda_i \ge 0$ on any scale.

    Returns:
        Nats, at least 0; ``inf`` where an eigenvalue is 0.

    Raises:
        AssumptionError: If there is no eigenvalue, a negative or non-finite one, or none above 0.

    Source:
        meterez2023, eq. 5.

    Example:
        >>> round(spectrum_gap([1.0, 3.0]), 6) == round(0.5 * math.log(4 / 3), 6)
        True
    """
    values = checked_spectrum(spectrum)
    with np.errstate(divide="ignore"):
        return max(-float(np.mean(np.log(values))), 0.0)


def isometry_gain(x: ArrayLike) -> float:
    r"""By how much one batch normalisation lowers the isometry gap, exactly.

    $$\phi(x) - \phi(\mathrm{BN}(x)) = \log \frac{\tfrac1d\sum_j R_j^2}{\bigl(\prod_j R_j^2\bigr)^{1/d}} \ge 0,$$

    $R_j$ the norm of feature $j$: determinant and trace of $D^{-1}x^\top xD^{-1}$, $D = \mathrm{diag}\,R$, are
    $\det(x^\top x)/\prod_j R_j^2$ and $d$. Zero exactly when all features are equally long.

    Args:
        x: Representations of ``n`` samples in ``d`` features.

    Returns:
        Nats.

    Raises:
        AssumptionError: If ``isometry_applies(x)`` is false; for n < d the identity is false.

    Source:
        leadline; it implies the inequality of meterez2023, section 3 (``isometry_gain_bound``). There samples are
        columns.

    Example:
        >>> round(isometry_gain(np.diag([1.0, 2.0])), 6) == round(math.log(2.5 / 2), 6)
        True
    """
    squares = np.square(_feature_norms(x))
    return float(np.log(squares.mean()) - np.mean(np.log(squares)))


def isometry_gain_bound(x: ArrayLike) -> float:
    r"""Lower bound of ``isometry_gain`` from the spread of the feature norms, $\log(1 + \mathrm{Var} R/\bar R^2)$.

    Behind an orthogonal $W$ it holds for $xW^\top$, whose gap is that of $x$.

    Args:
        x: Representations of ``n`` samples in ``d`` features.

    Returns:
        Nats, at least 0. About a quarter of the gain while the norms are nearly equal.

    Raises:
        AssumptionError: If ``isometry_applies(x)`` is false.

    Source:
        meterez2023, lemma 2 and the inequality before it, there for $e^{-\phi}$ and n = d. The prose speaks of the
        gap that does not decrease; it is the isometry $e^{-\phi}$ that does not.

    Example:
        >>> x = np.diag([1.0, 2.0])
        >>> 0 < isometry_gain_bound(x) <= isometry_gain(x)
        True
    """
    norms = _feature_norms(x)
    return math.log1p(float(norms.var() / np.square(norms.mean())))


def isometry_factor_bound(spectrum: ArrayLike) -> float:
    r"""Lower bound of the expected factor by which a layer raises the isometry $I = e^{-\phi}$.

    $$\frac{\mathrm{E}_W I(x')}{I(x)} \ge \Bigl(1 - \frac{S}{2d^2(d+2)}\Bigr)^{-1}, \qquad
    S = \sum_i (\lambda_i - 1)^2,$$

    with the eigenvalues on the scale of mean 1. One, and attained, at isometry. Never vacuous, but weak: the
    eigenvalues are at most $d$, so the factor is at most $1 + 1/(d+2)$.

    Args:
        spectrum: The $d$ eigenvalues of $x^\top x$, on any scale.

    Returns:
        The factor, at least 1.

    Raises:
        AssumptionError: If the spectrum has a zero, negative or non-finite eigenvalue.

    Source:
        meterez2023, theorem 3. The text puts the eigenvalues in (0, 1]; they are in (0, d] with mean 1.

    Example:
        >>> isometry_factor_bound([1.0, 1.0, 1.0])
        1.0
    """
    values = full_spectrum(spectrum)
    d = values.size
    return 1 / (1 - _spread(values) / (2 * d**2 * (d + 2)))


def isometry_gap_drift(spectrum: ArrayLike) -> float:
    r"""Expected change of the isometry gap in one layer, exactly.

    $$\mathrm{E}_W\,\phi(x') - \phi(x) = \mathrm{E}\log\sum_i \lambda_i u_i^2 =
    \int_0^\infty \Bigl[ (1+2t)^{-d/2} - \prod_i (1 + 2\lambda_i t)^{-1/2} \Bigr] \frac{dt}{t} \le 0,$$

    $u$ uniform on the unit sphere and the eigenvalues on the scale of mean 1: each feature of $xW^\top$ has the
    squared norm $\sum_i\lambda_iu_i^2$ and their mean is 1, so that this is ``isometry_gain`` averaged. Near
    isometry $-S/(d(d+2))$, where $\phi \approx S/(2d)$: the gap loses the share $2/(d+2)$ a layer.

    Args:
        spectrum: The $d$ eigenvalues of $x^\top x$, on any scale.

    Returns:
        Nats, to about 1e-12.

    Raises:
        AssumptionError: If the spectrum has a zero, negative or non-finite eigenvalue.

    Source:
        leadline; meterez2023, corollary 4, bounds it.

    Example:
        >>> spectrum = [0.9, 1.0, 1.1]
        >>> round(isometry_gap_drift(spectrum) / spectrum_gap(spectrum), 2)  # -2/(d + 2)
        -0.4
    """
    values = full_spectrum(spectrum)
    t = np.exp(_LOG_T)
    isotropic = np.exp(-values.size / 2 * np.log1p(2 * t))
    actual = np.exp(-0.5 * np.log1p(2 * t[:, None] * values).sum(axis=1))
    # The trapezoidal rule is exact to rounding for an analytic integrand that is flat at both ends.
    return min(float(np.sum(isotropic - actual) * (_LOG_T[1] - _LOG_T[0])), 0.0)


def isometry_gap_drift_bound(spectrum: ArrayLike, *, form: str = "sharp") -> float:
    r"""Upper bound of ``isometry_gap_drift``.

    ``"sharp"``: $-\dfrac{S}{d(d+2)\lambda_{\max}}$, attained in the limit of isometry.
    ``"loose"``: $\log\bigl(1 - \dfrac{S}{2d^2(d+2)}\bigr)$, at isometry $2d$ times smaller.

    Args:
        spectrum: The $d$ eigenvalues of $x^\top x$, on any scale; $S$ as in ``isometry_factor_bound``.
        form: Which.

    Returns:
        Nats, at most 0.

    Raises:
        AssumptionError: If the spectrum has a zero, negative or non-finite eigenvalue.
        UsageError: If there is no such form.

    Source:
        ``"loose"`` is meterez2023, corollary 4. It does not follow from theorem 3 there by Jensen's inequality,
        which goes the other way; it follows from ``"sharp"``, leadline's.

    Example:
        >>> spectrum = [0.9, 1.0, 1.1]
        >>> round(isometry_gap_drift_bound(spectrum) / isometry_gap_drift(spectrum), 2)
        0.91
    """
    check_choice("form", form, _FORMS)
    values = full_spectrum(spectrum)
    d, spread = values.size, _spread(values)
    if form == "loose":
        return math.log1p(-spread / (2 * d**2 * (d + 2)))
    return -spread / (d * (d + 2) * float(values.max()))


def isometry_gap_layers(gap: float, *, d: int, form: str = "sharp") -> float:
    r"""The constant $k$ of depth in $\mathrm{E}\,\phi_l \le \phi_0\,(1 - 1/k)^l$.

    ``"sharp"``: $k = (d+2)\bigl(\tfrac12 + x + \sqrt{x^2 + 2x}\bigr)$ with $x = d\phi_0$; near isometry the true
    $(d+2)/2$. ``"loose"``: $k = d(d+2)(1 + x)$, which gives the form
    $k = C d^2 (1 + d\phi_0)$ with $C = 2$.

    Args:
        gap: $\phi_0$, the isometry gap of the input, at least 0; ``inf`` for a degenerate batch.
        d: Width, at least 2; at most as many as there are samples.
        form: Which.

    Returns:
        Layers; ``inf`` for an infinite gap, of which nothing can be said: rank never comes back.

    Raises:
        AssumptionError: If the gap is negative or ``d`` below 2.
        UsageError: If there is no such form.

    Source:
        meterez2023, theorem 1, where the constant is not given; both are leadline's.

    Example:
        >>> isometry_gap_layers(0.0, d=50), isometry_gap_layers(0.0, d=50, form="loose")
        (26.0, 2600.0)
    """
    check_choice("form", form, _FORMS)
    if not gap >= 0 or d < 2:
        raise AssumptionError(f"The bound needs a gap of at least 0 and a width of at least 2, got {gap} and d={d}.")
    x = d * gap
    if math.isinf(x):
        return math.inf
    return d * (d + 2) * (1 + x) if form == "loose" else (d + 2) * (0.5 + x + math.sqrt(x * x + 2 * x))


def isometry_gap_bound(gap: float, *, d: int, layers: int, alpha: float = 1.0, form: str = "sharp") -> float:
    r"""Upper bound of the expected isometry gap behind ``layers`` layers, $\phi_0\,(1 - \alpha/k)^l$.

    ``isometry_gap_layers`` gives $k$. The bound is below $\phi_0$ from the first layer on, and says something once
    $l$ is of the order of $k$: with ``"loose"`` and a gap of 19 at $d = 20$ that is some 170,000 layers.

    Args:
        gap: $\phi_0$, the isometry gap of the input.
        d: Width, at least 2; at most as many as there are samples.
        layers: $l$, at least 0.
        alpha: Exponent of fractional batch normalisation, in [0, 1]; 1 is batch normalisation.
        form: ``"sharp"`` or ``"loose"``.

    Returns:
        Nats; ``inf`` for an infinite gap.

    Raises:
        AssumptionError: If the gap is negative, ``d`` below 2, ``layers`` negative or ``alpha`` outside [0, 1].
        UsageError: If there is no such form.

    Source:
        meterez2023, theorem 1, for $\alpha = 1$ and n = d, there $\phi_0 e^{-l/k}$ for the gap behind $l + 1$ layers;
        constants, n ≥ d and $\alpha < 1$ are leadline's.

    Example:
        >>> round(isometry_gap_bound(1e-4, d=50, layers=100) / 1e-4, 3)
        0.04
    """
    if layers < 0 or not 0 <= alpha <= 1:
        raise AssumptionError(f"The bound needs layers >= 0 and alpha in [0, 1], got {layers} and {alpha}.")
    k = isometry_gap_layers(gap, d=d, form=form)
    return math.inf if math.isinf(k) else gap * (1 - alpha / k) ** layers


def isometry_gap_rate(d: int, *, alpha: float = 1.0) -> float:
    r"""Rate of the expected isometry gap near isometry, $\log\bigl(1 - \frac{2\alpha(2-\alpha)}{d+2}\bigr)$.

    To first order in the gap, whatever its direction; $\log(1 - 2/(d+2))$ for batch normalisation.

    Args:
        d: Width, at least 2; at most as many as there are samples.
        alpha: Exponent of fractional batch normalisation, in [0, 1].

    Returns:
        Nats of the logarithm of the expected gap per layer, at most 0.

    Raises:
        AssumptionError: If ``d`` is below 2 or ``alpha`` outside [0, 1].

    Source:
        leadline; the form of meterez2023, theorem 1, allows d times less.

    Example:
        >>> round(isometry_gap_rate(50), 4), round(isometry_gap_rate(100), 4)
        (-0.0392, -0.0198)
    """
    if d < 2 or not 0 <= alpha <= 1:
        raise AssumptionError(f"The rate needs d >= 2 and alpha in [0, 1], got d={d} and alpha={alpha}.")
    return math.log1p(-2 * alpha * (2 - alpha) / (d + 2))


def checked_spectrum(spectrum: ArrayLike) -> NDArray[np.float64]:
    """The eigenvalues on the scale of mean 1."""
    values = np.asarray(spectrum, np.float64)
    if values.ndim != 1 or not values.size or not np.isfinite(values).all() or values.min() < 0 or values.max() == 0:
        raise AssumptionError(f"A spectrum is a list of finite eigenvalues >= 0, not all of them 0; got {spectrum!r}.")
    return values / values.mean()


def full_spectrum(spectrum: ArrayLike) -> NDArray[np.float64]:
    """The eigenvalues on the scale of mean 1, none of them 0."""
    values = checked_spectrum(spectrum)
    if values.min() == 0:
        raise AssumptionError("The statement needs n >= d and full rank; the spectrum has an eigenvalue 0.")
    return values


def _feature_norms(x: ArrayLike) -> NDArray[np.float64]:
    x = np.asarray(x, np.float64)
    if not isometry_applies(x):
        raise AssumptionError(
            f"The identity needs at least as many samples as features and full rank, got shape {x.shape}"
            + (f" of rank {np.linalg.matrix_rank(x)}." if x.ndim == 2 and np.isfinite(x).all() else ".")
        )
    return np.linalg.norm(x, axis=0)


def _spread(values: NDArray[np.float64]) -> float:
    return float(np.square(values - 1).sum())
