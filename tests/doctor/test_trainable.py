"""The score: a probability with its reasons, that falls with every mechanism and agrees with training."""

import math
from dataclasses import replace

import pytest
import torch
from tests.doctor import faults
from tests.doctor.models import Case, conv_resnet, plain_mlp, stacked, tiny_gpt, tiny_vit, vectors
from tests.doctor.synthetic import EMPTY, chain, found
from torch import nn
from torch.nn import functional as F

import leadline
from leadline._core.errors import UsageError
from leadline._core.profile import Profile
from leadline._core.randomness import seeded
from leadline._core.wording import figure
from leadline.data import digits
from leadline.doctor.trainable import trainable
from leadline.doctor.trainable_mechanisms import measure
from leadline.doctor.trainers import ADAM, TRAINERS


def score(case: Case) -> float:
    model, inputs, targets = case
    return trainable(leadline.profile(model, inputs, targets)).probability


def test_the_evidence_adds_up_to_the_log_odds():
    model, inputs, targets = plain_mlp(6)
    verdict = trainable(leadline.profile(model, inputs, targets))
    odds = math.log(verdict.probability / (1 - verdict.probability))
    assert sum(verdict.evidence.values()) == pytest.approx(odds, rel=1e-9)
    assert {"usual", *(m.name for m in ADAM.mechanisms)} == set(verdict.evidence)


def test_the_rule_names_trainer_rates_steps_task_and_line():
    rule = trainable(EMPTY).rule
    for part in ("Adam", "1e-2, 1e-3 and 1e-4", "150 steps of batch 64", "digits", "below 1.0"):
        assert part in rule


def test_of_sequences_the_rule_says_that_the_score_only_compares():
    model, inputs, targets = tiny_gpt(2)
    assert "only as a comparison" in trainable(leadline.profile(model, inputs, targets)).rule
    assert "only as a comparison" not in trainable(EMPTY).rule


@pytest.mark.parametrize(
    "mechanism", [m for trainer in TRAINERS.values() for m in trainer.mechanisms], ids=lambda m: m.name
)
def test_a_figure_that_gets_worse_never_raises_the_score_and_lowers_it_far_out(mechanism):
    middle = mechanism.knots[1]
    values = [middle + mechanism.harm * step for step in (-30, -3, -0.3, 0, 0.3, 3, 30)]
    got = [mechanism.contribution(value) for value in values]
    assert got == sorted(got, reverse=True)
    assert mechanism.contribution(middle) == 0
    assert got[-1] < 0


@pytest.mark.parametrize(
    "case",
    [
        lambda: plain_mlp(10),
        lambda: plain_mlp(15, norm="batch"),
        lambda: conv_resnet(20),
        lambda: conv_resnet(56),
        tiny_gpt,
        tiny_vit,
    ],
    ids=["he mlp", "bn mlp", "resnet20", "resnet56", "gpt", "vit"],
)
def test_healthy_networks_score_high(case):
    assert score(case()) > 0.9


def test_gradients_below_what_adam_adds_to_them_are_not_followed():
    x, y = vectors()
    with seeded(0):
        model = nn.Sequential(nn.Linear(64, 32), nn.Linear(32, 32), nn.Linear(32, 10))
    usual = leadline.profile(model, x, y)
    faint = replace(usual, weights={name: 1e-9 * norm for name, norm in usual.weights.items()})
    assert trainable(usual).probability > 0.9
    assert trainable(faint).probability == pytest.approx(1 / 89)
    assert "gradients below 1e−8" in trainable(faint).evidence
    assert trainable(replace(faint, loss_kind="cotangent")).probability > 0.9
    assert trainable(faint, trainer="sgd").evidence.keys() == trainable(usual, trainer="sgd").evidence.keys()


def test_healthy_networks_score_high_without_targets_too():
    model, inputs, _ = plain_mlp(10)
    assert score((model, inputs, None)) > 0.9


def test_a_head_that_starts_at_zero_is_no_harm():
    model, inputs, targets = stacked(4, nn.ReLU)
    nn.init.zeros_(model[-1].weight)
    assert score((model, inputs, targets)) > 0.8


