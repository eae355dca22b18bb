"""The call: what it keeps, what it puts back, and what travels."""

import copy
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file
from tests.doctor.models import conv_resnet, plain_mlp, vectors
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm, weight_norm
from transformers.pytorch_utils import Conv1D

import leadline
from leadline._core.diagnosis import Finding
from leadline._core.errors import UsageError
from leadline._core.randomness import seeded
from leadline._core.repair import ACTIONS
from leadline.doctor import diagnose
from leadline.doctor.repairs import RECIPES
from leadline.doctor.repairs.recipe import Patient
from leadline.doctor.repairs.recipes.unit_variance import scaled
from leadline.doctor.repairs.sounding import GOOD
from leadline.targets import load


def sick(depth: int = 20, activation: str = "sigmoid"):
    """A stack of sigmoids with torch's weights: its gradient vanishes and its samples become alike."""
    return plain_mlp(depth, init="default", activation=activation)


def state(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(model: nn.Module, kept: dict[str, torch.Tensor]) -> bool:
    now = model.state_dict()
    return now.keys() == kept.keys() and all(torch.equal(now[name], kept[name]) for name in kept)


def test_findings_go_and_the_record_says_how():
    model, x, y = sick()
    repair = leadline.repair(model, x, y)
    assert repair.outcome == "repaired" and repair.recipe in RECIPES and not repair.swaps
    assert any(reason.startswith("error: gradient-vanishing at ") for reason in repair.reasons)
    found = leadline.diagnose(leadline.profile(model, x, y))
    assert [f for f in found.findings if f.severity != "note"] == [] and found.trainable > 0.9
    assert repair.after == found.profile
    assert [attempt.kept for attempt in repair.attempts].count(True) == 1


def test_of_a_recipe_with_two_ways_the_one_that_was_kept_is_marked():
    target = load("mlp:depth=40,width=16,activation=tanh", batch=32)
    first, second = leadline.repair(target.model, target.inputs, target.targets, recipe="straighten").attempts[1:]
    assert (first.kept, second.kept) == (first.trainable > second.trainable, second.trainable > first.trainable)


def test_the_change_of_the_function_is_that_of_the_outputs():
    model, x, y = sick()
    old = model(x).detach().double()
    repair = leadline.repair(model, x, y)
    new = model(x).detach().double()
    assert repair.function_change == pytest.approx(((new - old).norm() / old.norm()).item())


def test_undo_puts_everything_back_to_the_bit():
    model, x, y = sick()
    kept, modules, parameters = state(model), list(model.modules()), list(model.parameters())
    repair = leadline.repair(model, x, y)
    assert not same(model, kept)
    repair.undo()
    assert same(model, kept)
    assert all(a is b for a, b in zip(modules, model.modules(), strict=True))
    assert all(a is b for a, b in zip(parameters, model.parameters(), strict=True))


def test_a_healthy_model_is_left_alone():
    model, x, y = plain_mlp(4)
    kept = state(model)
    repair = leadline.repair(model, x, y)
    assert (repair.outcome, repair.steps, repair.function_change) == ("healthy", (), 0.0)
    assert same(model, kept)


def test_spectral_norms_follow_their_weights_through_repair_replay_and_undo():
    def build():
        with seeded(0):
            body = [part for _ in range(3) for part in (spectral_norm(nn.Linear(64, 64)), nn.ReLU())]
            return nn.Sequential(*body, spectral_norm(nn.Linear(64, 10)))

    model, (x, y) = build(), vectors()
    kept = state(model)
    repair = leadline.repair(model, x, y, recipe="unit-variance")
    assert repair.recipe == "unit-variance"
    training, evaluated = model(x), model.eval()(x)
    assert torch.allclose(evaluated, training, rtol=1e-3, atol=1e-3)
    assert torch.allclose(repair.apply(build()).eval()(x), evaluated, rtol=1e-3, atol=1e-3)
    repair.undo()
    assert same(model, kept)


class Doubtful(nn.Module):
    """Embeddings that are added: nothing is wrong, and the score is a little below that of most that train."""

    def __init__(self):
        super().__init__()
        self.users, self.items, self.tags = nn.Embedding(20, 16), nn.Embedding(10, 16), nn.EmbeddingBag(30, 16)
        self.body = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 1))

    def forward(self, users: torch.Tensor, items: torch.Tensor, tags: torch.Tensor) -> torch.Tensor:
        return self.body(self.users(users) + self.items(items) + self.tags(tags)).squeeze(-1)


def test_where_nothing_was_found_only_a_recipe_that_is_asked_for_changes_the_model():
    with seeded(0):
        model = Doubtful()
        inputs = tuple(torch.randint(n, size) for n, size in ((20, (64,)), (10, (64,)), (30, (64, 4))))
        targets = torch.randn(64)
    kept = state(model)
    left = leadline.repair(model, inputs, targets)
    assert left.reasons == () and left.attempts[0].trainable < GOOD
    assert left.outcome == "healthy" and same(model, kept)
    asked = leadline.repair(model, inputs, targets, recipe="straighten")
    assert asked.recipe == "straighten" and not same(model, kept)
    assert "nothing was found before" in str(asked) and "gone" not in str(asked)


