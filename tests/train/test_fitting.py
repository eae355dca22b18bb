"""The harness: what it records, what it leaves alone, and what it refuses."""

import math

import pytest
import torch
from torch import nn

from leadline._core.errors import UsageError
from leadline._core.randomness import seeded
from leadline.train import fit, shuffled


def network(*, dropout: float = 0.0) -> nn.Sequential:
    with seeded(0):
        return nn.Sequential(
            nn.Linear(4, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(dropout), nn.Linear(16, 3)
        ).eval()


def linear(*, inputs: int = 4, outputs: int = 3, kind: type[nn.Linear] = nn.Linear) -> nn.Linear:
    with seeded(0):
        return kind(inputs, outputs)


def batches(count: int = 3, size: int = 32) -> list[tuple[torch.Tensor, torch.Tensor]]:
    generator = torch.Generator().manual_seed(1)
    inputs = [torch.randn(size, 4, generator=generator) for _ in range(count)]
    return [(x, x[:, :3].argmax(1)) for x in inputs]


def test_the_losses_are_those_of_the_optimiser_written_out():
    model, other = network(), network().train()
    run = fit(model, batches(), steps=7, optimiser="sgd", learning_rate=0.1)
    expected = []
    for step in range(7):
        x, y = batches()[step % 3]
        loss = nn.functional.cross_entropy(other(x), y)
        expected.append(loss.item())
        gradients = torch.autograd.grad(loss, list(other.parameters()))
        with torch.no_grad():
            for parameter, gradient in zip(other.parameters(), gradients, strict=True):
                parameter.sub_(gradient, alpha=0.1)
    assert run.losses == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("optimiser", ["adam", "adamw", "sgd"])
def test_every_optimiser_learns_an_easy_task(optimiser):
    run = fit(network(), batches(), steps=200, optimiser=optimiser, learning_rate=0.03)
    assert len(run.losses) == 200 and not run.diverged
    assert run.final < 0.5 < run.losses[0]


def test_the_same_seed_gives_the_same_losses_with_dropout_too():
    first, again, other = (fit(network(dropout=0.5), batches(), steps=10, seed=seed).losses for seed in (0, 0, 1))
    assert first == again != other


def test_a_run_that_diverges_ends_with_the_loss_that_is_not_finite():
    run = fit(
        linear(outputs=1), [(x, 1e30 * x[:, :1]) for x, _ in batches()], steps=50, optimiser="sgd", learning_rate=1e9
    )
    assert run.diverged and len(run.losses) < 50
    assert not math.isfinite(run.losses[-1]) and all(map(math.isfinite, run.losses[:-1]))
    assert run.final == math.inf


class Strict(nn.Linear):
    def forward(self, x):
        if not self.weight.isfinite().all():
            raise ValueError("weights must be finite")
        return super().forward(x)


def test_a_model_that_refuses_its_own_nan_has_diverged():
    model = linear(kind=Strict)
    with torch.no_grad():
        model.weight[0, 0] = torch.nan
    run = fit(model, batches(), steps=5)
    assert run.diverged and len(run.losses) == 1


def test_an_error_of_the_model_is_no_divergence():
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        fit(linear(inputs=5), batches(), steps=5)


def test_modes_gradients_and_global_generators_are_left_alone():
    model = network(dropout=0.5)
    before = torch.get_rng_state()
    fit(model, batches(), steps=3)
    assert not any(module.training for module in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert torch.equal(before, torch.get_rng_state())


def test_it_trains_where_the_caller_has_switched_gradients_off():
    model, given = network(), batches()
    with torch.inference_mode():
        run = fit(model, given, steps=30, learning_rate=0.03)
    assert run.losses[-1] < run.losses[0]


def test_an_interruption_passes_and_the_modes_are_put_back():
    model = network()

    def interrupt(done: int):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(model, batches(), steps=5, on_step=interrupt)
    assert not model.training


def test_every_step_is_told():
    told = []
    fit(network(), batches(), steps=4, on_step=told.append)
    assert told == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"steps": 0}, "steps must be a whole number from 1; got 0"),
        ({"warmup": -1}, "warmup must be a whole number from 0; got -1"),
        ({"learning_rate": -1.0}, "positive and finite; got -1.0"),
        ({"learning_rate": math.inf}, "positive and finite; got inf"),
        ({"optimiser": "adamm"}, "did you mean 'adam'"),
    ],
)
def test_a_wrong_argument_is_named(wrong, sentence):
    with pytest.raises(UsageError, match=sentence):
        fit(network(), batches(), **wrong)


