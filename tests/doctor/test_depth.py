import math

import pytest
from tests.doctor.synthetic import EMPTY, chain, geometric

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