def test_a_network_that_is_hard_to_train_is_repaired_without_swaps(monkeypatch):
    model, x, y = plain_mlp(4)
    note = Finding(code="hard-to-train", layer="", severity="note", message="Seldom train.")

    def found(profile):
        return replace(diagnose(profile), findings=(note,), trainable=0.3)

    monkeypatch.setattr("leadline.doctor.repairs.sounding.diagnose", found)
    repair = leadline.repair(model, x, y)
    assert repair.reasons == ("note: hard-to-train",)
    assert {attempt.recipe for attempt in repair.attempts} == {"", "unit-variance", "straighten"}


def test_a_dry_run_says_the_steps_of_the_real_one_and_changes_nothing():
    model, x, y = sick()
    kept = state(model)
    plan = leadline.repair(model, x, y, dry_run=True)
    assert plan.outcome == "planned" and plan.steps and same(model, kept)
    assert leadline.repair(model, x, y).steps == plan.steps


def test_the_same_seed_gives_the_same_weights_and_another_others():
    models = [sick()[0] for _ in range(3)]
    _, x, y = sick()
    for model, seed in zip(models, (0, 0, 1), strict=True):
        leadline.repair(model, x, y, seed=seed)
    assert same(models[1], state(models[0])) and not same(models[2], state(models[0]))


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_loaded_record_and_the_weights_give_the_outputs_of_the_repaired_model(recipe, tmp_path):
    def build():
        if recipe == "scale-residual":
            return conv_resnet(norm="none")
        # Behind sigmoids the rank is 1 to the last digit, and nothing can descend on it.
        return sick(12, "relu") if recipe == "maximise-rank" else sick(6)

    model, x, y = build()
    repair = leadline.repair(model, x, y, recipe=recipe)
    assert repair.recipe == recipe and repair.swaps == RECIPES[recipe].swaps
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    repair.save(tmp_path / "repair.json")

    fresh, _, _ = build()
    leadline.Repair.load(tmp_path / "repair.json").apply(fresh, tmp_path / "model.safetensors")
    assert torch.equal(fresh(x), model(x))


def test_steps_that_need_no_batch_are_done_again_to_the_bit():
    model, x, y = sick(activation="tanh", depth=40)
    fresh = copy.deepcopy(model)
    repair = leadline.repair(model, x, y, recipe="unit-variance")
    assert repair.recipe == "unit-variance"
    assert same(repair.apply(fresh), state(model))


class Mixed(nn.Module):
    """A fused projection to queries, keys and values, and their sum."""

    def __init__(self, name: str, projection: nn.Module, num_heads: int = 4):
        super().__init__()
        self.num_heads = num_heads
        self.add_module(name, projection)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        (projection,) = self.children()
        return torch.stack(projection(x).chunk(3, -1)).sum(0)


def torch_attention() -> nn.Module:
    return nn.TransformerEncoderLayer(24, 4, 32, dropout=0.0, batch_first=True, norm_first=True)


FUSED = {
    "rows": lambda: Mixed("qkv", nn.Linear(24, 72)),
    "columns": lambda: Mixed("c_attn", Conv1D(72, 24)),
    "by head": lambda: Mixed("query_key_value", nn.Linear(24, 72)),
    "weight norm": lambda: Mixed("qkv", weight_norm(nn.Linear(24, 72))),
    "torch": torch_attention,
    "bfloat16": lambda: Mixed("qkv", nn.Linear(24, 72, dtype=torch.bfloat16)),
}


@pytest.mark.parametrize("name", FUSED)
def test_factors_of_projections_in_one_weight_are_done_again_to_the_bit(name, generator):
    with seeded(0):
        model = FUSED[name]()
    fresh, dtype = copy.deepcopy(model), next(model.parameters()).dtype
    x = (torch.randn(32, 6, 24, generator=generator) * torch.logspace(0, 1, 24)).to(dtype)
    patient = Patient(model=model, inputs=x, profile=leadline.profile(model, x), seed=0, chosen=lambda *_: True)
    # Without the draw, since orthogonal maps of one size all get one factor.
    steps = scaled(patient)
    factors = {step.data["part"]: step.data["factor"] for step in steps if "part" in step.data}
    assert len({round(factor, 3) for factor in factors.values()}) == 3
    for step in steps:
        ACTIONS[step.action](fresh, step.data)
    assert same(fresh, state(model))


def test_the_repair_of_a_transformer_of_torch_is_done_again_to_the_bit(generator):
    with seeded(0):
        model = nn.Sequential(torch_attention(), torch_attention(), nn.Linear(24, 4))
    fresh = copy.deepcopy(model)
    x, y = torch.randn(16, 6, 24, generator=generator), torch.arange(96).reshape(16, 6) % 4
    repair = leadline.repair(model, x, y, recipe="unit-variance")
    assert repair.recipe == "unit-variance" and same(repair.apply(fresh), state(model))


