"""The whole diagnosis of networks whose fate is known."""

import json
import math
import re
from time import process_time

import pytest
import torch
from tests.doctor.faults import diagnosed
from tests.doctor.models import conv_resnet, plain_mlp, stacked, vectors
from tests.doctor.synthetic import EMPTY, chain, geometric
from torch import nn

import leadline
from leadline._core.diagnosis import Diagnosis
from leadline._core.profile import Profile
from leadline._core.randomness import seeded


def codes(diagnosis: Diagnosis, severity: str) -> list[str]:
    return [finding.code for finding in diagnosis.findings if finding.severity == severity]


def test_a_profile_without_layers_gives_no_findings():
    diagnosis = leadline.diagnose(EMPTY)
    assert diagnosis.findings == ()
    assert diagnosis.healthy
    assert math.isnan(diagnosis.depth_limit.estimate)


def test_a_hundred_default_layers_have_one_error_and_its_forward_side_as_a_warning():
    diagnosis = diagnosed(plain_mlp(100, init="default"))
    assert codes(diagnosis, "error") == ["gradient-vanishing"]
    assert codes(diagnosis, "warning") == ["rank-collapse"]
    assert diagnosis.findings[0].layer == "blocks.99"
    assert diagnosis.findings[1].message.endswith("The same cause as gradient-vanishing.")
    assert diagnosis.depth_limit.estimate == pytest.approx(12, abs=3)


def test_a_stack_without_blocks_is_sounded_along_its_linear_maps():
    diagnosis = diagnosed(stacked(60, nn.ReLU))
    assert codes(diagnosis, "error") == ["gradient-vanishing"]
    assert diagnosis.findings[0].layer == "120"


def test_a_deep_batch_normalised_network_explodes_and_its_shallow_form_does_not():
    deep = diagnosed(plain_mlp(100, norm="batch", init="default"))
    assert codes(deep, "error") == ["gradient-explosion"]
    assert deep.depth_limit.estimate == pytest.approx(35, rel=0.25)
    assert codes(diagnosed(plain_mlp(15, norm="batch", init="default")), "error") == []


@pytest.mark.slow
def test_a_resnet_of_110_layers_needs_its_norms():
    bare = diagnosed(conv_resnet(110, norm="none"))
    assert codes(bare, "error") == ["gradient-explosion"]
    assert "activation-growth" in codes(bare, "warning")
    assert codes(diagnosed(conv_resnet(110)), "error") == []


def test_a_diagnosis_survives_a_file(tmp_path):
    diagnosis = diagnosed(plain_mlp(20, init="default", activation="sigmoid"))
    assert str(Diagnosis.load(diagnosis.save(tmp_path / "diagnosis.json"))) == str(diagnosis)


def test_a_finding_brings_its_source_and_its_remedies():
    finding = diagnosed(plain_mlp(20, init="default", activation="sigmoid")).findings[0]
    assert str(finding.source) == "Glorot and Bengio 2010 (AISTATS), section 4"
    assert "gain²/fan_in" in finding.remedies[0].text


def test_rates_are_those_of_the_profile():
    diagnosis = diagnosed(plain_mlp(10))
    assert diagnosis.rates["grad_norm"] == diagnosis.profile.rate("grad_norm")
    assert {"rms", "grad_norm", "weight_grad_norm", "distinction"} <= set(diagnosis.rates)


def _seconds(depth: int) -> float:
    """To diagnose a plain chain with a fault in every second layer, at best of two."""
    metrics = {
        "rms": geometric(depth, -0.01),
        "grad_norm": geometric(depth, 0.01),
        "dead_fraction": [0.9 * (i % 2) for i in range(depth)],
    }
    names = [f"fc{i}.weight" for i in range(depth)]
    weights = {
        "weights": dict.fromkeys(names, 0.1),
        "weight_norms": dict.fromkeys(names, 4.0),
        "weight_shapes": dict.fromkeys(names, (16, 16)),
        "weight_ranks": dict.fromkeys(names, 8.0),
    }
    times = []
    for _ in range(2):
        profile = chain(metrics, **weights)
        start = process_time()
        leadline.diagnose(profile)
        times.append(process_time() - start)
    return min(times)


def test_the_cost_of_a_diagnosis_grows_no_faster_than_the_depth():
    # Quadratic cost would take 64 times as long, and 16 times where half of it is linear.
    assert _seconds(640) < 16 * _seconds(80)


