"""The laws of depth on untrained torch networks, measured by profiles: nothing of the simulation's code is used."""

import math

import numpy as np
import pytest
import torch
from torch import nn

import leadline
from leadline.init import haar_matrices
from leadline.nn import BatchNorm1d, FractionalBatchNorm1d
from leadline.theory import (
    batch_norm_fixed_point,
    batch_norm_gradient_rate,
    batch_norm_rank,
    collapse_rate,
    fractional_gradient_rate,
    isometry_gap_bound,
    isometry_gap_rate,
    orthogonality_plateau,
    product_log_condition,
)

pytestmark = pytest.mark.slow


class Block(nn.Module):
    """Linear map, norm, activation."""

    def __init__(self, weight: torch.Tensor, norm: nn.Module, act: nn.Module):
        super().__init__()
        outputs, inputs = weight.shape
        self.linear = nn.utils.skip_init(nn.Linear, inputs, outputs, bias=False, dtype=weight.dtype)
        self.linear.weight = nn.Parameter(weight)
        self.norm, self.act = norm, act

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.act(self.norm(self.linear(x)))


def network(width: int, depth: int, weights: str, seed: int, *, norm=None, act=nn.Identity) -> nn.Sequential:
    generator = torch.Generator().manual_seed(seed)
    if weights == "haar":
        drawn = haar_matrices(depth, width, width, generator=generator, dtype=torch.float64)
    else:
        drawn = torch.randn(depth, width, width, generator=generator, dtype=torch.float64) / math.sqrt(width)
    norm = norm or (lambda: BatchNorm1d(width, centre=False, affine=False, eps=0.0, dtype=torch.float64))
    return nn.Sequential(*(Block(weight, norm(), act()) for weight in drawn))


def profiles(count: int, n: int, width: int, depth: int, weights: str, **design) -> list[leadline.Profile]:
    found = []
    for seed in range(count):
        x = torch.randn(n, width, generator=torch.Generator().manual_seed(100 + seed), dtype=torch.float64)
        found.append(leadline.profile(network(width, depth, weights, seed, **design), x, rows=max(n, 2)))
    return found


def column(found: list[leadline.Profile], metric: str) -> np.ndarray:
    return np.array([[getattr(layer, metric) for layer in each.layers] for each in found])


def test_orthogonal_square_batches_lose_their_gap_at_the_sharp_rate_and_below_the_bound():
    d = 16
    gaps = column(profiles(8, d, d, 160, "haar"), "isometry_gap")
    slope = np.log(gaps[:, -1] / gaps[:, 40]).mean() / (gaps.shape[1] - 41)
    assert slope == pytest.approx(isometry_gap_rate(d), rel=0.12)
    first = gaps[:, 0].mean()
    for layer in (60, 120, 159):
        assert gaps[:, layer].mean() < isometry_gap_bound(first, d=d, layers=layer)


@pytest.mark.parametrize("weights", ["gaussian", "haar"])
def test_samples_settle_at_the_plateau(weights):
    n, d = 4, 64
    gaps = column(profiles(6, n, d, 100, weights), "orthogonality_gap")[:, 20:]
    assert np.sqrt(np.mean(gaps**2)) == pytest.approx(orthogonality_plateau(n=n, d=d, weights=weights), rel=0.1)


def test_rank_settles_at_that_of_the_stationary_spectrum():
    n, d = 24, 48
    ranks = column(profiles(3, n, d, 200, "gaussian"), "participation_ratio")[:, 100:]
    assert ranks.mean() == pytest.approx(batch_norm_rank(n=n, d=d), rel=0.1)


def growth(found: list[leadline.Profile], start: int, stop: int) -> float:
    logs = np.log(column(found, "grad_norm"))
    return float((logs[:, start] - logs[:, stop]).mean() / (stop - start))


@pytest.mark.parametrize("alpha", [1.0, 0.5])
def test_gradients_of_few_samples_grow_at_the_rate(alpha):
    n, d = 8, 80

    def norm() -> nn.Module:
        return FractionalBatchNorm1d(d, alpha=alpha, centre=False, affine=False, eps=0.0, dtype=torch.float64)

    measured = growth(profiles(6, n, d, 120, "haar", norm=norm), 10, 100)
    assert measured == pytest.approx(fractional_gradient_rate(n=n, d=d, alpha=alpha), rel=0.15)


def test_relu_networks_with_torchs_batch_norm_have_the_rate_and_the_cosine_of_theory():
    n, d = 16, 256
    found = profiles(
        3, n, d, 60, "gaussian", norm=lambda: nn.BatchNorm1d(d, eps=1e-12, dtype=torch.float64), act=nn.ReLU
    )
    assert growth(found, 5, 55) == pytest.approx(batch_norm_gradient_rate("relu", n=n, d=d), rel=0.06)
    cosine = column(found, "mean_cosine")[:, 15:].mean()
    assert cosine == pytest.approx(batch_norm_fixed_point("relu", n=n).cosine, rel=0.06)


def test_linear_networks_without_norm_collapse_at_the_rate():
    d, depth = 12, 150
    ranks = column(profiles(16, d, d, depth, "gaussian", norm=nn.Identity), "participation_ratio")
    gaps = -0.5 * np.log(ranks - 1)
    rates = (gaps[:, 110] - gaps[:, 30]) / 80
    error = rates.std(ddof=1) / 4
    assert abs(rates.mean() - collapse_rate(d)) < 4 * error < 0.8 * collapse_rate(d)


def test_deep_linear_maps_are_as_ill_conditioned_as_products():
    n, factors = 32, 3
    logs = []
    for seed in range(60):
        model = network(n, factors, "gaussian", seed, norm=nn.Identity)
        sigma = leadline.metrics.jacobian_singular_values(model, torch.zeros(1, n, dtype=torch.float64)).flatten()
        logs.append(math.log(float(sigma.max() / sigma.min())))
    error = np.std(logs, ddof=1) / math.sqrt(len(logs))
    assert abs(np.mean(logs) - product_log_condition(n, factors=factors)) < 0.2 + 4 * error
    assert error < 0.3