@pytest.mark.parametrize(
    "case",
    [
        lambda: stacked(60, nn.ReLU),
        lambda: stacked(20, nn.Sigmoid),
        lambda: plain_mlp(40, init="default"),
        lambda: conv_resnet(110, norm="none"),
    ],
    ids=["torch's default, 60 deep", "sigmoid stack", "default mlp", "resnet110 without norm"],
)
def test_networks_known_to_fail_score_low(case):
    assert score(case()) < 0.5


def test_one_layer_scaled_a_thousandfold_costs_the_score():
    case = stacked(10, nn.ReLU)
    with torch.no_grad():
        for layer in case[0]:
            if isinstance(layer, nn.Linear):
                nn.init.kaiming_normal_(layer.weight, generator=torch.Generator().manual_seed(3))
    before = score(case)
    faults.scale(case[0], "8", 1000.0)
    assert before > 0.9 and score(case) < 0.4


def test_repeated_samples_cost_the_score():
    model, inputs, targets = plain_mlp(10)
    assert score((model, inputs[:1].repeat(len(inputs), 1), targets)) < 0.1


def test_a_zero_layer_without_a_way_around_it_scores_low():
    case = stacked(6, nn.ReLU)
    faults.scale(case[0], "4", 0.0)
    nn.init.zeros_(case[0][4].bias)
    assert score(case) < 0.3


def test_a_network_whose_weights_get_no_gradient_scores_zero():
    model, inputs, targets = stacked(6, nn.ReLU)
    faults.kill(model, "10")
    nn.init.zeros_(model[-1].weight)
    verdict = trainable(leadline.profile(model, inputs, targets))
    assert verdict.probability == 0.0 and verdict.evidence == {"no gradient": -math.inf}


def test_a_nan_weight_scores_zero():
    case = stacked(6, nn.ReLU)
    faults.poison(case[0], "4")
    verdict = trainable(leadline.profile(*case))
    assert verdict.probability == 0.0 and verdict.evidence == {"non-finite numbers": -math.inf}


def test_an_overflowing_network_scores_zero():
    case = stacked(12, nn.ReLU)
    for path in ("0", "2", "4", "6", "8", "10"):
        faults.scale(case[0], path, 1e9)
    assert score(case) == 0.0


def test_a_profile_that_says_nothing_of_gradients_scores_nan():
    assert math.isnan(trainable(EMPTY).probability)
    model, inputs, targets = plain_mlp(3)
    assert math.isnan(trainable(replace(leadline.profile(model, inputs, targets), weights={}, layers=())).probability)


def test_a_frozen_body_is_judged_by_what_is_trained():
    model, inputs, targets = stacked(6, nn.ReLU)
    model.requires_grad_(False)
    model[-1].requires_grad_(True)
    assert 0.5 < score((model, inputs, targets)) < 1


def test_what_a_profile_lacks_counts_as_usual():
    got = ADAM.log_odds(measure(chain({"weight_grad_norm": [1.0, 1.0, 1.0]})))
    assert got["alignment of gradients"] == got["directions of the signal"] == 0
    assert math.isfinite(sum(got.values()))


@pytest.mark.parametrize("batch", [2, 8, 32])
def test_a_small_batch_is_not_taken_for_a_collapse(batch):
    assert score(plain_mlp(10, batch=batch)) > 0.9


def test_a_saved_profile_has_the_same_score(tmp_path):
    model, inputs, targets = stacked(20, nn.Sigmoid)
    profile = leadline.profile(model, inputs, targets)
    assert trainable(Profile.load(profile.save(tmp_path / "p.json"))) == trainable(profile)


