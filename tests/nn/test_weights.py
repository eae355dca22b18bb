import math

import pytest
import torch
from torch import nn

from leadline._core.errors import UsageError
from leadline._core.randomness import seeded
from leadline.nn import fill

FAN_IN, FAN_OUT = 400, 600


def drawn(init, gain=1.0, make=lambda: nn.Linear(FAN_IN, FAN_OUT)):
    with seeded(0):
        return fill(make(), init=init, gain=gain)


@pytest.mark.parametrize(
    ("init", "variance"),
    [("he", 2 / FAN_IN), ("xavier", 2 / (FAN_IN + FAN_OUT)), ("gaussian", 1 / FAN_IN), ("default", 1 / (3 * FAN_IN))],
)
def test_weights_have_the_stated_variance(init, variance):
    weight = drawn(init, gain=1.5).weight
    # The relative standard error of a variance of 240,000 normal entries is .003.
    assert weight.var().item() == pytest.approx(1.5**2 * variance, rel=0.02)
    assert abs(weight.mean().item()) < 5 * math.sqrt(1.5**2 * variance / weight.numel())


def test_orthogonal_weights_have_all_singular_values_at_the_gain():
    sigma = torch.linalg.svdvals(drawn("orthogonal", gain=1.5).weight)
    torch.testing.assert_close(sigma, torch.full((FAN_IN,), 1.5), atol=1e-4, rtol=0)


def test_fan_in_of_a_kernel_counts_its_positions():
    weight = drawn("he", make=lambda: nn.Conv2d(64, 128, 3)).weight
    assert weight.var().item() == pytest.approx(2 / (64 * 9), rel=0.03)


def test_biases_become_zero_except_by_default():
    assert drawn("he").bias.abs().max() == 0
    with seeded(0):
        untouched = nn.Linear(FAN_IN, FAN_OUT)
    assert torch.equal(drawn("default").bias, untouched.bias)
    assert torch.equal(drawn("default").weight, untouched.weight)


def test_norms_and_embeddings_are_left_alone():
    with seeded(0):
        net = nn.Sequential(nn.Embedding(5, 4), nn.LayerNorm(4), nn.Linear(4, 4))
        kept = net[0].weight.clone()
        fill(net, init="he", gain=3.0)
    assert torch.equal(net[0].weight, kept)
    assert torch.equal(net[1].weight, torch.ones(4))


def test_an_unknown_init_offers_the_nearest():
    with pytest.raises(
        UsageError, match=r"init must be one of default, he, .*got 'orthogonl' \(did you mean 'orthogonal'"
    ):
        drawn("orthogonl")
