"""The whole diagnosis of networks whose fate is known."""

import math
from time import process_time

import pytest
from tests.doctor.faults import diagnosed
from tests.doctor.models import conv_resnet, plain_mlp, stacked
from tests.doctor.synthetic import EMPTY, chain, geometric
from torch import nn

import leadline
from leadline._core.diagnosis import Diagnosis


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
    assert diagnosis.depth_limit.estimate == pytest.approx(8, abs=3)


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
