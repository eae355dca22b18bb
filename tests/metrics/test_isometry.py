"""Gaps and condition on matrices whose value is known."""

import math

import pytest
import torch
from tests.metrics.matrices import haar, of_condition

from leadline.metrics import condition_number, isometry_gap, orthogonality_gap


def test_the_gap_of_two_lengths_is_the_ratio_of_their_means():
    x = torch.diag(torch.tensor([1.0, 3.0], dtype=torch.float64))
    assert isometry_gap(x).item() == pytest.approx(math.log(5 / 3), rel=1e-15)


@pytest.mark.parametrize("n, d", [(3, 7), (7, 3), (5, 5)])
def test_orthogonal_rows_or_columns_have_no_gap(n, d, generator):
    x = of_condition(1.0, n, d, generator)
    assert isometry_gap(x).item() < 1e-28
    assert orthogonality_gap(x).item() < 1e-14
    assert condition_number(x).item() == pytest.approx(1.0, abs=1e-14)


def test_a_tiny_deviation_from_orthogonality_has_its_own_gap(generator):
    # To leading order half the variance of the eigenvalues: 2 delta^2.
    delta = 1e-6
    sigma = torch.tensor([1 + delta, 1 - delta], dtype=torch.float64)
    assert isometry_gap(torch.diag(sigma)).item() == pytest.approx(2 * delta**2, rel=1e-8)


@pytest.mark.parametrize("n, d", [(4, 9), (9, 4), (6, 6)])
def test_dependent_rows_or_columns_have_an_infinite_gap(n, d, generator):
    k = min(n, d)
    factors = torch.randn(n, k - 1, generator=generator), torch.randn(k - 1, d, generator=generator)
    x = (8 * factors[0]).round() @ (8 * factors[1]).round()  # of integers: the product is exact, and so is its rank
    assert isometry_gap(x).item() == math.inf
    assert condition_number(x).item() == math.inf
    assert orthogonality_gap(x).isfinite()


@pytest.mark.parametrize("n, d", [(64, 64), (64, 4096), (300, 20)])
def test_a_repeated_sample_or_feature_is_dependent_at_any_shape(n, d, generator):
    x = torch.randn(n, d, generator=generator)
    assert isometry_gap(x).isfinite()
    if n <= d:
        x[-1] = x[0]
    else:
        x[:, -1] = x[:, 0]
    assert isometry_gap(x).item() == math.inf


def test_nearly_dependent_float32_rows_are_not_dependent(generator):
    x = of_condition(1e7, 20, 20, generator).float()
    assert condition_number(x).item() == pytest.approx(1e7, rel=0.5)


def test_a_nearly_collapsed_batch_has_a_finite_gap():
    # The case where eigenvalues of the Gram matrix give nan: rows that differ by 1e-9 of their length.
    base = torch.ones(1, 32, dtype=torch.float64)
    x = base + 1e-9 * haar(32, torch.Generator().manual_seed(0))[:4]
    gap = isometry_gap(x)
    assert gap.isfinite()
    assert gap.item() == pytest.approx(0.75 * math.log(32 / 1e-18) - math.log(4) + 0.25 * 3 * math.log(1), rel=0.1)


def test_the_orthogonality_gap_is_the_papers_for_fewer_samples_than_features(generator):
    x = torch.randn(5, 12, generator=generator, dtype=torch.float64)
    gram = x @ x.T
    expected = torch.linalg.matrix_norm(gram / gram.trace() - torch.eye(5, dtype=torch.float64) / 5)
    assert orthogonality_gap(x).item() == pytest.approx(expected.item(), rel=1e-12)


def test_a_collapsed_batch_has_the_largest_orthogonality_gap():
    x = torch.ones(4, 6, dtype=torch.float64)
    assert orthogonality_gap(x).item() == pytest.approx(math.sqrt(3 / 4), rel=1e-14)


def test_the_isometry_grows_under_batch_normalisation_by_the_means_of_the_row_norms(generator):
    # I(BN(X)) / I(X) = AM(R^2) / GM(R^2), R the norms of the features; samples are rows here.
    x = torch.randn(8, 8, generator=generator, dtype=torch.float64)
    squares = x.square().sum(0)
    growth = squares.mean().log() - squares.log().mean()
    assert (isometry_gap(x) - isometry_gap(x / squares.sqrt())).item() == pytest.approx(growth.item(), rel=1e-10)
