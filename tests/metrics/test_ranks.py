"""Ranks on matrices whose value is known."""

import math

import pytest
import torch
from tests.metrics.matrices import haar, of_condition

from leadline._core.errors import UsageError
from leadline.metrics import effective_rank, numerical_rank, participation_ratio, soft_rank, stable_rank


def diagonal(*sigma: float, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.diag(torch.tensor(sigma, dtype=torch.float64)).to(dtype)


@pytest.mark.parametrize("rank", [participation_ratio, effective_rank, stable_rank, numerical_rank])
@pytest.mark.parametrize("r", [1, 3, 6])
def test_a_flat_spectrum_on_r_directions_has_rank_r(rank, r, generator):
    x = of_condition(1.0, 6, 9, generator)[:r]
    padded = torch.cat([x, torch.zeros(6 - r, 9, dtype=torch.float64)])
    assert rank(padded).item() == pytest.approx(r, rel=1e-12)


def test_two_unequal_directions_have_the_textbook_values():
    x = diagonal(1.0, 2.0)  # eigenvalues 1 and 4
    assert participation_ratio(x).item() == pytest.approx(25 / 17, rel=1e-15)
    assert stable_rank(x).item() == pytest.approx(5 / 4, rel=1e-15)
    entropy = -(0.2 * math.log(0.2) + 0.8 * math.log(0.8))
    assert effective_rank(x).item() == pytest.approx(math.exp(entropy), rel=1e-15)


@pytest.mark.parametrize(
    "dtype, eps", [(torch.float32, 2.0**-23), (torch.float64, 2.0**-52), (torch.bfloat16, 2.0**-7)]
)
def test_the_numerical_rank_counts_against_the_epsilon_of_the_dtype(dtype, eps):
    below, above = diagonal(1.0, 2 * eps, dtype=dtype), diagonal(1.0, 4 * eps, dtype=dtype)
    assert numerical_rank(below).item() == 1
    assert numerical_rank(above).item() == 2


def test_integers_are_exact_so_their_rank_counts_against_float64():
    assert numerical_rank(torch.tensor([[2**40, 0], [0, 1]])).item() == 2


def test_the_soft_rank_counts_eigenvalues_at_the_limit():
    assert soft_rank(diagonal(math.sqrt(3), 1.0)).item() == 2  # eigenvalues 3, 1: the limit is 1
    assert soft_rank(diagonal(math.sqrt(3.1), 1.0)).item() == 1
    assert soft_rank(diagonal(1.0, 1.0, 1.0), 1.0).item() == 3


def test_rounding_does_not_break_a_tie_at_the_limit_of_the_soft_rank(generator):
    assert soft_rank(haar(30, generator), 1.0).item() == 30  # all eigenvalues are the mean, to rounding


def test_the_soft_rank_after_batch_normalisation_is_the_papers_count(generator):
    x = torch.randn(40, 6, generator=generator, dtype=torch.float64) @ torch.randn(
        6, 6, generator=generator, dtype=torch.float64
    )
    x = x / x.square().mean(0).sqrt()
    moments = torch.linalg.eigvalsh(x.T @ x / 40)
    for tau in (0.1, 0.5, 0.9):
        assert soft_rank(x, tau).item() == (moments >= tau).sum().item()


def test_the_soft_rank_over_all_features_is_blind_to_collapse_with_few_samples_and_over_the_support_is_not():
    # 99 % in one direction, 1 % spread over the other 63, in 4096 features.
    sigma = torch.tensor([0.99, *[0.01 / 63] * 63], dtype=torch.float64).sqrt()
    x = torch.cat([torch.diag(sigma), torch.zeros(64, 4096 - 64, dtype=torch.float64)], dim=1)
    assert participation_ratio(x).item() < 1.03
    assert soft_rank(x).item() == 64
    assert soft_rank(x, relative_to="support").item() == 1


def test_a_soft_rank_of_share_zero_counts_every_eigenvalue(generator):
    x = torch.randn(3, 5, generator=generator)
    assert soft_rank(x, 0.0).item() == 5
    assert soft_rank(x, 0.0, "support").item() == 3


@pytest.mark.parametrize("tau", [-0.1, math.nan, math.inf])
def test_a_share_that_is_none_is_refused(tau):
    with pytest.raises(UsageError, match=f"`tau` must be a number from 0 up, got {tau}"):
        soft_rank(torch.eye(2), tau)


def test_an_unknown_mean_is_refused_and_the_nearest_offered():
    with pytest.raises(UsageError, match="features, support; got 'suport'.*'support'"):
        soft_rank(torch.eye(2), relative_to="suport")


def test_the_effective_rank_of_isotropic_rows_is_held_down_by_the_samples(generator):
    x = torch.randn(64, 768, generator=generator)
    assert effective_rank(x).item() == pytest.approx(60, abs=2)


def test_a_shifted_mean_drags_the_uncentred_ratio_to_one(generator):
    x = torch.randn(50, 20, generator=generator, dtype=torch.float64) + 10
    assert participation_ratio(x).item() < 1.1
    assert participation_ratio(x, center=True).item() > 10
