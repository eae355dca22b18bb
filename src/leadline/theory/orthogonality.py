r"""Bounds on how orthogonal batch normalisation makes samples, and how near to Gaussian it makes pre-activations.

Layer, spectrum and scale are those of ``orthogonality_step``: rows of $x$ are samples, $n \le d$,
$\lVert x\rVert_F = 1$; weights are Gaussian. The source has samples as columns and a factor $1/\sqrt d$ behind the
normalisation, which sets that scale.
"""

import math

import numpy as np
from numpy.typing import ArrayLike

from leadline._core.errors import AssumptionError
from leadline._core.names import check_choice
from leadline.theory.orthogonality_step import (
    check_sizes,
    expected_spectrum,
    root,
    sampling_noise,
    smallest_deficit,
    unit_spectrum,
)

_FORMS = ("sharp", "loose")


def orthogonality_gap_bound(layers: int, *, n: int, d: int, smallest: float) -> float:
    r"""Upper bound of the expected orthogonality gap behind ``layers`` layers and one.

    $$\mathrm{E}\,V_{l+1} \le 2\bigl(1 - \tfrac23 a\bigr)^l + \frac{3n}{a\sqrt d}.$$

    **Vacuous unless $d > 9n^4$**: $V \le \sqrt{1 - 1/n}$ always, and $a \le 1/n$ makes the second term at least
    $3n^2/\sqrt d$ (n = 4 needs d > 2304).

    Args:
        layers: $l \ge 0$.
        n: Samples, 2 ≤ n ≤ d.
        d: Width.
        smallest: $a$, a lower bound of the smallest eigenvalue of every $x_kx_k^\top$ up to layer $l$ on the scale of
            trace 1, in (0, 1/n]. It is assumed, not proved, to exist.

    Returns:
        The bound, dimensionless.

    Raises:
        AssumptionError: If not 2 ≤ n ≤ d, ``layers`` is negative, or ``smallest`` is outside (0, 1/n].

    Source:
        daneshmand2021, theorem 1, whose $\alpha$ is named $a$ here. The assumption there bounds the smallest singular
        value; the proof needs its square. The last line of appendix B prints $3n/(2a\sqrt d)$ for $3n/(a\sqrt d)$.

    Example:
        >>> round(orthogonality_gap_bound(100, n=2, d=10**6, smallest=0.4), 3)
        0.015
    """
    check_sizes(n, d)
    if layers < 0 or not 0 < smallest <= (1 + 1e-12) / n:
        raise AssumptionError(f"Needs layers >= 0 and smallest in (0, 1/{n}], got {layers} and {smallest}.")
    return 2 * (1 - 2 / 3 * smallest) ** layers + 3 * n / (smallest * math.sqrt(d))


def orthogonality_gap_from_deficit(deficit: float, *, n: int, form: str = "sharp") -> float:
    r"""Upper bound of the orthogonality gap $V$ from the deficit $\hat V$ of the smallest eigenvalue.

    ``"sharp"``: $\sqrt{n(n-1)}\,\hat V$, attained where all but the largest are equal. ``"loose"``: $2n\hat V$.

    Args:
        deficit: $\hat V$ in [0, 1/n], ``smallest_deficit`` of a spectrum.
        n: Samples, at least 2.
        form: Which.

    Returns:
        The bound, dimensionless.

    Raises:
        AssumptionError: If the deficit is outside [0, 1/n] or ``n`` below 2.
        UsageError: If there is no such form.

    Source:
        ``"loose"`` is daneshmand2021, lemma 4; ``"sharp"`` is leadline's.

    Example:
        >>> round(orthogonality_gap_from_deficit(0.5, n=2) ** 2, 9)  # samples that coincide: 1 - 1/n
        0.5
    """
    check_choice("form", form, _FORMS)
    if n < 2 or not 0 <= deficit <= (1 + 1e-12) / n:
        raise AssumptionError(f"The deficit is in [0, 1/n] for n >= 2 samples, got {deficit} and n={n}.")
    return deficit * (2 * n if form == "loose" else math.sqrt(n * (n - 1)))


def expected_deficit_bound(spectrum: ArrayLike, *, form: str = "sharp") -> float:
    r"""Upper bound of $1/n - p_n$, the deficit of the expected Gram matrix behind one layer.

    ``"sharp"``: $\bigl(1 - \tfrac{2n}{n+2}\lambda_{\min}\bigr)\hat V$, attained to first order at isometry.
    ``"loose"``: $\bigl(1 - \tfrac23\lambda_{\min}\bigr)\hat V$, the same at n = 1 only.

    Args:
        spectrum: The $n \ge 2$ eigenvalues of $xx^\top$ (zeros included), on any scale.
        form: Which.

    Returns:
        The bound; $\hat V$ itself (vacuous) for dependent samples.

    Raises:
        AssumptionError: If the eigenvalues are not finite, at least 0, and one of them above 0.
        UsageError: If there is no such form.

    Source:
        ``"loose"`` is daneshmand2021, lemma 8; ``"sharp"`` is what its proof gives. The printed derivative of lemma 10
        has (n−3)/2 for (n+1)/2.

    Example:
        >>> bound, exact = expected_deficit_bound([0.6, 0.4]), 0.5 - expected_spectrum([0.6, 0.4])[1]
        >>> bool(exact <= bound <= 1.2 * exact)
        True
    """
    check_choice("form", form, _FORMS)
    n, smallest = np.size(spectrum), float(unit_spectrum(spectrum).min())
    rate = 2 / 3 if form == "loose" else 2 * n / (n + 2)
    return (1 - rate * smallest) * smallest_deficit(spectrum)


