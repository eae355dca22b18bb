"""What leaves a metric as it is, where it lies, and how the metrics are related."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings, strategies as st
from tests.metrics.matrices import BY_NAME, CONTINUOUS, SPECTRAL, haar

SEEDS = st.integers(0, 2**32)
SIZES = st.integers(1, 9)
COSINES = ("mean_cosine", "mean_abs_cosine", "mean_square_cosine")
# Leaves room for a condition number of 1e3 in a random square matrix.
TOLERANCE = 1e-9


def gaussian(seed: int, n: int, d: int) -> tuple[torch.Tensor, torch.Generator]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, d, generator=generator, dtype=torch.float64), generator


def agree(got: torch.Tensor, expected: torch.Tensor) -> bool:
    return torch.allclose(got, expected, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True)


@pytest.mark.parametrize("name", CONTINUOUS)
@settings(max_examples=20, deadline=None)
@given(SEEDS, SIZES, SIZES, st.floats(1e-6, 1e6))
def test_scaling_leaves_it(name, seed, n, d, factor):
    x, _ = gaussian(seed, n, d)
    assert agree(BY_NAME[name](-factor * x), BY_NAME[name](x))


@pytest.mark.parametrize("name", CONTINUOUS)
@settings(max_examples=20, deadline=None)
@given(SEEDS, SIZES, SIZES)
def test_rotating_the_features_leaves_it(name, seed, n, d):
    x, generator = gaussian(seed, n, d)
    assert agree(BY_NAME[name](x @ haar(d, generator)), BY_NAME[name](x))


@pytest.mark.parametrize("name", BY_NAME)
@settings(max_examples=20, deadline=None)
@given(SEEDS, SIZES, SIZES)
def test_the_order_of_the_samples_leaves_it(name, seed, n, d):
    x, generator = gaussian(seed, n, d)
    assert agree(BY_NAME[name](x[torch.randperm(n, generator=generator)]), BY_NAME[name](x))


@pytest.mark.parametrize("name", [n for n in SPECTRAL if n != "soft_rank"])
@settings(max_examples=20, deadline=None)
@given(SEEDS, SIZES, SIZES)
def test_a_spectrum_is_that_of_the_transpose(name, seed, n, d):
    x, _ = gaussian(seed, n, d)
    assert agree(BY_NAME[name](x.T), BY_NAME[name](x))


@pytest.mark.parametrize("name", COSINES)
@settings(max_examples=20, deadline=None)
@given(SEEDS, SIZES, SIZES)
def test_the_lengths_of_the_rows_leave_a_cosine(name, seed, n, d):
    x, generator = gaussian(seed, n, d)
    lengths = 10 ** (300 * torch.rand(n, 1, generator=generator, dtype=torch.float64) - 150)
    assert agree(BY_NAME[name](lengths * x), BY_NAME[name](x))


@settings(max_examples=50, deadline=None)
@given(SEEDS, SIZES, SIZES)
def test_the_ranks_are_ordered_and_the_gaps_in_range(seed, n, d):
    x, generator = gaussian(seed, n, d)
    x = x * 10 ** torch.randn(n, 1, generator=generator, dtype=torch.float64)
    k = min(n, d)
    value = {name: metric(x).item() for name, metric in BY_NAME.items()}
    ranks = [1, *(value[name] for name in ("stable_rank", "participation_ratio", "effective_rank")), k]
    assert all(a <= b * (1 + 1e-12) for a, b in itertools.pairwise(ranks))
    assert value["isometry_gap"] >= 0
    assert 0 <= value["orthogonality_gap"] <= math.sqrt(1 - 1 / k) + 1e-15
    assert value["orthogonality_gap"] ** 2 == pytest.approx(1 / value["participation_ratio"] - 1 / k, abs=1e-12)
    assert value["condition_number"] >= 1
    assert 0 <= value["distinction"] <= 1


@settings(max_examples=50, deadline=None)
@given(SEEDS, st.integers(2, 9), SIZES)
def test_the_cosines_are_in_range(seed, n, d):
    x, _ = gaussian(seed, n, d)
    mean, size, square = (BY_NAME[name](x).item() for name in COSINES)
    assert -1 / (n - 1) - 1e-12 <= mean <= size <= 1
    assert square <= size <= math.sqrt(square) + 1e-12


@settings(max_examples=50, deadline=None)
@given(SEEDS, SIZES, SIZES, st.floats(0, 1, exclude_max=True))
def test_the_soft_rank_is_bounded_by_the_participation_ratio(seed, n, d, tau):
    # Paley and Zygmund: holds for every matrix when the mean is over all d eigenvalues.
    x, _ = gaussian(seed, n, d)
    bound = (1 - tau) ** 2 * BY_NAME["participation_ratio"](x)
    assert BY_NAME["soft_rank"](x, tau) >= bound * (1 - 1e-12)