def test_a_projection_that_the_model_lacks_is_one_sentence():
    step = {"parameter": "0.weight", "factor": 2.0, "part": 1}
    with seeded(0):
        model = nn.Sequential(nn.Linear(3, 3))
    with pytest.raises(UsageError, match="projection 1 in '0.weight', which this model .* does not have"):
        ACTIONS["scale"](model, step)


def test_steps_from_the_batch_ask_for_the_weights():
    model, x, y = sick()
    fresh = copy.deepcopy(model)
    repair = leadline.repair(model, x, y, recipe="straighten")
    with pytest.raises(UsageError, match="give the repaired model's state dict"):
        repair.apply(fresh)


def test_weights_of_another_model_are_refused():
    model, x, y = sick()
    repair = leadline.repair(model, x, y)
    with pytest.raises(UsageError, match="not those of this repaired MLP"):
        repair.apply(sick()[0], {"weight": torch.zeros(1)})


def test_frozen_parameters_stay():
    model, x, y = sick()
    frozen = model.get_parameter("blocks.3.linear.weight").requires_grad_(False)
    kept = frozen.clone()
    leadline.repair(model, x, y)
    assert torch.equal(frozen, kept)


@pytest.mark.parametrize("recipe", ["unit-variance", "straighten"])
def test_only_the_layers_that_are_named_change(recipe):
    model, x, y = sick()
    kept = state(model)
    leadline.repair(model, x, y, recipe=recipe, layers=["blocks.1?"])
    changed = {name.split(".")[1] for name, value in model.state_dict().items() if not torch.equal(value, kept[name])}
    assert changed <= {f"1{i}" for i in range(10)}


def test_nothing_else_is_left_behind():
    model, x, y = sick()
    model.eval()
    model.blocks[0].train()  # type: ignore[index, operator]
    modes = [module.training for module in model.modules()]
    grads = {name: torch.ones_like(p) for name, p in model.named_parameters()}
    for name, p in model.named_parameters():
        p.grad = grads[name]
    leadline.repair(model, x, y)
    assert modes == [module.training for module in model.modules()]
    assert all(p.grad is grads[name] and (p.grad == 1).all() for name, p in model.named_parameters())
    assert not any(m._forward_hooks or m._forward_pre_hooks or m._backward_hooks for m in model.modules())


class Stubborn(nn.Module):
    """Interrupts at a given call."""

    def __init__(self, at: int, error: type[BaseException]):
        super().__init__()
        self.calls, self.at, self.error = 0, at, error

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        if self.calls == self.at:
            raise self.error("stop")
        return x


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
@pytest.mark.parametrize("at", [3, 4, 5, 6])
def test_an_interrupted_repair_leaves_the_model_as_it_was(error, at):
    with seeded(0):
        body = [part for _ in range(12) for part in (nn.Linear(64, 64), nn.BatchNorm1d(64), nn.Sigmoid())]
        model = nn.Sequential(*body, Stubborn(at, error), nn.Linear(64, 10))
        for module in model.modules():
            if isinstance(module, nn.BatchNorm1d):
                nn.init.constant_(module.bias, 4.0)
    x, y = vectors()
    kept = state(model)
    with pytest.raises(error):
        leadline.repair(model, x, y, recipe="straighten", force=True)
    assert same(model, kept)


def test_a_recipe_that_makes_nothing_better_is_taken_back_to_the_bit():
    model, x, y = sick()
    leadline.repair(model, x, y, recipe="straighten")
    kept, modules = state(model), list(model.modules())
    # Unit variance alone leaves sigmoids far from straight.
    repair = leadline.repair(model, x, y, recipe="unit-variance", force=True)
    assert (repair.outcome, repair.steps, repair.function_change) == ("unchanged", (), 0.0)
    assert repair.attempts[1].trainable < repair.attempts[0].trainable
    assert same(model, kept) and all(a is b for a, b in zip(modules, model.modules(), strict=True))


def train(model: nn.Module, x: torch.Tensor, y: torch.Tensor, *, steps: int = 100) -> None:
    optimiser = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(steps):
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimiser.step()


def test_a_trained_model_is_changed_only_by_force():
    model, x, y = plain_mlp(6)
    train(model, x, y)
    kept = state(model)
    with pytest.raises(UsageError, match="look trained, .* Pass force=True"):
        leadline.repair(model, x, y, recipe="unit-variance")
    assert same(model, kept)
    assert leadline.repair(model, x, y, recipe="unit-variance", dry_run=True).notes[0].startswith("The weights look")
    assert same(model, kept)
    assert leadline.repair(model, x, y, recipe="unit-variance", force=True).recipe == "unit-variance"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"recipe": "orthogonall"}, "did you mean 'orthogonal'"),
        ({"layers": "block.*"}, "No module of the model is named like 'block.\\*'"),
    ],
)
def test_a_wrong_call_is_one_sentence(options, words):
    model, x, y = sick(4)
    with pytest.raises(UsageError, match=words):
        leadline.repair(model, x, y, **options)


def test_a_factory_is_refused():
    with pytest.raises((UsageError, TypeError), match=r"in place|beartype|Type"):
        leadline.repair(lambda: sick()[0], *vectors())  # type: ignore[arg-type]