def _learns(model: nn.Module, rate: float) -> bool:
    """Whether Adam at ``rate`` passes the rule: mean loss of the last 20 of 150 steps of batch 64 below 1."""
    x, y = digits().inputs.flatten(1), digits().targets
    order = torch.Generator().manual_seed(7)
    optimiser, losses = torch.optim.Adam(model.parameters(), rate), []
    for _ in range(150):
        i = torch.randint(len(x), (64,), generator=order)
        loss = F.cross_entropy(model(x[i]), y[i])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return sum(losses[-20:]) / 20 < 1.0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("depth", "activation"),
    [(3, nn.ReLU), (8, nn.Tanh), (30, nn.Tanh), (30, nn.ReLU), (8, nn.Sigmoid), (40, nn.SELU), (60, nn.GELU)],
    ids=lambda value: value.__name__ if isinstance(value, type) else str(value),
)
def test_the_score_agrees_with_training(depth, activation):
    model, _, _ = stacked(depth, activation)
    x, y = digits().inputs.flatten(1)[:64], digits().targets[:64]
    said = score((model, x, y))
    start = {name: value.clone() for name, value in model.state_dict().items()}
    seen = False
    for rate in (1e-2, 1e-3, 1e-4):
        model.load_state_dict(start)
        seen = seen or _learns(model, rate)
    assert (said > 0.5) == seen


def test_an_error_that_nothing_overcame_bounds_the_score_and_is_part_of_the_evidence():
    model, _, _ = plain_mlp(2, norm="batch", init="default")
    diagnosis = faults.diagnosed((model, *vectors(2)))
    assert "small-batch-norm" in [f.code for f in diagnosis.findings if f.severity == "error"]
    assert diagnosis.trainable == pytest.approx(1 / 7)
    assert diagnosis.trainable_evidence["small-batch-norm found"] < 0
    odds = math.log(diagnosis.trainable / (1 - diagnosis.trainable))
    assert sum(diagnosis.trainable_evidence.values()) == pytest.approx(odds)


def test_a_network_that_seldom_trains_says_why_where_no_rule_is_broken():
    with seeded(3):
        layers = [part for _ in range(30) for part in (nn.Linear(8, 8), nn.BatchNorm1d(8), nn.Tanh())]
        model = nn.Sequential(*layers, nn.Linear(8, 10))
    diagnosis = faults.diagnosed((model, *vectors(features=8)))
    assert diagnosis.trainable < 0.35
    assert any(f.code == "hard-to-train" or f.severity != "note" for f in diagnosis.findings)


def test_the_reason_of_a_low_score_is_what_lowers_it_most():
    metrics = {"weight_grad_norm": [1.0, 1e-3] * 10, "grad_participation_ratio": [1.01] * 20, "grad_norm": [1.0] * 20}
    profile = chain(metrics)
    (finding,) = found(profile, "hard-to-train")
    evidence = trainable(profile).evidence
    worst = min(evidence, key=lambda name: evidence[name])
    assert worst in finding.evidence and f"{figure(evidence[worst])} nats" in finding.message


def test_plain_descent_feels_the_scale_of_gradients_and_adam_does_not():
    grads = {"weight_grad_norm": [1.0, 1.0, 1.0], "grad_norm": [1.0, 1.0, 1.0]}

    def scores(scale: float) -> list[float]:
        scaled = chain({name: [scale * value for value in values] for name, values in grads.items()})
        return [trainable(scaled, trainer=trainer).probability for trainer in ("adam", "sgd")]

    (adam, sgd), (adam_up, sgd_up), (adam_down, sgd_down) = scores(0.1), scores(1e3), scores(1e-10)
    assert adam == pytest.approx(adam_up) == pytest.approx(adam_down)
    assert sgd_up < sgd and sgd_down < sgd


def test_there_is_a_rule_for_each_trainer_and_no_other():
    assert "SGD" in trainable(EMPTY, trainer="sgd").rule
    with pytest.raises(UsageError, match="adam"):
        trainable(EMPTY, trainer="lion")


def test_of_several_draws_of_the_weights_the_contributions_are_means():
    x, y = vectors()
    seeds = iter(range(5))
    builds = [lambda s=s: plain_mlp(12, init="default", seed=s)[0] for s in range(3)]
    drawn = leadline.profile(lambda: builds[next(seeds)](), x, y, draws=3)
    alone = [trainable(leadline.profile(build(), x, y)).evidence for build in builds]
    for name, value in trainable(drawn).evidence.items():
        assert value == pytest.approx(sum(each[name] for each in alone) / 3)
