"""Orthogonality of samples behind Gaussian layers: exact means and noise, bounds, and how tight they are."""

import math

import numpy as np
import pytest
from tests.theory.dense import forward, haar, spectrum

from leadline._core.errors import AssumptionError, UsageError
from leadline.theory import (
    deficit_average_bound,
    deficit_step_bound,
    expected_deficit_bound,
    expected_spectrum,
    gaussian_coupling_cost,
    gaussian_distance_bound,
    orthogonality_applies,
    orthogonality_contraction,
    orthogonality_gap_bound,
    orthogonality_gap_from_deficit,
    sampling_noise,
    smallest_deficit,
    spectrum_orthogonality_gap,
)


def _spectra(seed: int, count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.gamma(10 ** rng.uniform(-1, 2), size=int(rng.integers(2, 9))) + 1e-12 for _ in range(count)]


def _next_grams(values: np.ndarray, d: int, draws: int, rng: np.random.Generator, alpha: float = 1.0) -> np.ndarray:
    """Gram matrices behind one layer with Gaussian weights, in the eigenbasis of the one before; trace 1."""
    y = rng.standard_normal((draws, d, values.size)) * np.sqrt(values)
    squares = np.square(y).sum(2, keepdims=True)
    z = y / squares ** (alpha / 2) / squares.mean(1, keepdims=True) ** ((1 - alpha) / 2)
    grams = np.einsum("adi,adj->aij", z, z)
    return grams / np.trace(grams, axis1=1, axis2=2)[:, None, None]


@pytest.mark.parametrize("alpha", [1.0, 0.5, 0.1])
@pytest.mark.parametrize("values", [[0.6, 0.3, 0.1], [0.97, 0.01, 0.01, 0.01], [1.0, 1e-6], [0.5, 0.5, 0.0]])
def test_the_expected_spectrum_is_the_mean_of_drawn_layers(values, alpha):
    """200,000 features: 4 standard errors, below 2 % of every p_i that is not tiny."""
    values = np.asarray(values) / np.sum(values)
    rng = np.random.default_rng(1)
    squares = values * np.square(rng.standard_normal((200_000, values.size)))
    terms = squares / squares.sum(1, keepdims=True) ** alpha
    mean, error = terms.mean(0), terms.std(0) / math.sqrt(200_000)
    got = expected_spectrum(values, alpha=alpha)
    assert got.sum() == pytest.approx(1.0, abs=1e-12)
    np.testing.assert_allclose(got, mean / mean.sum(), atol=5 * float(np.max(error / mean.sum())))
    assert np.max(error[mean > 0.01] / mean[mean > 0.01]) < 0.02
    assert expected_spectrum(values[::-1], alpha=alpha) == pytest.approx(got[::-1], abs=1e-12)


def test_two_samples_have_their_closed_form_and_alpha_zero_changes_nothing():
    for share in (0.5, 0.9, 1 - 1e-9):
        roots = np.sqrt([share, 1 - share])
        np.testing.assert_allclose(expected_spectrum([share, 1 - share]), roots / roots.sum(), rtol=1e-9)
    np.testing.assert_allclose(expected_spectrum([0.7, 0.2, 0.1], alpha=1e-3), [0.7, 0.2, 0.1], atol=1e-3)
    np.testing.assert_allclose(expected_spectrum([7.0, 2.0, 1.0], alpha=0.0), [0.7, 0.2, 0.1], rtol=1e-15)


@pytest.mark.parametrize("alpha", [1.0, 0.5, 0.2, 0.1])
@pytest.mark.parametrize("n", [2, 3, 10, 50])
def test_near_isometry_deviations_shrink_by_the_contraction(n, alpha):
    deviation = 1e-3 * np.linspace(-1, 1, n) / n
    got = (expected_spectrum(1 / n + deviation, alpha=alpha) - 1 / n) @ deviation / (deviation @ deviation)
    # What is lost is tested, not what is left: at n = 50 and alpha = .1 the factor is .996.
    assert 1 - got == pytest.approx(1 - orthogonality_contraction(n, alpha=alpha), rel=5e-3)