def test_samples_without_targets_are_not_shuffled():
    generator = torch.Generator().manual_seed(0)
    with pytest.raises(UsageError, match="one target for each sample; got 16 samples, 3 targets"):
        next(shuffled(torch.ones(16, 2), torch.ones(3), size=4, generator=generator))


def test_nothing_to_train_is_said():
    with pytest.raises(UsageError, match="no parameter that requires a gradient"):
        fit(nn.ReLU(), batches())
    with pytest.raises(UsageError, match="no batch to train on"):
        fit(network(), [])
    with pytest.raises(UsageError, match="ended after 3 of 5 steps"):
        fit(network(), iter(batches()), steps=5)
    with pytest.raises(UsageError, match="no targets"):
        fit(network(), [(x, None) for x, _ in batches()])


def test_accumulated_batches_make_the_step_of_a_big_one():
    big, parts = linear(), linear()
    x, y = batches(1, 64)[0]
    fit(big, [(x, y)], steps=5, optimiser="sgd", learning_rate=0.5)
    fit(
        parts,
        list(zip(x.split(16), y.split(16), strict=True)),
        steps=5,
        optimiser="sgd",
        learning_rate=0.5,
        accumulate=4,
    )
    assert torch.allclose(big.weight, parts.weight, atol=1e-6)


def test_gradients_are_clipped_to_a_norm_and_noted_before():
    model, rows = linear(), []
    start = model.weight.detach().clone(), model.bias.detach().clone()
    fit(model, batches(1), steps=1, optimiser="sgd", learning_rate=1.0, clip_norm=1e-3, log=rows.append)
    moved = torch.cat([(model.weight - start[0]).flatten(), model.bias - start[1]]).norm()
    assert moved.item() == pytest.approx(1e-3, rel=1e-4) and rows[0]["grad_norm"] > 0.1


@pytest.mark.parametrize(
    ("schedule", "warmup", "shares"),
    [
        ("constant", 0, [1] * 8),
        ("linear", 0, [1 - k / 8 for k in range(8)]),
        ("cosine", 0, [(1 + math.cos(math.pi * k / 8)) / 2 for k in range(8)]),
        ("step", 0, [1, 1, 1, 1, 0.1, 0.1, 0.01, 0.01]),
        ("constant", 3, [0.25, 0.5, 0.75, 1, 1, 1, 1, 1]),
        ("linear", 4, [0.2, 0.4, 0.6, 0.8, 1, 0.75, 0.5, 0.25]),
    ],
)
def test_rates_follow_their_formula(schedule, warmup, shares):
    rows = []
    fit(linear(), batches(), steps=8, learning_rate=0.02, schedule=schedule, warmup=warmup, log=rows.append)
    assert [row["learning_rate"] for row in rows] == pytest.approx([0.02 * share for share in shares], abs=1e-12)


def test_momentum_and_decay_are_those_of_torch():
    ours, theirs = linear(), linear()
    fit(ours, batches(1), steps=4, optimiser="sgd", learning_rate=0.1, momentum=0.9, weight_decay=0.01)
    update = torch.optim.SGD(theirs.parameters(), lr=0.1, momentum=0.9, weight_decay=0.01)
    for _ in range(4):
        update.zero_grad()
        x, y = batches(1)[0]
        nn.functional.cross_entropy(theirs(x), y).backward()
        update.step()
    assert torch.equal(ours.weight, theirs.weight)


def test_bfloat16_runs_the_model_and_leaves_parameters_as_they_are():
    seen, model = [], linear()
    model.register_forward_hook(lambda module, given, output: seen.append(output.dtype))
    run = fit(model, batches(), steps=30, learning_rate=0.05, precision="bfloat16")
    assert set(seen) == {torch.bfloat16} and model.weight.dtype == torch.float32 and run.final < run.losses[0]


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"momentum": 0.9}, "momentum is that of optimiser='sgd'"),
        ({"momentum": 1.5, "optimiser": "sgd"}, "below 1; got 1.5"),
        ({"weight_decay": -1.0}, "weight decay must be at least 0"),
        ({"warmup": 150}, "shorter than the 150 steps"),
        ({"clip_norm": 0.0}, "clip_norm must be positive"),
        ({"accumulate": 0}, "accumulate must be a whole number from 1; got 0"),
        ({"precision": "float16"}, "precision must be one of"),
        ({"schedule": "cosin"}, "did you mean 'cosine'"),
        ({"checkpoint_every": 0}, "checkpoint_every must be a whole number from 1; got 0"),
    ],
)
def test_settings_out_of_range_are_told(given, sentence):
    with pytest.raises(UsageError, match=sentence):
        fit(linear(), batches(), **given)
