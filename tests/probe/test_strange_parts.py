"""Parameters, buffers and modules that few models have: empty, of integers, resized, made or written on the way."""

import math

import pytest
import torch
from tests.architectures import made
from torch import Tensor, nn

import leadline
from leadline._core.errors import UsageError


@pytest.fixture
def x(generator: torch.Generator) -> Tensor:
    return torch.randn(6, 4, generator=generator)


class Odd(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 3)
        self.places = nn.Parameter(torch.arange(4), requires_grad=False)
        self.empty = nn.Parameter(torch.zeros(0, 4))

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(torch.cat([x[:, self.places], self.empty]))


def test_parameters_may_be_integers_or_empty(x: Tensor):
    profile = leadline.profile(made(Odd), x)
    assert profile["layer"].weight_grad_norm > 0
    assert profile.weight_norms == {"layer.weight": profile.weight_norms["layer.weight"]}


class Observes(nn.Module):
    """Gives its buffer another shape when it first runs, as observers for quantisation do."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 3)
        self.register_buffer("largest", torch.zeros(0))

    def forward(self, x: Tensor) -> Tensor:
        y = self.layer(x)
        self.largest.resize_(3).copy_(y.detach().amax(0))
        return y


def test_buffers_that_change_their_shape_are_put_back(x: Tensor):
    model = made(Observes)
    buffer = model.largest
    leadline.profile(model, x)
    assert model.largest is buffer and tuple(buffer.shape) == (0,)


@pytest.mark.filterwarnings("ignore")
def test_quantisation_aware_training_is_profiled_and_quantised_weights_are_not(x: Tensor):
    quantisation = torch.ao.quantization
    model = made(
        lambda: nn.Sequential(
            quantisation.QuantStub(), nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3), quantisation.DeQuantStub()
        )
    )
    model.qconfig = quantisation.get_default_qat_qconfig("fbgemm")
    trained = made(lambda: quantisation.prepare_qat(model))
    profile = leadline.profile(trained, x)
    assert [(layer.name, layer.kind) for layer in profile.layers] == [("1", "Linear"), ("3", "Linear")]
    assert profile["1"].weight_grad_norm > 0
    trained(x)
    for quantised in (
        made(lambda: quantisation.convert(trained.eval())),
        made(lambda: quantisation.quantize_dynamic(nn.Sequential(nn.Linear(4, 3)), {nn.Linear})),
    ):
        with pytest.raises(UsageError, match=r"\(Linear\) is quantised, and no gradient flows through it; profile the"):
            leadline.profile(quantised, x)


class Idle(nn.Module):
    """Two experts, to the second of which no sample is sent; it runs on none."""

    def __init__(self):
        super().__init__()
        self.experts = nn.ModuleList(nn.Linear(4, 4) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.experts[0](x), self.experts[1](torch.relu(x[:0]))])


def test_an_expert_that_gets_no_sample_has_no_numbers(x: Tensor):
    profile = leadline.profile(made(lambda: nn.Sequential(Idle(), nn.Linear(4, 3))), x)
    layer = profile["0.experts.1"]
    assert layer.shape == (0, 4) and math.isnan(layer.rms) and math.isnan(layer.dead_fraction)
    assert profile["0.experts.0"].rms > 0


class Late(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        if not hasattr(self, "body"):
            self.body = nn.Linear(4, 4)
        return self.head(self.body(x))


def test_modules_made_on_the_way_are_named(x: Tensor):
    model = made(Late)
    first = leadline.profile(model, x)
    assert first.notes == ("Modules that the model made while it ran were not measured: body; profile it again.",)
    second = leadline.profile(model, x)
    assert [layer.name for layer in second.layers] == ["body", "head"] and second.notes == ()


def test_a_model_without_parameters_yet_is_sent_to_run_first(x: Tensor):
    class Later(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            self.body = nn.Linear(4, 4)
            return self.body(x)

    with pytest.raises(
        UsageError, match="no parameters, so there is nothing to profile; run a batch through it before"
    ):
        leadline.profile(Later(), x)


def test_weights_that_the_model_writes_on_are_named(x: Tensor):
    class Normalises(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            with torch.no_grad():
                self.layer.weight.div_(self.layer.weight.norm())
            return self.layer(x)

    profile = leadline.profile(made(Normalises), x)
    assert profile.notes == ("The model writes on its own parameters, and that is not undone: layer.weight.",)


def test_single_numbers_that_repeat_are_no_repeated_samples():
    profile = leadline.profile(made(lambda: nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 3))), torch.arange(20) % 5)
    assert profile.repeated == 0
    rows = torch.ones(4, 3).long()
    assert leadline.profile(made(lambda: nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 3))), rows).repeated == 3


def test_inputs_without_values_are_an_error():
    with pytest.raises(UsageError, match="inputs must hold values; got a tensor on the meta device"):
        leadline.profile(made(lambda: nn.Linear(4, 3)), torch.ones(2, 4, device="meta"))


def test_tanhshrink_is_not_read_as_the_tanh_in_it(x: Tensor):
    profile = leadline.profile(made(lambda: nn.Sequential(nn.Linear(4, 4), nn.Tanhshrink())), 100 * x)
    assert math.isnan(profile["0"].saturated_fraction) and math.isnan(profile["0"].dead_fraction)
    tanh = leadline.profile(made(lambda: nn.Sequential(nn.Linear(4, 4), nn.Tanh())), 100 * x)
    assert tanh["0"].saturated_fraction > 0.8