@pytest.mark.parametrize("alpha", [1.0, 0.5, 0.2, 0.1])
@pytest.mark.parametrize(("n", "d"), [(3, 30), (10, 20), (10, 10)])
def test_dense_haar_layers_contract_by_it(n, d, alpha):
    """Deviations along n − 1 directions and their opposites behind the same weights: what is lost within 3 %."""
    rng, size = np.random.default_rng(2), 1e-3
    directions = np.linalg.qr(np.column_stack([np.ones(n), np.eye(n)[:, 1:]]))[0][:, 1:].T
    shares = []
    for _ in range(1000):
        q, change = haar(rng, d)[:n], 0.0
        for sign in (1, -1):
            y = q * np.sqrt(1 + sign * size * directions)[:, :, None]
            squares = np.square(y).sum(1, keepdims=True)
            z = y / squares ** (alpha / 2) / squares.mean(2, keepdims=True) ** ((1 - alpha) / 2)
            gram = np.square(z).sum(2)
            gram /= gram.mean(1, keepdims=True)
            change += sign * np.sum(gram * directions) / (n - 1)
        shares.append(1 - change / (2 * size))
    lost = 2 * alpha / (n + 2)
    assert np.std(shares) / math.sqrt(len(shares)) < 0.012 * lost
    assert np.mean(shares) == pytest.approx(lost, rel=0.03)


@pytest.mark.parametrize("d", [4, 40])
def test_the_noise_is_exact_and_below_one_over_d(d):
    rng, values = np.random.default_rng(3), np.array([0.6, 0.25, 0.1, 0.05])
    grams = _next_grams(values, d, 4000, rng)
    p = expected_spectrum(values)
    np.testing.assert_allclose(grams.mean(0), np.diag(p), atol=4 * 0.5 / math.sqrt(4000 * d))
    distances = np.square(grams - np.diag(p)).sum((1, 2))
    assert distances.mean() == pytest.approx(sampling_noise(values, d=d), rel=0.05)
    deficits = 1 / 4 - np.linalg.eigvalsh(grams)[:, 0]
    missed = np.square(deficits - (1 / 4 - p[-1])).mean()
    assert missed <= sampling_noise(values, d=d) <= 1 / d


def test_the_deficit_bounds_the_gap_and_the_sharp_constant_is_attained():
    for values in _spectra(4, 100):
        n, deficit = values.size, smallest_deficit(values)
        gap = spectrum_orthogonality_gap(values)
        assert gap <= orthogonality_gap_from_deficit(deficit, n=n) + 1e-12
        assert math.sqrt(n * (n - 1)) * deficit < orthogonality_gap_from_deficit(deficit, n=n, form="loose") + 1e-15
    one_large = np.array([2.5, 1.0, 1.0, 1.0])
    bound = orthogonality_gap_from_deficit(smallest_deficit(one_large), n=4)
    assert bound == pytest.approx(spectrum_orthogonality_gap(one_large), rel=1e-12)


def test_the_expected_deficit_is_below_its_bound_and_attains_the_sharp_one_at_isometry():
    for values in _spectra(5, 120):
        exact = 1 / values.size - expected_spectrum(values).min()
        sharp, loose = expected_deficit_bound(values), expected_deficit_bound(values, form="loose")
        assert exact <= sharp + 1e-11 and sharp <= loose + 1e-15
    for n in (2, 5, 20):
        values = np.full(n, 1.0)
        values[0] = 0.999
        exact = 1 / n - expected_spectrum(values).min()
        assert expected_deficit_bound(values) == pytest.approx(exact, rel=2e-3)
    assert expected_deficit_bound([1.0, 0.0]) == 0.5  # dependent samples: nothing is said


@pytest.mark.parametrize(("values", "d"), [([0.6, 0.4], 400), ([0.5, 0.3, 0.2], 1600)])
def test_the_step_bound_holds_for_drawn_layers_and_is_near(values, d):
    grams = _next_grams(np.asarray(values), d, 400, np.random.default_rng(6))
    mean = float(np.mean(1 / len(values) - np.linalg.eigvalsh(grams)[:, 0]))
    sharp, loose = deficit_step_bound(values, d=d), deficit_step_bound(values, d=d, form="loose")
    assert mean < sharp < loose < 1 / len(values)  # none is vacuous
    assert sharp < 2 * mean  # the noise enters by its norm, the smallest eigenvalue moves by a part of it


def test_theorem_1_holds_where_it_says_something():
    """n = 2, d = 1600 > 9 n^4: the bound is below the largest possible gap, and far above the truth."""
    rng, n, d = np.random.default_rng(7), 2, 1600
    gaps, smallest = [], []
    for _ in range(12):
        # Revealed only: with Gaussian weights a layer needs the Gram matrix alone.
        values, path = np.array([0.7, 0.3]), []
        for _ in range(40):
            gram = _next_grams(values, d, 1, rng)[0]
            values = np.maximum(np.linalg.eigvalsh(gram), 0)
            path.append(spectrum_orthogonality_gap(values))
            smallest.append(values.min())
        gaps.append(path)
    bound = orthogonality_gap_bound(39, n=n, d=d, smallest=float(np.min(smallest)))
    mean = float(np.mean(gaps, axis=0)[-1])
    assert mean < bound < math.sqrt(1 - 1 / n)
    assert bound == pytest.approx(3 * n / (np.min(smallest) * math.sqrt(d)), rel=0.05)
    assert orthogonality_gap_bound(10**6, n=4, d=2304, smallest=0.25) == pytest.approx(1.0)


