from dataclasses import replace

import pytest
from tests.doctor.synthetic import chain, found, geometric

from leadline.doctor.trends import trend

DEPTH = 21


@pytest.mark.parametrize(
    ("code", "rate", "severity"),
    [
        ("gradient-explosion", -0.14, None),
        ("gradient-explosion", -0.16, "warning"),
        ("gradient-explosion", -0.19, "warning"),
        ("gradient-explosion", -0.21, "error"),
        ("gradient-vanishing", 0.14, None),
        ("gradient-vanishing", 0.16, "warning"),
        ("gradient-vanishing", 0.29, "warning"),
        ("gradient-vanishing", 0.31, "error"),
    ],
)
def test_a_geometric_drift_is_judged_by_its_decades_over_the_depth(code, rate, severity):
    findings = found(chain({"grad_norm": geometric(DEPTH, rate)}), code)
    assert [finding.severity for finding in findings] == ([severity] if severity else [])


@pytest.mark.parametrize(("code", "sign"), [("gradient-explosion", -1), ("gradient-vanishing", 1)])
def test_a_drift_at_the_limit_is_let_pass(code, sign):
    profile = chain({"grad_norm": geometric(DEPTH, sign * 0.2)})
    decades = abs(trend(profile, "grad_norm").decades)
    assert found(profile, code, limit=decades) == []
    assert len(found(profile, code, limit=decades * 0.999)) == 1


def test_a_drift_of_gradients_is_put_at_the_layer_first_met_from_the_loss():
    (finding,) = found(chain({"grad_norm": geometric(DEPTH, -0.4)}), "gradient-explosion")
    assert finding.layer == "fc20"
    assert "grow by 0.4 decades a layer" in finding.message
    assert "8 decades over 20 layers" in finding.message


def test_wandering_without_drift_is_no_explosion_however_far_it_wanders():
    walk = [0.0, -2.0, -0.5, -2.5, 0.5, -1.5, 1.0, -1.0, 0.3, -3.4]
    assert found(chain({"grad_norm": [10**x for x in walk]}), "gradient-explosion") == []


def test_an_explosion_that_starts_behind_a_quiet_part_is_put_where_it_starts():
    quiet, growing = geometric(10, 0.0), geometric(12, -0.5)
    norms = growing + [growing[-1] * value for value in quiet]
    (finding,) = found(chain({"grad_norm": norms}), "gradient-explosion", limit=1.0)
    assert finding.layer == "fc11"


@pytest.mark.parametrize(("factor", "code"), [(1e3, "gradient-explosion"), (1e-3, "gradient-vanishing")])
def test_one_layer_whose_backward_multiplies_is_named(factor, code):
    norms = [factor] * 4 + [1.0] * 6
    (finding,) = found(chain({"grad_norm": norms}), code)
    assert finding.layer == "fc4"
    assert finding.severity == "warning"
    assert "1000 times" in finding.message


@pytest.mark.parametrize(("rate", "words"), [(0.0, "larger (norm"), (-0.1, "larger than its like do (norm")])
def test_a_backward_pass_is_held_against_its_like_where_these_change_the_gradient(rate, words):
    norms = [10 ** (rate * i) * (1e3 if i < 6 else 1.0) for i in range(12)]
    jumps = [finding for finding in found(chain({"grad_norm": norms}), "gradient-explosion") if finding.layer == "fc6"]
    assert f"makes the gradient 1000 times {words}" in jumps[0].message


@pytest.mark.parametrize("factor", [25.0, 1 / 25])
def test_one_layer_that_multiplies_by_less_than_the_limit_is_let_pass(factor):
    profile = chain({"grad_norm": [factor] * 4 + [1.0] * 6})
    assert found(profile, "gradient-explosion") + found(profile, "gradient-vanishing") == []


def test_a_layer_that_passes_no_gradient_at_all_is_an_error():
    (finding,) = found(chain({"grad_norm": [0.0] * 4 + [0.5] * 6}), "gradient-vanishing")
    assert (finding.layer, finding.severity) == ("fc4", "error")
    assert "0.5 behind it and 0 in front" in finding.message


def test_gradients_that_shrink_below_the_dtype_are_one_drift_and_no_jump():
    norms = [10.0 ** (-3 * (20 - i)) for i in range(21)]
    norms = [value if value > 1e-42 else 0.0 for value in norms]
    findings = found(chain({"grad_norm": norms, "grad_rms": norms}), "gradient-vanishing")
    assert [finding.layer for finding in findings] == ["fc20"]
    assert findings[0].severity == "error"


@pytest.mark.parametrize(("cosine", "count"), [(0.94, 0), (0.95, 0), (0.96, 1)])
def test_gradients_that_agree_between_samples_are_named(cosine, count):
    profile = chain({"grad_mean_cosine": [0.0, cosine, cosine, 0.1]})
    findings = found(profile, "aligned-gradients")
    assert len(findings) == count
    assert all(finding.layer == "fc2" and "0.96" in finding.message for finding in findings)


@pytest.mark.parametrize(("joined", "severity"), [(True, "warning"), (False, "error")])
def test_gradients_that_vanish_beside_a_long_way_to_the_first_layer_are_a_warning(joined, severity):
    norms = [0.05, 0.03, *geometric(DEPTH, 0.5, start=1e-11), 0.2, 0.3]
    profile = chain({"grad_norm": norms})
    reads = [("inputs",), *((layer.name,) for layer in profile.layers)]
    layers = [
        replace(layer, reads=(*read, "fc1") if joined and layer.name == "fc23" else read)
        for layer, read in zip(profile.layers, reads, strict=False)
    ]
    (finding,) = [
        f for f in found(replace(profile, layers=tuple(layers)), "gradient-vanishing") if "rate" in f.evidence
    ]
    assert finding.severity == severity
    assert ("a shorter way goes around them" in finding.message) == joined