def deficit_step_bound(spectrum: ArrayLike, *, d: int, form: str = "sharp") -> float:
    r"""Upper bound of the expected deficit behind one layer, $\mathrm{E}\,\hat V'$.

    ``"sharp"``: $\dfrac1n - p_n + \sqrt{\dfrac{1 - \sum p_i^2}{d}}$ by quadrature.
    ``"loose"``: $\bigl(1 - \tfrac23\lambda_{\min}\bigr)\hat V + \dfrac{1}{\sqrt d}$. Vacuous (above $1/n$) where the
    second term is: with ``"loose"`` for $d < n^2$.

    Args:
        spectrum: The $n \ge 2$ eigenvalues of $xx^\top$ (zeros included), on any scale.
        d: Width, at least n.
        form: Which.

    Returns:
        The bound.

    Raises:
        AssumptionError: If not 2 ≤ n ≤ d, or the eigenvalues are not finite, at least 0, and one of them above 0.
        UsageError: If there is no such form.

    Source:
        ``"loose"`` is daneshmand2021, theorem 5 (eq. 14 has $V$ for $\hat V$ once); ``"sharp"`` is leadline's.

    Example:
        >>> [round(deficit_step_bound([0.6, 0.4], d=400, form=form), 3) for form in ("sharp", "loose")]
        [0.086, 0.123]
    """
    check_choice("form", form, _FORMS)
    n = np.size(spectrum)
    check_sizes(n, d)
    if form == "loose":
        return expected_deficit_bound(spectrum, form="loose") + 1 / math.sqrt(d)
    return 1 / n - float(expected_spectrum(spectrum).min()) + root(sampling_noise(spectrum, d=d))


def deficit_average_bound(deficit: float, *, layers: int, d: int) -> float:
    r"""Upper bound of the mean over layers of $\hat V_k(1/n - \hat V_k)$, without any assumption.

    $$\mathrm{E}\,\frac1l\sum_{k=1}^l \hat V_k\Bigl(\frac1n - \hat V_k\Bigr) \le
    \frac{3\hat V_0}{2l} + \frac{3}{2\sqrt d}.$$

    The left side is small for orthogonal samples and for dependent ones alike, and at most $1/(4n^2)$: the bound is
    vacuous for $d < 36n^4$.

    Args:
        deficit: $\hat V_0 \ge 0$, of the input.
        layers: $l \ge 1$.
        d: Width, at least 1.

    Returns:
        The bound.

    Raises:
        AssumptionError: If an argument is below its range.

    Source:
        daneshmand2021, appendix B.1. The line before prints $2/\sqrt d$; theorem 5 gives $1/\sqrt d$.

    Example:
        >>> round(deficit_average_bound(0.5, layers=1000, d=10**6), 6)
        0.00225
    """
    if not deficit >= 0 or layers < 1 or d < 1:
        raise AssumptionError(f"Needs deficit >= 0, layers >= 1 and d >= 1, got {deficit}, {layers} and {d}.")
    return 1.5 * deficit / layers + 1.5 / math.sqrt(d)


def gaussian_coupling_cost(spectrum: ArrayLike) -> float:
    r"""Upper bound of the squared Wasserstein distance of pre-activations from independent Gaussians.

    $$W_2^2\bigl(\mathrm{law}(xW^\top), \mathrm{law}(G/\sqrt n)\bigr) \le \sum_i\bigl(\sigma_i - 1/\sqrt n\bigr)^2
    \le n V^2 \le 2 n V,$$

    $G$ with independent entries $N(0, 1/d)$, $\sigma_i^2$ the eigenvalues on the scale of sum 1: the cost of coupling
    through the same $W$. Near isometry $nV^2/4$.

    Args:
        spectrum: The $n$ eigenvalues of $xx^\top$ (zeros included), on any scale.

    Returns:
        The squared distance, where $\mathrm{E}\lVert G/\sqrt n\rVert_F^2 = 1$.

    Raises:
        AssumptionError: If the eigenvalues are not finite, at least 0, and one of them above 0.

    Source:
        daneshmand2021, proof of lemma 2.

    Example:
        >>> gaussian_coupling_cost([1.0, 1.0, 1.0]) < 1e-30
        True
    """
    values = unit_spectrum(spectrum)
    return float(np.square(np.sqrt(values) - 1 / math.sqrt(values.size)).sum())


def gaussian_distance_bound(gap: float, *, n: int, form: str = "sharp") -> float:
    r"""Upper bound of the squared Wasserstein distance of ``gaussian_coupling_cost`` from the orthogonality gap.

    ``"sharp"``: $n\,\mathrm{E}V^2$. ``"loose"``: $2n\,\mathrm{E}V$; with ``orthogonality_gap_bound`` for
    $\mathrm{E}V$ it is corollary 3, $4n(1 - \tfrac23a)^l + 6n^2/(a\sqrt d)$. Vacuous at or above 2, the
    distance from independent copies.

    Args:
        gap: Root mean square of the orthogonality gap $V$ (``"sharp"``), or its mean (``"loose"``).
        n: Samples, at least 1.
        form: Which.

    Returns:
        The squared distance.

    Raises:
        AssumptionError: If the gap is negative or ``n`` below 1.
        UsageError: If there is no such form.

    Source:
        daneshmand2021, lemma 2 and corollary 3; the introduction there prints the second term with n, the corollary
        with n².

    Example:
        >>> [round(gaussian_distance_bound(0.05, n=4, form=form), 3) for form in ("sharp", "loose")]
        [0.01, 0.4]
    """
    check_choice("form", form, _FORMS)
    if not gap >= 0 or n < 1:
        raise AssumptionError(f"Needs a gap of at least 0 and a sample at least, got {gap} and n={n}.")
    return n * gap**2 if form == "sharp" else 2 * n * gap
