"""Dead units and saturated entries against the slopes that autograd gives."""

import math
from collections.abc import Callable

import pytest
import torch
from tests.architectures import build, made
from torch import Tensor, nn
from torch.nn import functional as F

import leadline

Function = Callable[[Tensor], Tensor]


class Wraps(nn.Module):
    """A linear map followed by a function."""

    def __init__(self, function: Function, width: int = 40):
        super().__init__()
        self.linear, self.head, self.function = nn.Linear(6, width), nn.Linear(width, 3), function

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.function(self.linear(x)))


def slopes(function: Function, x: Tensor) -> tuple[Tensor, float]:
    """|phi'| at ``x``, and its maximum over the line."""
    with torch.enable_grad():
        grid = torch.linspace(-60, 60, 800_001, dtype=torch.float64).requires_grad_()
        (steepest,) = torch.autograd.grad(function(grid).sum(), grid)
        x = x.detach().double().requires_grad_()
        (slope,) = torch.autograd.grad(function(x).sum(), x)
    return slope.abs(), float(steepest.abs().max())


def quick_gelu(x: Tensor) -> Tensor:
    return x * torch.sigmoid(1.702 * x)


def gelu_written_out(x: Tensor) -> Tensor:
    return 0.5 * x * (1.0 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


ACTIVATIONS: dict[str, tuple[Function, str]] = {
    "relu": (F.relu, "ReLU"),
    "relu in place": (lambda x: F.relu(x, inplace=True), "ReLU"),
    "clamped": (torch.relu, "ReLU"),
    "relu6": (F.relu6, "ReLU6"),
    "gelu": (F.gelu, "GELU"),
    "gelu tanh": (lambda x: F.gelu(x, approximate="tanh"), "GELU"),
    "gelu written out": (gelu_written_out, "GELU"),
    "silu": (F.silu, "SiLU"),
    "silu in place": (lambda x: F.silu(x, inplace=True), "SiLU"),
    "silu written out": (lambda x: x * torch.sigmoid(x), "SiLU"),
    "quick gelu": (quick_gelu, "QuickGELU"),
    "mish": (F.mish, "Mish"),
    "elu": (F.elu, "ELU"),
    "elu in place": (lambda x: F.elu(x, inplace=True), "ELU"),
    "selu": (F.selu, "SELU"),
    "celu": (lambda x: F.celu(x, alpha=0.5), "CELU"),
    "celu in place": (lambda x: F.celu(x, alpha=0.5, inplace=True), "CELU"),
    "softplus": (lambda x: F.softplus(x, beta=2.0), "Softplus"),
    "hardswish": (F.hardswish, "Hardswish"),
    "tanh": (torch.tanh, "Tanh"),
    "sigmoid": (torch.sigmoid, "Sigmoid"),
    "hardtanh": (F.hardtanh, "Hardtanh"),
    "hardsigmoid": (F.hardsigmoid, "Hardsigmoid"),
    "softsign": (F.softsign, "Softsign"),
    "leaky relu": (F.leaky_relu, "LeakyReLU"),
}
TWO_SIDED = {"tanh", "sigmoid", "hardtanh", "hardsigmoid", "softsign"}
ALIVE = {"leaky relu"}


@pytest.fixture
def batch(generator: torch.Generator) -> Tensor:
    return torch.randn(16, 6, generator=generator)


def planted(function: Function) -> Wraps:
    """Biases spread widely, so that some units are dead and some entries saturated on both sides."""
    model = made(lambda: Wraps(function))
    with torch.no_grad():
        model.linear.bias.copy_(torch.linspace(-14, 14, 40))
        model.linear.bias[:2] = -50.0  # softsign flattens slowly
    return model


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_activation_is_named(name: str, batch: Tensor):
    function, expected = ACTIVATIONS[name]
    assert leadline.profile(planted(function), batch)["linear"].parts == ("Linear", expected)


@pytest.mark.parametrize("name", [name for name in ACTIVATIONS if name not in ALIVE])
def test_dead_units_are_those_without_slope_on_every_sample(name: str, batch: Tensor):
    function, _ = ACTIVATIONS[name]
    model = planted(function)
    # In-place functions would overwrite what the slope is asked of.
    slope, steepest = slopes(lambda x: function(x.clone()), model.linear(batch))
    dead = (slope <= 1e-3 * steepest).all(0).double().mean()
    found = leadline.profile(model, batch)["linear"]
    assert 0 < dead < 0.9
    assert found.dead_fraction == pytest.approx(float(dead), abs=1e-12)
    assert (found.dead_layer, found.dead_share) == ("linear", found.dead_fraction)


@pytest.mark.parametrize("name", sorted(TWO_SIDED))
def test_saturated_entries_are_those_with_little_slope(name: str, batch: Tensor):
    function, _ = ACTIVATIONS[name]
    model = planted(function)
    slope, steepest = slopes(function, model.linear(batch))
    expected = float((slope <= 0.05 * steepest).double().mean())
    assert 0.2 < expected < 1
    # An entry on the very limit may fall on either side in float32.
    layer = leadline.profile(model, batch)["linear"]
    assert layer.saturated_fraction == pytest.approx(expected, abs=2 / 640)
    assert (layer.saturated_layer, layer.saturated_share) == ("linear", layer.saturated_fraction)


@pytest.mark.parametrize("name", [name for name in ACTIVATIONS if name not in TWO_SIDED | {"relu6"}])
def test_one_sided_activations_do_not_saturate(name: str, batch: Tensor):
    assert math.isnan(leadline.profile(planted(ACTIVATIONS[name][0]), batch)["linear"].saturated_fraction)


@pytest.mark.parametrize("axis", [-1, 1])
def test_a_unit_whose_gate_is_shut_is_dead(axis: int, batch: Tensor):
    model = planted(lambda x: F.glu(x, axis).repeat(1, 2))
    with torch.no_grad():
        model.linear.bias[20:25] = -50.0  # the second half are the gates
    gates = model.linear(batch)[:, 20:].sigmoid()
    found = leadline.profile(model, batch)["linear"]
    assert "GLU" in found.parts
    assert found.dead_fraction == pytest.approx(float((gates <= 1e-3).all(0).double().mean()), abs=1e-12)
    assert found.dead_fraction >= 0.25


def test_relu6_saturates_on_its_upper_side_only(batch: Tensor):
    model = planted(F.relu6)
    expected = float((model.linear(batch) >= 6).double().mean())
    assert leadline.profile(model, batch)["linear"].saturated_fraction == pytest.approx(expected)


def test_modules_and_functions_give_the_same(batch: Tensor):
    function = leadline.profile(planted(F.relu), batch)["linear"].dead_fraction
    for module in (nn.ReLU(), nn.ReLU(inplace=True)):
        assert leadline.profile(planted(module), batch)["linear"].dead_fraction == function > 0


def test_channels_of_maps_are_the_units(generator: torch.Generator):
    class Conv(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.head = nn.Conv2d(3, 8, 3), nn.Linear(8, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(F.relu(self.conv(x)).mean((2, 3)))

    model = made(Conv)
    with torch.no_grad():
        model.conv.bias[:2] = -100.0
    layer = leadline.profile(model, torch.randn(4, 3, 8, 8, generator=generator))["conv"]
    assert layer.dead_fraction == 2 / 8


def test_features_of_tokens_are_the_units(generator: torch.Generator):
    model = planted(F.relu)
    x = torch.randn(3, 5, 6, generator=generator)
    dead = (model.linear(x) <= 0).flatten(0, 1).all(0).double().mean()
    assert leadline.profile(model, x)["linear"].dead_fraction == pytest.approx(float(dead))


def test_features_of_maps_with_channels_last_are_the_units(generator: torch.Generator):
    model = planted(F.relu)
    x = torch.randn(2, 4, 4, 6, generator=generator)
    dead = (model.linear(x) <= 0).flatten(0, 2).all(0).double().mean()
    assert leadline.profile(model, x)["linear"].dead_fraction == pytest.approx(float(dead))


def test_the_activation_behind_a_sum_belongs_to_the_branch_and_its_block():
    model, x, y = build("resnet")
    with torch.no_grad():
        for norm in (model.layer1[1].bn2, model.layer1[0].bn1):
            norm.weight.zero_()
            norm.bias.fill_(-1e3)
    profile = leadline.profile(model, x, y)
    assert (profile["layer1.1"].dead_layer, profile["layer1.1"].dead_share) == ("layer1.1.bn2", 1.0)
    assert profile["layer1.1"].dead_fraction == 0.5  # one of the block's two activations of four units
    assert (profile["layer1.0"].dead_layer, profile["layer1.0"].dead_fraction) == ("layer1.0.bn1", 0.5)


def test_a_pre_activation_belongs_to_the_block_it_runs_in():
    class Before(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear, self.norm = nn.Linear(4, 4), nn.Identity()

        def forward(self, x: Tensor) -> Tensor:
            return x + self.linear(torch.tanh(self.norm(x)))

    profile = leadline.profile(made(lambda: nn.Sequential(nn.Linear(4, 4), Before(), Before())), torch.eye(4))
    assert profile["1"].parts == ("Identity", "Tanh", "Linear")
    assert profile["1"].saturated_fraction == 0.0


def test_a_gated_unit_belongs_to_its_gate():
    model, inputs, _ = build("llama")
    profile = leadline.profile(model, inputs, layers="*.gate_proj")
    assert profile.layers[0].parts == ("Linear", "SiLU")


def test_hugging_face_activations_have_the_names_of_torch():
    profile = leadline.profile(*build("gpt2"))
    assert "GELU" in profile["transformer.h.0"].parts
    assert "NewGELUActivation" not in profile["transformer.h.0"].parts


def test_recurrent_gates_are_not_read():
    profile = leadline.profile(*build("lstm"))
    assert profile["rnn"].parts == ("LSTM",)
    assert math.isnan(profile["rnn"].saturated_fraction)
