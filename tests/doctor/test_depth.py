import math
from dataclasses import replace

import pytest
from tests.doctor.faults import diagnosed, poison
from tests.doctor.models import conv_resnet, plain_mlp, tiny_gpt
from tests.doctor.synthetic import EMPTY, chain, geometric

import leadline
from leadline._core.diagnosis import Prediction
from leadline.doctor.depth import depth_limit


def sounded(depth=31, parts=("Linear", "ReLU"), **rates):
    return chain({name: geometric(depth, rate) for name, rate in rates.items()}, parts=parts)


def test_gradients_that_explode_end_the_depth_where_the_weights_gradients_spread_a_thousandfold():
    limit = depth_limit(sounded(weight_grad_norm=-0.0832, grad_norm=-0.0832), ())
    assert limit.estimate == pytest.approx(3 / 0.0832, rel=0.02)
    assert limit.low < limit.estimate < limit.high
    assert limit.mechanism == "weight gradients spread beyond 10³"


def test_samples_that_lose_a_decade_a_layer_are_lost_after_six():
    limit = depth_limit(sounded(distinction=-1.0), ())
    assert limit.estimate == pytest.approx(6.0, rel=0.01)
    assert limit.mechanism == "samples are no longer told apart"


def test_a_signal_that_grows_ends_where_the_rules_call_it_an_error():
    limit = depth_limit(sounded(rms=0.5), ())
    assert limit.estimate == pytest.approx(3.5 / 0.5, rel=0.01)
    assert limit.mechanism == "activations grow beyond any loss"


@pytest.mark.parametrize(("dtype", "decades"), [("float16", 1.816), ("bfloat16", 3.5), ("float32", 3.5)])
def test_the_range_of_the_dtype_counts(dtype, decades):
    metrics = {"rms": geometric(31, 0.5), "max_abs": geometric(31, 0.5, start=1e3)}
    assert depth_limit(chain(metrics, dtype=dtype), ()).estimate == pytest.approx(decades / 0.5, rel=0.01)


def test_samples_that_keep_a_single_direction_end_the_depth():
    ratios = [1 + 10 * 10 ** (-0.1 * i) for i in range(31)]
    limit = depth_limit(chain({"centred_participation_ratio": ratios}), ())
    assert limit.estimate == pytest.approx(7 / 0.1, rel=0.01)
    assert limit.mechanism == "samples differ along a single direction"


def test_the_depth_is_without_limit_only_where_theory_and_measurement_say_so():
    still = (Prediction(metric="grad_norm", rate=0.0, statement=""),)
    profile = sounded(weight_grad_norm=0.0, grad_norm=0.0)
    assert depth_limit(profile, still).estimate == math.inf
    assert math.isfinite(depth_limit(profile, ()).estimate)
    assert depth_limit(profile, ()).high == math.inf


def test_growth_where_theory_gives_none_is_that_of_the_finite_batch():
    profile = sounded(parts=("Linear", "BatchNorm1d"), weight_grad_norm=-0.01, grad_norm=-0.01)
    limit = depth_limit(profile, ())
    assert limit.estimate == pytest.approx(300, rel=0.05)
    assert limit.mechanism == "weight gradients spread beyond 10³ (finite-batch growth)"


def test_too_few_layers_tell_nothing():
    assert math.isnan(depth_limit(EMPTY, ()).estimate)
    assert depth_limit(sounded(depth=2, rms=0.1), ()).mechanism == "too few repeated layers to tell"


def test_numbers_that_are_not_finite_leave_no_limit():
    model, inputs, targets = plain_mlp(12)
    poison(model, "blocks.4.linear")
    limit = leadline.diagnose(leadline.profile(model, inputs, targets)).depth_limit
    assert math.isnan(limit.estimate) and limit.mechanism == "numbers that are not finite"


def test_an_overflow_that_no_rate_leads_to_leaves_no_limit():
    profile = sounded(rms=0.0, grad_norm=0.0)
    layers = list(profile.layers)
    layers[9] = replace(layers[9], metrics={**layers[9].metrics, "finite_fraction": 0.5})
    assert math.isfinite(depth_limit(profile, ()).estimate)
    assert math.isnan(depth_limit(replace(profile, layers=tuple(layers)), ()).estimate)


def test_a_network_that_gives_the_same_for_all_samples_from_the_start_has_no_limit():
    limit = diagnosed(plain_mlp(10, gain=0.0)).depth_limit
    assert math.isnan(limit.estimate) and limit.mechanism == "samples alike from the start"


@pytest.mark.parametrize(
    "case",
    [
        lambda: plain_mlp(60, init="default"),
        lambda: plain_mlp(60, norm="batch", init="default"),
        lambda: plain_mlp(60, gain=1.3),
        lambda: plain_mlp(40, skip=1.0),
        lambda: plain_mlp(40, activation="tanh"),
        lambda: plain_mlp(20, activation="sigmoid", init="default"),
        lambda: plain_mlp(30, gain=0.5),
        lambda: plain_mlp(200, activation="identity", init="gaussian"),
        lambda: conv_resnet(110, norm="none"),
        lambda: conv_resnet(56, norm="none"),
        lambda: conv_resnet(20, norm="none"),
        tiny_gpt,
    ],
)
def test_a_drift_that_is_an_error_and_the_limit_agree(case):
    diagnosis = diagnosed(case())
    own = len(diagnosis.profile.chain)
    if any(f.severity == "error" and "rate" in f.evidence for f in diagnosis.findings):
        assert diagnosis.depth_limit.estimate <= own
        assert diagnosis.trainable <= 2 / 61 + 1e-9
    if diagnosis.depth_limit.estimate < own:
        assert any(f.severity != "note" for f in diagnosis.findings)
