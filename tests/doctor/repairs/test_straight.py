"""The point at which an activation is used, against its definition by sampling."""

import math

import pytest
import torch
from torch import nn

from leadline.doctor.repairs.straight import operating_point

ACTIVATIONS = [nn.ReLU(), nn.Tanh(), nn.Sigmoid(), nn.GELU(), nn.SiLU(), nn.ELU(), nn.LeakyReLU(0.1)]


@pytest.mark.parametrize("phi", ACTIVATIONS, ids=str)
def test_numbers_of_the_point_are_those_of_samples(phi, generator):
    point = operating_point(phi, depth=20, budget=2.0)
    n = torch.randn(1_000_000, generator=generator, dtype=torch.float64)
    z = (point.shift + point.spread * n).requires_grad_()
    value = phi(z)
    slope = torch.autograd.grad(value.sum(), z)[0]
    value = value.detach()
    rest = value - value.mean()
    assert point.excess == pytest.approx((point.spread**2 * slope.square().mean() / value.var() - 1).item(), abs=0.01)
    assert point.runaway == pytest.approx((point.spread * (n * slope * rest).mean() / value.var() - 1).item(), abs=0.01)
    assert point.mean_share == pytest.approx((value.mean() ** 2 / value.var()).item(), rel=0.02, abs=1e-3)


@pytest.mark.parametrize("depth", [5, 50])
@pytest.mark.parametrize("phi", ACTIVATIONS, ids=str)
def test_the_gradient_keeps_to_its_budget_and_lengths_do_not_run_away(phi, depth):
    point = operating_point(phi, depth=depth, budget=2.0)
    assert depth * math.log1p(point.excess) <= 2.0
    assert point.runaway <= 1e-3


def test_a_straight_line_is_left_at_unit_variance_about_zero():
    point = operating_point(nn.Identity(), depth=100, budget=1.0)
    assert point.spread == pytest.approx(1.0, abs=0.1) and point.shift == 0
