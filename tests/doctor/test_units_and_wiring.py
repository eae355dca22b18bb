from dataclasses import replace

import pytest
from tests.doctor.synthetic import chain, found

from leadline._core.profile import LayerProfile, Profile
from leadline._core.wording import portion


@pytest.mark.parametrize(
    ("share", "severity"),
    [(0.74, None), (0.75, None), (0.76, "warning"), (0.94, "warning"), (0.95, "error"), (1.0, "error")],
)
def test_dead_units_are_judged_by_their_share(share, severity):
    findings = found(chain({"dead_fraction": [0.1, share, 0.2]}), "dead-units")
    assert [(finding.layer, finding.severity) for finding in findings] == ([("fc1", severity)] if severity else [])
    assert all(f"{portion(share)} of the units" in finding.message for finding in findings)


def test_a_dead_layer_that_a_skip_leads_around_is_a_warning():
    layer = LayerProfile(
        name="block", kind="B", depth=0, residual=True, dead_layer="block.fc", metrics={"dead_fraction": 1.0}
    )
    (finding,) = found(Profile(layers=(layer,)), "dead-units")
    assert finding.severity == "warning"
    assert "all of the units of block.fc" in finding.message


@pytest.mark.parametrize(
    ("share", "severity"), [(0.49, None), (0.5, None), (0.51, "warning"), (0.89, "warning"), (0.9, "error")]
)
def test_saturation_is_judged_by_its_share(share, severity):
    findings = found(chain({"saturated_fraction": [0.0, share, 0.0]}), "saturation")
    assert [(finding.layer, finding.severity) for finding in findings] == ([("fc1", severity)] if severity else [])


def test_a_saturated_stack_is_one_finding_that_counts_the_layers():
    (finding,) = found(chain({"saturated_fraction": [0.2, 0.8, 0.9, 0.95]}), "saturation")
    assert finding.layer == "fc1"
    assert "80 % of the activations are saturated, and more than 50 % in 2 more layers" in finding.message


def test_an_unused_module_is_named_without_the_modules_inside_it():
    profile = chain({"rms": [1.0, 1.0]}, unused=("pooler", "pooler.dense", "fc1"))
    findings = found(profile, "unused-layer")
    assert [finding.layer for finding in findings] == ["pooler", "fc1"]
    assert [finding.severity for finding in findings] == ["warning", "warning"]
    assert "did not reach the loss" in findings[1].message


@pytest.mark.parametrize(("batch", "count"), [(1, 0), (3, 0), (4, 1)])
def test_dead_units_are_not_told_by_a_few_values(batch, count):
    layer = LayerProfile(name="fc", kind="Linear", depth=0, shape=(batch, 16), metrics={"dead_fraction": 0.9})
    assert len(found(Profile(layers=(layer,)), "dead-units")) == count


def test_positions_of_one_map_are_many_values():
    layer = LayerProfile(name="conv", kind="Conv2d", depth=0, shape=(1, 16, 8, 8), metrics={"dead_fraction": 0.9})
    assert len(found(Profile(layers=(layer,)), "dead-units")) == 1


def test_of_unused_layers_that_ran_in_a_row_the_last_is_named():
    profile = chain({"rms": [1.0] * 6}, unused=("fc0", "fc1", "fc2", "fc5"))
    used = [replace(layer, parameters=0 if layer.name in ("fc0", "fc2") else 4) for layer in profile.layers]
    first, second = found(replace(profile, layers=tuple(used)), "unused-layer")
    assert (first.layer, second.layer) == ("fc2", "fc5")
    assert "nor did that of fc0 and fc1 in front of it" in first.message
    assert first.evidence["modules"] == ["fc0", "fc1", "fc2"]


def test_of_several_activations_in_a_layer_the_most_saturated_counts():
    layer = LayerProfile(
        name="block", kind="B", depth=0, saturated_layer="block.a", saturated_share=0.95,
        metrics={"saturated_fraction": 0.48},
    )  # fmt: skip
    (finding,) = found(Profile(layers=(layer,)), "saturation")
    assert finding.severity == "warning"
    assert "95 % of the activations of block.a are saturated" in finding.message
