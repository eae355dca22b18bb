from tests.doctor.synthetic import chain

from leadline._core.diagnosis import Finding
from leadline.doctor.folding import fold

PROFILE = chain({"rms": [1.0] * 10})


def made(code, layer, severity="error", **evidence):
    return Finding(code=code, layer=layer, severity=severity, message=f"{layer}: {code}.", evidence=evidence)


def told(findings):
    return [(finding.code, finding.layer, finding.severity) for finding in fold(PROFILE, findings)]


def test_a_parameter_that_is_not_finite_hides_what_rests_on_numbers():
    findings = [
        made("nonfinite", "fc3", parameters=["fc3.weight"]),
        made("gradient-vanishing", "fc9"),
        made("unused-layer", "aux", "warning"),
    ]
    assert told(findings) == [("nonfinite", "fc3", "error"), ("unused-layer", "aux", "warning")]


def test_an_overflow_does_not_hide_the_growth_that_led_to_it():
    findings = [made("activation-growth", "fc1", rate=0.9), made("nonfinite", "fc8", share=0.5)]
    assert told(findings) == [("activation-growth", "fc1", "error"), ("nonfinite", "fc8", "error")]


def test_what_follows_from_a_dead_layer_becomes_a_note_that_names_it():
    findings = [
        made("constant-output", "fc4"),
        made("dead-units", "fc4", dead_fraction=1.0),
        made("gradient-vanishing", "fc5", step=9.0),
        made("rank-collapse", "fc6", rate=-1.0),
    ]
    assert told(findings) == [
        ("dead-units", "fc4", "error"),
        ("constant-output", "fc4", "note"),
        ("gradient-vanishing", "fc5", "note"),
        ("rank-collapse", "fc6", "note"),
    ]
    assert fold(PROFILE, findings)[1].message == "fc4: constant-output. Follows from dead-units at fc4."


def test_a_consequence_does_not_stand_in_front_of_its_cause():
    findings = [made("dead-units", "fc4"), made("constant-output", "fc2")]
    assert told(findings) == [("constant-output", "fc2", "error"), ("dead-units", "fc4", "note")]


def test_a_jump_backward_far_from_a_jump_forward_is_another_fault():
    findings = [made("activation-growth", "fc2", step=3.0), made("gradient-explosion", "fc8", step=3.0)]
    assert [severity for _, _, severity in told(findings)] == ["error", "error"]


def test_a_jump_backward_beside_a_jump_forward_is_the_same_fault():
    findings = [made("activation-growth", "fc2", step=3.0), made("gradient-explosion", "fc2", "warning", step=3.0)]
    assert told(findings) == [("activation-growth", "fc2", "error"), ("gradient-explosion", "fc2", "note")]


def test_drifts_forward_and_backward_of_one_rate_are_one_error():
    findings = [
        made("rank-collapse", "fc1", rate=-0.8, metric="distinction"),
        made("gradient-vanishing", "fc9", rate=0.39, metric="grad_norm"),
    ]
    assert told(findings) == [("gradient-vanishing", "fc9", "error"), ("rank-collapse", "fc1", "warning")]


def test_drifts_of_different_rates_are_two_errors():
    findings = [
        made("rank-collapse", "fc1", rate=-5.0, metric="distinction"),
        made("gradient-vanishing", "fc9", rate=0.39, metric="grad_norm"),
    ]
    assert [severity for _, _, severity in told(findings)] == ["error", "error"]


def test_repeated_samples_explain_that_representations_are_alike():
    findings = [
        made("degenerate-batch", ""),
        made("constant-output", "fc0"),
        made("small-batch-norm", "fc1", "warning"),
    ]
    assert told(findings) == [
        ("degenerate-batch", "", "error"),
        ("small-batch-norm", "fc1", "warning"),
        ("constant-output", "fc0", "note"),
    ]


def test_two_rules_of_one_code_at_one_layer_are_one_finding_with_both_evidences():
    findings = [
        made("activation-growth", "fc2", "warning", module="fc2.inner"),
        made("activation-growth", "fc2", step=3.0),
    ]
    (finding,) = fold(PROFILE, findings)
    assert finding.severity == "error"
    assert finding.evidence == {"module": "fc2.inner", "step": 3.0}


def test_findings_come_errors_first_and_then_by_depth():
    findings = [
        made("saturation", "fc2", "warning"),
        made("nonfinite", "fc7", share=1.0),
        made("overflow-risk", "fc1", "warning"),
        made("nonfinite", "fc3", share=1.0),
    ]
    assert [finding.layer for finding in fold(PROFILE, findings)] == ["fc3", "fc7", "fc1", "fc2"]


def test_many_findings_of_one_kind_are_told_once_and_name_the_others():
    names = [f"encoder.{i}.{name}_global" for i in range(2) for name in ("query", "key", "value")]
    findings = [made("unused-layer", name, "warning", module=name) for name in names]
    (finding,) = fold(PROFILE, findings)
    assert finding.layer == "encoder.0.query_global"
    assert finding.message.endswith(
        "Likewise encoder.0.key_global, encoder.0.value_global, encoder.1.query_global and 2 more."
    )
    assert finding.evidence["layers"] == names


def test_a_few_of_one_kind_and_those_of_another_stay_apart():
    findings = [made("constant-output", f"fc{i}", "warning", gain=0.0, module=f"fc{i}") for i in (1, 4, 7)]
    assert [layer for _, layer, _ in told(findings)] == ["fc1", "fc4", "fc7"]


def test_that_such_networks_seldom_train_is_told_where_nothing_else_says_why():
    note = made("hard-to-train", "", "note")
    assert told([note, made("unused-layer", "aux", "warning")])[1] == ("hard-to-train", "", "note")
    assert [code for code, _, _ in told([note, made("rank-collapse", "fc1", "warning", rate=-1.0)])] == [
        "rank-collapse"
    ]
