"""Where the Gram matrix settles: one layer's noise, plateaus of dense networks, and how many samples survive."""

import math

import numpy as np
import pytest
from tests.theory.dense import gap, haar, scales, weight

from leadline._core.errors import AssumptionError, UsageError
from leadline.theory import (
    gram_degrees_of_freedom,
    isometry_gap_plateau,
    orthogonality_plateau,
    surviving_samples,
)
from leadline.theory.gram_noise import gaussian_layer, haar_layer


def _settled(n: int, d: int, *, alpha: float, weights: str, depth: int, seed: int = 0) -> tuple[float, float]:
    """Root mean square of the orthogonality gap and the mean isometry gap of one dense run, from isometry on."""
    rng = np.random.default_rng(seed)
    x, squares, gaps = haar(rng, d)[:n], [], []
    for layer in range(depth):
        y = x @ weight(rng, d, weights).T
        x = y / scales(y, alpha)
        if layer >= depth // 5:
            gram = x @ x.T
            squares.append(np.square(gram / np.trace(gram)).sum() - 1 / n)
            if layer % 10 == 0 and n <= d // 2:
                gaps.append(gap(x))
    return math.sqrt(np.mean(squares)), float(np.mean(gaps)) if gaps else math.nan


def _noise(n: int, d: int, alpha: float, weights: str) -> tuple[float, float]:
    rng, added = np.random.default_rng(1), []
    for _ in range(600):
        y = haar(rng, d)[:n] if weights == "haar" else rng.standard_normal((n, d))
        z = y / scales(y, alpha)
        gram = z @ z.T
        added.append(np.square(gram / np.trace(gram)).sum() - 1 / n)
    return float(np.mean(added)), float(np.std(added) / math.sqrt(600))


@pytest.mark.parametrize("weights", ["haar", "gaussian"])
@pytest.mark.parametrize("alpha", [1.0, 0.5, 0.1])
@pytest.mark.parametrize(("n", "d"), [(3, 8), (10, 20), (14, 15), (5, 60)])
def test_the_noise_of_one_layer_is_the_stated_one(n, d, alpha, weights):
    """600 draws; 5 standard errors, below 10 %. Gaussian noise is leading order in 1/d."""
    mean, error = _noise(n, d, alpha, weights)
    got = (haar_layer if weights == "haar" else gaussian_layer)(n, d, alpha)[0]
    assert error < 0.06 * mean
    slack = 0 if weights == "haar" or alpha == 1 else 3 / (n * d) * mean
    assert got == pytest.approx(mean, abs=5 * error + slack)


@pytest.mark.parametrize("alpha", [1.0, 0.5, 0.2, 0.1])
@pytest.mark.parametrize(("n", "d"), [(4, 40), (10, 20)])
@pytest.mark.parametrize("weights", ["haar", "gaussian"])
def test_dense_networks_settle_at_the_plateau(n, d, alpha, weights):
    """Within 10 %, below and above the number of samples that Gaussian weights keep apart."""
    measured, _ = _settled(n, d, alpha=alpha, weights=weights, depth=int(4000 / alpha**0.5))
    assert orthogonality_plateau(n=n, d=d, alpha=alpha, weights=weights) == pytest.approx(measured, rel=0.1)


@pytest.mark.parametrize("alpha", [1.0, 0.2])
def test_as_many_samples_as_features_settle_at_isometry_with_haar_weights_and_at_the_plateau_with_gaussian(alpha):
    haar_run, _ = _settled(12, 12, alpha=alpha, weights="haar", depth=2000)
    assert haar_run < 1e-7 and orthogonality_plateau(n=12, d=12, alpha=alpha, weights="haar") == 0.0
    run, _ = _settled(12, 12, alpha=alpha, weights="gaussian", depth=8000)
    assert orthogonality_plateau(n=12, d=12, alpha=alpha) == pytest.approx(run, rel=0.1)


@pytest.mark.parametrize(("n", "alpha", "weights"), [(4, 1.0, "gaussian"), (4, 0.5, "gaussian"), (10, 1.0, "haar")])
def test_the_isometry_gap_settles_at_its_mean(n, alpha, weights):
    _, measured = _settled(n, 40, alpha=alpha, weights=weights, depth=6000)
    assert isometry_gap_plateau(n=n, d=40, alpha=alpha, weights=weights) == pytest.approx(measured, rel=0.12)


