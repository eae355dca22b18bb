"""A proof trains both models, states its rule, and leaves the repaired one as it was."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

import leadline
from leadline._core.errors import UsageError
from leadline._core.randomness import seeded
from leadline.targets import load
from leadline.train import proof as proof_module, prove, task


def deep(depth: int = 24) -> tuple[nn.Sequential, torch.Tensor, torch.Tensor]:
    with seeded(0):
        layers = [m for _ in range(depth) for m in (nn.Linear(16, 16), nn.Sigmoid())]
        model = nn.Sequential(*layers, nn.Linear(16, 3))
        x = torch.randn(64, 16)
    return model, x, x[:, :3].argmax(1)


def state(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def alike(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture
def short(monkeypatch):
    monkeypatch.setattr(proof_module, "STEPS", 3)


def test_a_repaired_network_learns_and_the_one_before_does_not():
    model, x, y = deep()
    repair = leadline.repair(model, x, y)
    proof = prove(repair, model, task(x, y)).proof
    assert (proof.learnt_before, proof.learnt_after) == (False, True)
    assert [(c.model, c.learning_rate) for c in proof.curves] == [
        (side, rate) for side in ("before", "after") for rate in (1e-2, 1e-3, 1e-4)
    ]
    assert all(len(curve.losses) == 150 for curve in proof.curves)
    assert proof.rule.startswith("Adam at 0.01, 0.001 and 0.0001, 150 steps on one batch of 64 samples (seed 0);")


def test_a_network_that_learnt_before_is_said_to(short, monkeypatch):
    model, x, y = deep(depth=1)
    repair = leadline.repair(model, x, y, recipe="orthogonal")
    easy = replace(task(x, y), chance=100.0)
    proof = prove(repair, model, easy).proof
    assert proof.learnt_before and proof.learnt_after


@pytest.mark.parametrize("recipe", ["unit-variance", "normalise"])
def test_the_model_is_left_repaired_to_the_bit_and_can_still_be_undone(recipe, short):
    model, x, y = deep()
    old = state(model)
    repair = leadline.repair(model, x, y, recipe=recipe)
    new, kinds = state(model), [type(module) for module in model.modules()]
    proven = prove(repair, model, task(x, y))
    assert alike(state(model), new) and kinds == [type(module) for module in model.modules()]
    assert proven.steps == repair.steps and repair.proof is None
    proven.undo()
    assert alike(state(model), old)


def test_an_interruption_leaves_the_model_repaired(short):
    model, x, y = deep()
    repair = leadline.repair(model, x, y)
    new = state(model)

    def interrupt(done: int, total: int):
        assert total == 18
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prove(repair, model, task(x, y), on_step=interrupt)
    assert alike(state(model), new)


def test_the_same_repair_gives_the_same_curves_and_they_survive_a_file(short, tmp_path):
    model, x, y = deep()
    repair = leadline.repair(model, x, y)
    first, again = (prove(repair, model, task(x, y)) for _ in range(2))
    assert first.proof == again.proof
    assert leadline.Repair.load(first.save(tmp_path / "repair.json")).proof == first.proof


def test_the_task_of_digits_draws_64_of_all_and_asks_for_a_loss_below_1():
    target = load("mlp:depth=2")
    found = task(*target.pool, drawn=True)
    (x, y), (_, _) = (batch for _, batch in zip(range(2), found.batches(seed=0), strict=False))
    assert (x.shape, y.shape) == ((64, 1, 8, 8), (64,))
    assert found.limit([]) == 1.0
    assert found.about == "batches of 64 of 1797 samples"


def test_chance_is_the_entropy_of_labels_and_the_variance_of_values():
    x = torch.zeros(8, 2)
    assert task(x, torch.tensor([0, 1, 1, 1, 0, 1, 1, 1])).chance == pytest.approx(
        -(0.25 * math.log(0.25) + 0.75 * math.log(0.75))
    )
    assert task(x, torch.tensor([0, 1, -100, -100, 0, 1, 0, 1])).chance == pytest.approx(math.log(2))
    values = torch.arange(16.0).reshape(8, 2)
    assert task(x, values).chance == pytest.approx(values.numpy().var(0).mean())
    assert task(x, {"anything": 1}, own_loss=True).chance is None


def test_without_chance_the_lowest_finite_first_loss_counts():
    own = task(torch.zeros(4, 2), None)
    assert own.limit([math.nan, 5.0, 2.3026]) == 1.0
    assert "lowest first loss" in own.rule([5.0])
    assert math.isnan(own.limit([math.nan])) and "none was finite" in own.rule([math.inf])


def test_targets_that_are_all_alike_prove_nothing():
    with pytest.raises(UsageError, match="All targets are alike"):
        task(torch.zeros(4, 2), torch.ones(4, dtype=torch.int64))
