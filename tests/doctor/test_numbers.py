import math

import pytest
from tests.doctor.synthetic import chain, found

from leadline._core.profile import LayerProfile, Profile


def test_a_parameter_that_is_not_finite_is_named_at_the_layer_that_holds_it():
    profile = chain({"finite_fraction": [1.0, 0.0, 0.0]}, nonfinite_parameters=("fc1.weight", "fc2.bias"))
    (finding,) = found(profile, "nonfinite")
    assert (finding.layer, finding.severity) == ("fc1", "error")
    assert "the parameter fc1.weight (and 1 more) holds nan" in finding.message


def test_the_first_output_that_is_not_finite_is_named():
    (finding,) = found(chain({"finite_fraction": [1.0, 0.75, 0.0]}), "nonfinite")
    assert finding.layer == "fc1"
    assert "25 % of its output" in finding.message


def test_the_module_inside_a_block_that_made_the_first_nan_is_named():
    profile = chain({"finite_fraction": [1.0, 0.5, 0.0]}, first_nonfinite="fc1.inner")
    (finding,) = found(profile, "nonfinite")
    assert finding.layer == "fc1"
    assert "first in fc1.inner" in finding.message


def test_a_gradient_that_overflows_is_named_first_from_the_loss():
    profile = chain({"finite_fraction": [1.0] * 4, "grad_finite_fraction": [0.0, 0.0, 0.5, 1.0]})
    (finding,) = found(profile, "nonfinite")
    assert finding.layer == "fc2"
    assert "50 % of its gradient" in finding.message


def test_an_input_that_is_not_finite_belongs_to_no_layer():
    inputs = LayerProfile(name="input", kind="input", depth=0, role="input", metrics={"finite_fraction": 0.9})
    (finding,) = found(chain({"finite_fraction": [0.0, 0.0]}, inputs=inputs), "nonfinite")
    assert finding.layer == ""
    assert "10 % of the input" in finding.message


def test_a_loss_that_overflows_on_finite_outputs_is_named_at_the_last_layer():
    outputs = LayerProfile(name="output", kind="output", depth=2, metrics={"finite_fraction": 1.0})
    (finding,) = found(chain({"finite_fraction": [1.0, 1.0]}, outputs=outputs, loss=math.inf), "nonfinite")
    assert finding.layer == "fc1"
    assert "the loss is inf" in finding.message


@pytest.mark.parametrize(("value", "count"), [(4093.0, 0), (4094.0, 1), (65504.0, 1), (math.inf, 0)])
def test_values_near_the_end_of_float16_are_named(value, count):
    layer = LayerProfile(name="fc", kind="Linear", depth=0, dtype="float16", metrics={"max_abs": value})
    findings = found(Profile(layers=(layer,)), "overflow-risk")
    assert len(findings) == count
    assert all("float16 ends at 65504" in finding.message for finding in findings)


@pytest.mark.parametrize(("dtype", "count"), [("float16", 1), ("bfloat16", 0), ("float32", 0)])
def test_only_float16_is_near_its_end_at_ten_thousand(dtype, count):
    layer = LayerProfile(name="fc", kind="Linear", depth=0, dtype=dtype, metrics={"max_abs": 1e4})
    assert len(found(Profile(layers=(layer,)), "overflow-risk")) == count


@pytest.mark.parametrize(("rms", "count"), [(5e-8, 1), (2.0**-24, 0), (1e-6, 0)])
def test_float16_gradients_below_its_smallest_number_are_noted(rms, count):
    layer = LayerProfile(name="fc", kind="Linear", depth=0, dtype="float16", metrics={"grad_rms": rms})
    findings = found(Profile(layers=(layer,)), "overflow-risk")
    assert [finding.severity for finding in findings] == ["note"] * count
