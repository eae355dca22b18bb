"""Each recipe does what it says, and refuses a model that has nothing for it."""

import pytest
import torch
from tests.architectures import ARCHITECTURES, build
from tests.doctor.models import conv_resnet, plain_mlp, tiny_gpt
from torch import Tensor, nn
from torch.nn import functional as F

import leadline
from leadline import Repair
from leadline._core.errors import UsageError
from leadline._core.randomness import seeded
from leadline.doctor.repairs import RECIPES
from leadline.nn import FractionalBatchNorm, ShapedActivation


def sick(depth: int = 12, **options):
    return plain_mlp(depth, init="default", **({"activation": "sigmoid"} | options))


def outputs_of(model: nn.Module, kind: type[nn.Module], x: Tensor) -> list[Tensor]:
    found: list[Tensor] = []
    handles = [m.register_forward_hook(lambda _m, _x, y: found.append(y)) for m in model.modules() if type(m) is kind]
    with torch.no_grad():
        model(x)
    for handle in handles:
        handle.remove()
    return found


def test_unit_variance_gives_every_map_unit_variance():
    model, x, y = sick(activation="tanh", depth=30)
    leadline.repair(model, x, y, recipe="unit-variance")
    assert all(abs(y.std(correction=0) - 1) < 1e-3 for y in outputs_of(model, nn.Linear, x))


def test_orthogonal_weights_are_orthogonal_times_the_gain_of_the_activation_in_front():
    model, x, y = sick(activation="relu", depth=30)
    repair = leadline.repair(model, x, y, recipe="orthogonal")
    weight = model.get_parameter("blocks.5.linear.weight")
    assert repair.recipe == "orthogonal"
    assert torch.allclose(weight @ weight.T, 2 * torch.eye(64), atol=1e-4)


class Complex(nn.Module):
    """Complex maps between real ones."""

    def __init__(self):
        super().__init__()
        self.ahead = nn.Linear(8, 16)
        self.within = nn.Linear(16, 16, dtype=torch.cfloat)
        self.head = nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.within(torch.complex(self.ahead(x), self.ahead(-x))).abs())


@pytest.mark.parametrize("recipe", ["orthogonal", "unit-variance", "straighten"])
def test_complex_maps_stay_while_the_others_are_repaired(recipe, generator):
    with seeded(0):
        model = Complex()
    kept = model.within.weight.clone()
    x, y = torch.randn(32, 8, generator=generator), torch.arange(32) % 3
    repair = leadline.repair(model, x, y, recipe=recipe)
    assert repair.recipe == recipe and not any(step.layer == "within" for step in repair.steps)
    assert torch.equal(model.within.weight, kept)


def test_straighten_centres_every_unit_and_gives_every_map_its_spread():
    model, x, y = sick()
    repair = leadline.repair(model, x, y, recipe="straighten")
    outputs = outputs_of(model, nn.Linear, x)[:-1]
    spreads = {round((y - y.mean(0)).std().item(), 1) for y in outputs}
    assert len(spreads) == 1 and all(y.mean(0).std() < 1e-4 for y in outputs)
    assert not repair.swaps


def test_straighten_sets_factor_and_offset_of_the_norm_where_there_is_one():
    model, x, y = sick(norm="layer")
    repair = leadline.repair(model, x, y, recipe="straighten")
    filled = {step.data["parameter"] for step in repair.steps if step.action == "fill"}
    assert {"blocks.3.norm.weight", "blocks.3.norm.bias"} <= filled
    assert leadline.diagnose(repair.after).trainable > leadline.diagnose(repair.before).trainable


def test_scaled_branches_together_are_as_large_as_the_stream():
    model, x, y = conv_resnet(norm="none")
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("conv2.weight"):
                parameter.mul_(20)
    repair = leadline.repair(model, x, y, recipe="scale-residual")
    ratios = [each.branch_rms / each.stream_rms for each in repair.after.layers if each.residual]
    assert repair.recipe == "scale-residual" and not repair.swaps
    assert max(ratios) < 1.5 / len(ratios) ** 0.5


