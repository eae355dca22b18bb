"""Modules that hold parameters themselves, directly or in lists, and models whose weights no module call shows."""

import pytest
import torch
from tests.architectures import build, made
from torch import Tensor, nn
from torch.nn import functional as F

import leadline
from leadline._core.errors import UsageError


class Raw(nn.Module):
    """One linear map and an activation, of parameters of its own."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4, 4))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x @ self.weight)


class Listed(nn.Module):
    def __init__(self):
        super().__init__()
        self.weights = nn.ParameterList([torch.randn(4, 4), torch.randn(4, 4)])
        self.other = nn.ParameterDict({"bias": nn.Parameter(torch.zeros(4))})

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(torch.tanh(x @ self.weights[0]) @ self.weights[1] + self.other["bias"])


class WithActivation(Raw):
    """The same weight, but the activation is a module inside."""

    def __init__(self):
        super().__init__()
        self.act, self.drop = nn.ReLU(), nn.Dropout(0.0)

    def forward(self, x: Tensor) -> Tensor:
        return self.drop(self.act(x @ self.weight))


class Container(nn.Module):
    """Holds a weight for another module and is never called."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4, 4))


class Borrows(nn.Module):
    def __init__(self):
        super().__init__()
        self.held = Container()

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x @ self.held.weight)


@pytest.mark.parametrize("kind", [Raw, Listed, WithActivation, Borrows])
def test_the_module_that_holds_the_parameters_is_the_layer(kind: type[nn.Module], generator: torch.Generator):
    model, x = made(kind), torch.randn(6, 4, generator=generator)
    profile = leadline.profile(model, x)
    (layer,) = profile.layers
    assert (layer.name, layer.kind, layer.shape) == (kind.__name__, kind.__name__, (6, 4))
    assert layer.parameters == sum(p.numel() for p in model.parameters())
    assert layer.rms == pytest.approx(float(model(x).detach().double().square().mean().sqrt()), rel=1e-6)
    assert layer.weight_grad_norm > 0 and profile.unused == ()


def test_a_layer_may_have_modules_without_parameters_inside(generator: torch.Generator):
    model = made(lambda: nn.Sequential(WithActivation(), nn.Linear(4, 4), WithActivation()))
    with torch.no_grad():
        model[0].weight[:, 1] = 0.0
    profile = leadline.profile(model, torch.randn(6, 4, generator=generator))
    assert [layer.name for layer in profile.layers] == ["0", "1", "2"]
    assert profile["0"].parts == ("WithActivation", "ReLU", "Dropout")
    assert profile["0"].dead_fraction == 0.25


def test_lists_of_parameters_belong_to_the_modules_that_use_them(generator: torch.Generator):
    profile = leadline.profile(made(lambda: nn.Sequential(Listed(), Listed())), torch.randn(6, 4, generator=generator))
    assert [(layer.name, layer.parameters) for layer in profile.layers] == [("0", 36), ("1", 36)]
    assert set(profile.weight_shapes) == {f"{i}.weights.{j}" for i in (0, 1) for j in (0, 1)}


def test_weights_used_by_functions_alone_are_no_healthy_model():
    class Functions(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            return F.linear(torch.relu(F.linear(x, self.a.weight)), self.b.weight)

    with pytest.raises(UsageError, match=r"no layer to measure: of the modules with parameters \(a, b\) none was call"):
        leadline.profile(made(Functions), torch.ones(2, 4))


class Headed(nn.Module):
    """Five matrices that functions multiply with, in front of a module; a position and a query are added or called."""

    def __init__(self):
        super().__init__()
        self.weights = nn.ParameterList([torch.randn(4, 4) for _ in range(5)])
        self.position, self.query = nn.Parameter(torch.randn(1, 4)), nn.Parameter(torch.randn(2, 4))
        self.embed, self.head = nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x) + self.position + self.embed(self.query).sum(0)
        for weight in self.weights:
            x = torch.tanh(x @ weight)
        return self.head(x)


def test_weights_that_functions_use_outside_every_layer_are_named():
    note = (
        "Functions outside every layer use the weights weights.0, weights.1, weights.2 and 2 more, and what they do "
        "was not measured; put each into a module of its own."
    )
    assert note in leadline.profile(made(Headed), torch.ones(2, 4)).notes


@pytest.mark.parametrize("name", ["vit", "gpt2", "resnet"])
def test_embeddings_and_tokens_are_no_weights_outside_the_layers(name: str):
    assert not any("outside every layer" in note for note in leadline.profile(*build(name)).notes)


def test_chosen_layers_that_do_not_run_are_an_error():
    class Idle(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.idle = nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.used(x)

    with pytest.raises(UsageError, match=r"of the modules chosen as layers \(idle\) none was called"):
        leadline.profile(made(Idle), torch.ones(2, 4), layers="idle")


def test_an_empty_parameter_changes_no_number(generator: torch.Generator):
    def layers() -> nn.Sequential:
        return made(lambda: nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2)))

    inputs = torch.randn(8, 4, generator=generator)
    plain, with_empty = layers(), layers()
    with_empty[0].register_parameter("spare", nn.Parameter(torch.zeros(0)))
    expected, found = (leadline.profile(model, inputs) for model in (plain, with_empty))
    assert [layer.metrics for layer in found.layers] == [layer.metrics for layer in expected.layers]
