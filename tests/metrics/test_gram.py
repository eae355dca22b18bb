"""The formulas on eigenvalues of Gram matrices give the numbers of the public functions on singular values."""

import math

import pytest
import torch
from tests.metrics.matrices import BY_NAME, of_condition

from leadline._core.profile import MATRIX
from leadline.metrics import _spectrum
from leadline.metrics._formulas import pairwise_metrics, spectral_metrics

# Least relative accuracy of an eigenvalue of a Gram matrix of condition 1e8, with room for the size of the matrix.
AGREEMENT = 1e-6


def matrix_metrics(x: torch.Tensor, *, eps: float = 2.0**-52) -> dict[str, torch.Tensor]:
    rows = _spectrum.widen(x)
    gram = rows @ rows.mT
    eigenvalues = _spectrum.gram_eigenvalues(rows, gram)
    spectral = spectral_metrics(eigenvalues, n=x.shape[-2], d=x.shape[-1], eps=eps)
    return spectral | pairwise_metrics(gram, _spectrum.centre(rows).square().sum((-2, -1)))


@pytest.mark.parametrize("n, d", [(6, 6), (5, 11), (11, 5)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_all_metrics_agree_below_and_beyond_the_condition_limit(n, d, dtype, generator):
    x = torch.stack([of_condition(kappa, n, d, generator) for kappa in (1.5, 1e2, 9e3, 2e4, 1e6)]).to(dtype)
    got = matrix_metrics(x)
    assert set(got) == set(MATRIX)
    for name, values in got.items():
        assert values.dtype == torch.float64
        expected = BY_NAME[name](x.double())
        assert torch.allclose(values, expected, rtol=AGREEMENT, atol=1e-12), name


def test_without_the_fall_back_they_would_not_agree(generator, monkeypatch):
    x = of_condition(1e7, 8, 8, generator)
    expected = BY_NAME["condition_number"](x)
    assert torch.allclose(matrix_metrics(x)["condition_number"], expected, rtol=AGREEMENT)
    monkeypatch.setattr(_spectrum, "GRAM_CONDITION", math.inf)
    assert not torch.allclose(matrix_metrics(x)["condition_number"], expected, rtol=AGREEMENT)


@pytest.mark.parametrize("n, d", [(6, 6), (4, 9), (9, 4)])
def test_only_ill_conditioned_matrices_pay_for_singular_values(n, d, generator, monkeypatch):
    seen = []
    exact = torch.linalg.svdvals
    monkeypatch.setattr(torch.linalg, "svdvals", lambda x: seen.append(len(x)) or exact(x))
    matrix_metrics(torch.stack([of_condition(kappa, n, d, generator) for kappa in (10, 1e6, 100)]))
    assert seen == [1]


@pytest.mark.parametrize(
    "x",
    [
        torch.zeros(3, 4),
        torch.tensor([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]),
        torch.tensor([[1.0, math.nan], [0.0, 1.0]]),
        torch.tensor([[1.0, math.inf], [0.0, 1.0]]),
        torch.tensor([[2.0, 1.0]]),
        torch.tensor([[0.0, 0.0], [0.0, 3.0], [1.0, 1.0]]),
    ],
    ids=["zero", "equal rows", "nan", "inf", "one sample", "a zero row"],
)
def test_degenerate_matrices_agree(x):
    for name, value in matrix_metrics(x).items():
        assert torch.allclose(value, BY_NAME[name](x.double()), rtol=1e-6, equal_nan=True), name


def test_one_bad_matrix_leaves_the_others_of_its_batch_alone(generator):
    x = torch.randn(3, 4, 6, generator=generator)
    alone = matrix_metrics(x[2])
    x[0, 0, 0], x[1] = math.nan, 0
    got = matrix_metrics(x)
    for name, value in got.items():
        assert value[0].isnan()
        assert torch.allclose(value[2], alone[name], rtol=1e-12)


def test_the_numerical_rank_counts_against_the_epsilon_that_is_given(generator):
    x = of_condition(1e5, 5, 5, generator)
    assert matrix_metrics(x)["numerical_rank"].item() == 5
    assert matrix_metrics(x, eps=2.0**-7)["numerical_rank"].item() == 2