def test_shape_swaps_every_activation():
    model, x, y = sick()
    repair = leadline.repair(model, x, y, recipe="shape")
    assert repair.swaps and sum(isinstance(m, ShapedActivation) for m in model.modules()) == 12
    repair.undo()
    assert not any(isinstance(m, ShapedActivation) for m in model.modules())


def test_normalise_puts_a_norm_in_front_of_every_activation():
    model, x, y = sick()
    repair = leadline.repair(model, x, y, recipe="normalise")
    assert repair.swaps and sum(isinstance(m, nn.BatchNorm1d) for m in model.modules()) == 12
    assert "blocks.0.linear.weight" in model.state_dict()


def test_fractional_norm_converts_batch_norms():
    model, x, y = sick(norm="batch", depth=40, activation="relu")
    repair = leadline.repair(model, x, y, recipe="fractional-norm")
    assert repair.swaps and sum(isinstance(m, FractionalBatchNorm) for m in model.modules()) == 40


class Functional(nn.Module):
    """Calls its activation as a function, through one module that all layers share."""

    def __init__(self, shared: bool):
        super().__init__()
        self.maps = nn.ModuleList(nn.Linear(32, 32) for _ in range(10))
        self.head = nn.Linear(32, 10)
        self.act = nn.Sigmoid() if shared else None

    def forward(self, x: Tensor) -> Tensor:
        for linear in self.maps:
            x = linear(x)
            x = self.act(x) if self.act is not None else F.sigmoid(x)
        return self.head(x)


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("recipe", ["straighten", "normalise", "auto"])
def test_functional_and_shared_activations_are_seen(shared, recipe, generator):
    with seeded(0):
        model = Functional(shared)
    x, y = torch.randn(64, 32, generator=generator), torch.arange(64) % 10
    repair = leadline.repair(model, x, y, recipe=recipe)
    assert repair.outcome in ("repaired", "improved"), str(repair.attempts)
    assert leadline.diagnose(repair.after).trainable > 0.5 + leadline.diagnose(repair.before).trainable


def test_a_functional_activation_cannot_be_shaped():
    with seeded(0):
        model, x = Functional(False), torch.randn(64, 32)
    with pytest.raises(UsageError, match="recipe 'shape' cannot be used here: .* no activation modules to swap"):
        leadline.repair(model, x, torch.arange(64) % 10, recipe="shape")


@pytest.mark.parametrize("name", ["straighten", "unit-variance"])
def test_tied_weights_stay_tied(name):
    model, inputs, targets = tiny_gpt()
    shared = dict(model.named_parameters(remove_duplicate=False))
    ties = [(a, b) for a in shared for b in shared if a < b and shared[a] is shared[b]]
    leadline.repair(model, inputs, targets, recipe=name)
    now = dict(model.named_parameters(remove_duplicate=False))
    assert all(now[a] is now[b] for a, b in ties)


@pytest.mark.slow
@pytest.mark.parametrize("recipe", [name for name in RECIPES if name != "maximise-rank"])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_architecture_is_repaired_or_refused_in_a_sentence_and_put_back(name, recipe):
    model, inputs, targets = build(name)
    kept, modules = {k: v.clone() for k, v in model.state_dict().items()}, list(model.modules())
    try:
        repair = leadline.repair(model, inputs, targets, recipe=recipe)
    except UsageError as error:
        assert str(error).endswith(".")
    else:
        assert isinstance(repair, Repair)
        repair.undo()
    assert all(torch.equal(value, kept[key]) for key, value in model.state_dict().items())
    assert all(a is b for a, b in zip(modules, model.modules(), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_auto_swaps_nothing_in_an_architecture_at_its_usual_start(name):
    model, inputs, targets = build(name)
    assert not leadline.repair(model, inputs, targets).swaps