@pytest.mark.parametrize(("n", "measured"), [(2, 0.824), (3, 1.001), (4, 1.172), (8, 1.577), (16, 2.117)])
def test_the_plateau_constants_of_width_256_are_the_measured_ones(n, measured):
    got = orthogonality_plateau(n=n, d=256) * 16
    assert got == pytest.approx(measured, rel=0.025)
    leading = (n + 2) / 2 * math.sqrt((n - 1) / (n * (n + 1)))
    assert got == pytest.approx(leading, rel=0.01)
    assert orthogonality_plateau(n=n, d=10**8) * 10**4 == pytest.approx(leading, rel=1e-4)


@pytest.mark.parametrize(("n", "d", "measured"), [(4, 8, 0.197), (4, 64, 0.0834), (8, 32, 0.1155), (16, 32, 0.1026)])
def test_the_haar_plateaus_of_the_literature_s_check_are_met(n, d, measured):
    got = orthogonality_plateau(n=n, d=d, weights="haar")
    assert got == pytest.approx(measured, rel=0.04)
    assert got < orthogonality_plateau(n=n, d=d)


@pytest.mark.parametrize(("d", "measured"), [(8, 2.26), (16, 3.31), (32, 4.89), (64, 7.16), (128, 10.4), (256, 15.0)])
def test_square_batches_end_at_the_participation_ratios_that_were_measured(d, measured):
    """Time averages of tr² / tr of squares at n = d; the law grows to √d from below, which no fit c√d does."""
    got = 1 / (orthogonality_plateau(n=d, d=d) ** 2 + 1 / d)
    assert got == pytest.approx(measured, rel=0.042)
    assert got < math.sqrt(d)


@pytest.mark.parametrize(("n", "expected"), [(8, 8), (10, 10), (14, 10)])
def test_ranks_of_deep_gaussian_networks_are_those_that_survive(n, expected):
    """d = 32, depth 1500: singular values below 1e-6 of the largest are lost; one more or less is not told."""
    rng, d = np.random.default_rng(3), 32
    x = haar(rng, d)[:n]
    for _ in range(1500):
        y = x @ weight(rng, d, "gaussian").T
        x = y / scales(y)
    sigma = np.linalg.svd(x, compute_uv=False)
    assert min(n, surviving_samples(d)) == expected
    assert abs(int(np.sum(sigma > 1e-6 * sigma[0])) - expected) <= 1


@pytest.mark.parametrize("alpha", [0.1, 0.4, 1.0])
def test_the_survivors_are_the_largest_number_that_meets_the_inequality(alpha):
    for d in range(1, 200):
        most = surviving_samples(d, alpha=alpha)
        assert most == 1 or (most - 1) * (most + 2) < 4 * alpha * d
        assert most == d or most * (most + 3) >= 4 * alpha * d


def test_a_small_exponent_helps_haar_weights_and_harms_gaussian_ones():
    orthogonal = [orthogonality_plateau(n=10, d=100, alpha=a, weights="haar") for a in (1.0, 0.1, 0.01)]
    gaussian = [orthogonality_plateau(n=10, d=100, alpha=a) for a in (1.0, 0.1, 0.01)]
    assert orthogonal == sorted(orthogonal, reverse=True) and gaussian == sorted(gaussian)
    assert orthogonal[2] ** 2 == pytest.approx(0.01 / 200 * 0.9, rel=0.05)
    assert isometry_gap_plateau(n=10, d=100, alpha=0.01) == math.inf


def test_what_the_law_does_not_cover_is_refused():
    with pytest.raises(AssumptionError, match="2 <= n <= d"):
        orthogonality_plateau(n=9, d=8)
    with pytest.raises(AssumptionError, match="alpha must be"):
        orthogonality_plateau(n=4, d=8, alpha=0.0)
    with pytest.raises(AssumptionError, match="keep 10 samples apart"):
        gram_degrees_of_freedom(n=20, d=32)
    with pytest.raises(AssumptionError, match="d=0"):
        surviving_samples(0)
    with pytest.raises(UsageError, match="weights"):
        orthogonality_plateau(n=4, d=8, weights="uniform")


@pytest.mark.parametrize("n", [2, 16])
def test_plateaus_of_orthogonal_weights_go_like_one_over_the_square_root_of_any_width(n):
    """Rising widths meet no overflow and lose no digit: the squared plateau times d has a limit."""
    scaled = [orthogonality_plateau(n=n, d=d, weights="haar") ** 2 * d for d in (10**3, 10**5, 10**7, 10**9)]
    distance = np.abs(np.array(scaled[:3]) / scaled[3] - 1)
    assert distance == pytest.approx(distance[0] * np.array([1, 1e-2, 1e-4]), rel=0.1, abs=1e-7)
    assert scaled[3] == pytest.approx((n + 2) * (n - 1) / (2 * n * (n + 1)), rel=1e-6)