@pytest.mark.parametrize("depth", [1, 2])
def test_a_network_of_one_or_two_layers_has_a_score_and_no_limit(depth):
    with seeded(0):
        model = nn.Sequential(*(nn.Linear(64, 64) for _ in range(depth - 1)), nn.Linear(64, 10))
    diagnosis = diagnosed((model, *vectors()))
    assert diagnosis.findings == () and diagnosis.trainable > 0.9
    assert math.isnan(diagnosis.depth_limit.estimate)


def test_of_a_network_that_is_frozen_as_a_whole_no_chance_is_told():
    model, inputs, targets = plain_mlp(4)
    diagnosis = diagnosed((model.requires_grad_(False), inputs, targets))
    assert diagnosis.healthy and math.isnan(diagnosis.trainable)


def test_a_profile_saved_with_fewer_fields_is_still_explained(tmp_path):
    model, inputs, targets = plain_mlp(20, init="default", activation="sigmoid")
    path = leadline.profile(model, inputs, targets).save(tmp_path / "profile.json")
    data = json.loads(path.read_text(encoding="utf-8"))
    for field in ("weight_ranks", "weight_shapes", "weight_norms", "weights", "repeated", "first_nonfinite", "outputs"):
        del data[field]
    for layer in data["layers"]:
        for field in ("trained", "branches", "dead_layer", "dead_share", "parts"):
            del layer[field]
    path.write_text(json.dumps(data), encoding="utf-8")
    diagnosis = leadline.diagnose(Profile.load(path))
    assert codes(diagnosis, "error") == ["gradient-vanishing"]


def test_no_sentence_has_a_hyphen_for_a_minus_or_a_number_that_stumbles():
    cases = [plain_mlp(20, init="default", activation="sigmoid"), plain_mlp(30, gain=3.0), plain_mlp(12, gain=1e4)]
    for case in cases:
        for finding in diagnosed(case).findings:
            text = f"{finding.message} {finding.expected}"
            assert not re.search(r"(?<![\w.])-\d|e[-+]\d|\binf\b|share of [01] ", text), text


def test_decades_are_counted_by_what_the_layers_are():
    by_block = diagnosed(plain_mlp(30, init="default")).findings[0].message
    by_layer = diagnosed(stacked(30, nn.ReLU)).findings[0].message
    assert "decades a block" in by_block and "a layer" not in by_block and "over 29 blocks" in by_block
    assert "decades a layer" in by_layer and "a block" not in by_layer and "over 30 layers" in by_layer


def test_weights_of_one_sign_behind_a_norm_are_named():
    model, inputs, targets = plain_mlp(12, norm="layer")
    with torch.no_grad():
        for block in model.blocks:
            block.linear.weight.abs_()
    finding = next(f for f in diagnosed((model, inputs, targets)).findings if f.severity == "warning")
    assert finding.code == "rank-collapse" and "share one sign" in finding.message
    assert "mean zero" in finding.remedies[0].text


@pytest.mark.parametrize(("width", "count"), [(11, 0), (12, 1)])
def test_weights_too_small_to_tell_have_no_sign_in_common(width, count):
    names = [f"fc{i}.weight" for i in range(4)]
    fields = {"weight_norms": dict.fromkeys(names, 2.0), "weight_shapes": dict.fromkeys(names, (width, width))}
    profile = chain({"rms": [1.0] * 4}, **fields, weight_ranks=dict.fromkeys(names, 2.7))
    assert len(codes(leadline.diagnose(profile), "warning")) == count


def test_the_rates_of_a_state_space_are_no_weights_of_rank_one():
    names = [f"layers.{i}.mixer.A_log" for i in range(4)]
    fields = {"weight_norms": dict.fromkeys(names, 20.0), "weight_shapes": dict.fromkeys(names, (64, 16))}
    profile = chain({"rms": [1.0] * 4}, **fields, weight_ranks=dict.fromkeys(names, 1.0))
    assert codes(leadline.diagnose(profile), "warning") == []
    mixed = chain({"rms": [1.0] * 4}, **fields, weight_ranks={**dict.fromkeys(names, 9.0), names[2]: 1.0})
    assert codes(leadline.diagnose(mixed), "warning") == ["rank-collapse"]
