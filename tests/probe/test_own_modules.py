"""The modules of ``leadline.nn`` as a profile sees them: shaped activations and norms that name their feature axis."""

import math

import pytest
import torch
from tests.architectures import made
from torch import Tensor, nn
from torch.nn import functional as F

import leadline
from leadline.nn import BatchNorm1d, FractionalBatchNorm, GainedActivation, TailoredLeakyReLU


def behind_linear(activation: nn.Module) -> nn.Module:
    """Half of the units far out on the negative side, where activations are flat."""
    net = made(lambda: nn.Sequential(nn.Linear(6, 8), activation, nn.Linear(8, 3)))
    with torch.no_grad():
        net[0].bias[:4] = -100.0
    return net


@pytest.fixture
def x(generator: torch.Generator) -> Tensor:
    return torch.randn(16, 6, generator=generator)


@pytest.mark.parametrize("activation", [nn.ReLU(), nn.Tanh(), nn.GELU(), nn.Sigmoid(), F.softsign])
def test_a_shaped_activation_has_a_slope_where_the_one_in_it_is_flat(activation: nn.Module, x: Tensor):
    model = behind_linear(leadline.shape(activation, 100))
    (slopes,) = torch.autograd.grad(model[1](h := model[0](x)).sum(), h)
    assert float(slopes.abs().min()) > 0.05 * float(slopes.abs().max())  # below that an entry would be saturated
    layer = leadline.profile(model, x)["0"]
    assert layer.parts == ("Linear", "ShapedActivation")
    assert math.isnan(layer.dead_fraction) and math.isnan(layer.saturated_fraction)


@pytest.mark.parametrize("activation", [nn.ReLU(), nn.Tanh(), nn.GELU()])
def test_one_that_is_only_standardised_is_as_dead_as_the_one_in_it(activation: nn.Module, x: Tensor):
    shaped = leadline.shape(activation, 1, budget=100.0)
    assert shaped.of_x == pytest.approx(0.0, abs=1e-9)
    layer = leadline.profile(behind_linear(shaped), x)["0"]
    assert layer.dead_fraction >= 0.5
    assert layer.dead_fraction == leadline.profile(behind_linear(activation), x)["0"].dead_fraction


def test_a_gain_before_an_activation_counts(x: Tensor):
    model = behind_linear(GainedActivation(nn.Tanh(), 0.001))
    layer = leadline.profile(model, x)["0"]
    assert layer.parts == ("Linear", "GainedActivation")
    assert (layer.dead_fraction, layer.saturated_fraction) == (0.0, 0.0)
    assert leadline.profile(behind_linear(GainedActivation(nn.Tanh(), 1.0)), x)["0"].dead_fraction == 0.5


def test_a_leaky_slope_of_zero_is_none(x: Tensor):
    assert leadline.profile(behind_linear(TailoredLeakyReLU(0.0)), x)["0"].dead_fraction == 0.5
    assert math.isnan(leadline.profile(behind_linear(TailoredLeakyReLU(0.5)), x)["0"].dead_fraction)
    assert leadline.profile(behind_linear(nn.LeakyReLU(1e-4, inplace=True)), x)["0"].dead_fraction == 0.5
    assert math.isnan(leadline.profile(behind_linear(nn.LeakyReLU(0.01)), x)["0"].dead_fraction)


def test_a_norm_is_believed_the_axis_of_its_features(generator: torch.Generator):
    model = made(lambda: nn.Sequential(FractionalBatchNorm(6, feature_axis=-1), nn.ReLU(), nn.Linear(6, 3)))
    with torch.no_grad():
        model[0].bias[:2] = -100.0
    x = torch.randn(4, 5, 6, generator=generator)
    layer = leadline.profile(model, x)["0"]
    assert layer.dead_fraction == pytest.approx(2 / 6)
    assert layer.token_effective_rank > 1
    second = made(lambda: nn.Sequential(FractionalBatchNorm(5), nn.ReLU(), nn.Linear(6, 3)))
    with torch.no_grad():
        second[0].bias[:2] = -100.0
    layer = leadline.profile(second, x)["0"]
    assert layer.dead_fraction == pytest.approx(2 / 5) and math.isnan(layer.token_effective_rank)


@pytest.mark.parametrize(
    ("norm", "training", "expected"),
    [
        (lambda: FractionalBatchNorm(6, feature_axis=-1), True, {"0": 20}),
        (lambda: FractionalBatchNorm(5), True, {"0": 24}),
        (lambda: FractionalBatchNorm(5), False, {}),
        (lambda: FractionalBatchNorm(5, evaluate_with="batch"), False, {"0": 24}),
        (lambda: BatchNorm1d(5, train_with="fixed"), True, {}),
        (lambda: nn.BatchNorm1d(5), True, {"0": 24}),
    ],
)
def test_values_per_channel_are_counted_where_the_batch_is_used(norm, training: bool, expected: dict[str, int]):
    model = made(lambda: nn.Sequential(norm(), nn.Linear(6, 3))).train(training)
    x = torch.linspace(-1, 1, 120).reshape(4, 5, 6).sin()
    assert leadline.profile(model, x).small_batch_norms == expected