def test_the_average_bound_holds_from_dependent_samples_on():
    rng, d, values, total = np.random.default_rng(8), 1600, np.array([1.0, 1e-4]), 0.0
    start = smallest_deficit(values)
    for _ in range(50):
        values = np.maximum(np.linalg.eigvalsh(_next_grams(values, d, 1, rng)[0]), 0)
        total += smallest_deficit(values) * (0.5 - smallest_deficit(values))
    bound = deficit_average_bound(start, layers=50, d=d)
    assert total / 50 < bound < 1 / 16  # 1/(4n²): not vacuous
    assert bound < 8 * total / 50


def test_the_coupling_costs_what_it_says_and_a_quarter_of_the_bound_near_isometry():
    rng, n, d = np.random.default_rng(9), 4, 8
    x = rng.standard_normal((n, d))
    x /= np.linalg.norm(x)
    left, sigma, right = np.linalg.svd(x, full_matrices=False)
    perfect = left @ right / math.sqrt(n)
    w = rng.standard_normal((3000, d, d)) / math.sqrt(d)
    costs = np.square((x - perfect) @ np.swapaxes(w, 1, 2)).sum((1, 2))
    cost = gaussian_coupling_cost(sigma**2)
    assert costs.mean() == pytest.approx(cost, abs=5 * costs.std() / math.sqrt(3000))
    for values in _spectra(10, 60):
        size, gap = values.size, spectrum_orthogonality_gap(values)
        assert gaussian_coupling_cost(values) <= gaussian_distance_bound(gap, n=size) + 1e-12
        assert gaussian_distance_bound(gap, n=size) <= gaussian_distance_bound(gap, n=size, form="loose") + 1e-12
    near = 1 + 0.01 * np.linspace(-1, 1, 4)
    sharp = gaussian_distance_bound(spectrum_orthogonality_gap(near), n=4)
    assert gaussian_coupling_cost(near) == pytest.approx(sharp / 4, rel=1e-3)


def test_corollary_3_is_lemma_2_with_theorem_1():
    first = orthogonality_gap_bound(10, n=3, d=10**5, smallest=0.2)
    expected = 4 * 3 * (1 - 2 / 3 * 0.2) ** 10 + 6 * 9 / (0.2 * math.sqrt(10**5))
    assert gaussian_distance_bound(first, n=3, form="loose") == pytest.approx(expected, rel=1e-12)


def test_the_spectrum_s_numbers_are_those_of_the_representation():
    x = forward(np.random.default_rng(11).standard_normal((4, 9)), 3, np.random.default_rng(12))[-1]
    gram = x @ x.T / np.square(x).sum()
    assert spectrum_orthogonality_gap(spectrum(x)) == pytest.approx(float(np.linalg.norm(gram - np.eye(4) / 4)))
    assert smallest_deficit(spectrum(x)) == pytest.approx(0.25 - np.linalg.eigvalsh(gram)[0])
    assert orthogonality_applies(x) and not orthogonality_applies(x.T)


def test_what_the_statements_do_not_cover_is_refused():
    with pytest.raises(AssumptionError, match="2 <= n <= d"):
        orthogonality_gap_bound(1, n=5, d=4, smallest=0.1)
    with pytest.raises(AssumptionError, match="smallest in"):
        orthogonality_gap_bound(1, n=2, d=4, smallest=0.6)
    with pytest.raises(AssumptionError, match=r"\[0, 1/n\]"):
        orthogonality_gap_from_deficit(0.6, n=2)
    with pytest.raises(AssumptionError, match="d=0"):
        sampling_noise([1.0, 1.0], d=0)
    with pytest.raises(AssumptionError, match="alpha"):
        expected_spectrum([1.0, 1.0], alpha=1.5)
    with pytest.raises(AssumptionError, match="layers >= 1"):
        deficit_average_bound(0.1, layers=0, d=4)
    with pytest.raises(UsageError, match="form"):
        gaussian_distance_bound(0.1, n=2, form="medium")
