import math

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

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


@pytest.mark.parametrize("init", ["he", "xavier", "gaussian", "orthogonal"])
def test_a_parametrised_weight_is_that_of_a_plain_one(init):
    plain = drawn(init, gain=1.5)
    wrapped = drawn(init, gain=1.5, make=lambda: parametrizations.weight_norm(nn.Linear(FAN_IN, FAN_OUT)))
    torch.testing.assert_close(wrapped.weight, plain.weight)
    assert wrapped.bias.count_nonzero() == 0


def test_a_parametrised_weight_keeps_its_draw_by_default():
    plain = drawn("default", gain=1.5)
    wrapped = drawn("default", gain=1.5, make=lambda: parametrizations.weight_norm(nn.Linear(FAN_IN, FAN_OUT)))
    torch.testing.assert_close(wrapped.weight, plain.weight)
    assert torch.equal(wrapped.bias, plain.bias)


@pytest.mark.parametrize("groups", [1, 4])
@pytest.mark.parametrize(("init", "square"), [("he", 2.0), ("gaussian", 1.0)])
def test_a_transposed_convolution_of_unit_maps_has_outputs_of_the_stated_size(init, square, groups, generator):
    layer = drawn(init, make=lambda: nn.ConvTranspose2d(32, 48, 4, stride=2, padding=1, groups=groups))
    with torch.no_grad():
        y = layer(torch.randn(4, 32, 40, 40, generator=generator))[..., 4:-4, 4:-4]  # the border sees fewer pixels
    assert y.var().item() == pytest.approx(square, rel=0.08)
    assert layer.bias.count_nonzero() == 0


def test_an_orthogonal_transposed_kernel_is_the_matrix_of_outputs_against_the_rest():
    weight = drawn("orthogonal", gain=1.5, make=lambda: nn.ConvTranspose1d(6, 4, 3)).weight
    matrix = weight.transpose(0, 1).flatten(1)
    torch.testing.assert_close(matrix @ matrix.T, 1.5**2 * torch.eye(4))


def test_an_embedding_is_left_alone_also_where_a_read_out_shares_it():
    with seeded(0):
        net = nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 5))
        net[1].weight = net[0].weight
        kept = net[0].weight.clone()
        fill(net, init="he")
    assert torch.equal(net[0].weight, kept)


def test_an_unknown_init_offers_the_nearest():
    with pytest.raises(
        UsageError, match=r"init must be one of default, he, .*got 'orthogonl' \(did you mean 'orthogonal'"
    ):
        drawn("orthogonl")
