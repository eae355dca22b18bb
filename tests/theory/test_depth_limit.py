"""Depth limits out of rates: each end by itself, and a dense network that ends where it should."""

import math

import numpy as np
import pytest

from leadline._core.errors import AssumptionError, UsageError
from leadline.theory import batch_norm_gradient_rate, depth_limit


@pytest.mark.parametrize(
    ("rates", "layers", "mechanism"),
    [
        ({"gradient": 0.1}, math.log(1e3) / 0.1, "spread"),
        ({"gradient": 0.1, "spread": math.inf}, math.log(3.4028235e38) / 0.1, "gradients overflow float32"),
        ({"gradient": -0.1, "spread": math.inf}, math.log(1.1754944e-38) / -0.1, "gradients fall below float32"),
        ({"signal": 0.2, "gradient": 0.2, "dtype": "float16"}, math.log(65504) / 0.2, "activations overflow float16"),
        ({"signal": -1.0, "gradient": -1.0, "dtype": "float64"}, 708.4, "activations fall below float64"),
        ({"distinction": -0.05}, math.log(1e6) / 0.05, "told apart"),
        ({"gradient": 0.01, "distinction": -0.5, "lost": 1e-3}, math.log(1e3) / 0.5, "told apart"),
    ],
)
def test_the_first_end_counts(rates, layers, mechanism):
    found = depth_limit(**rates)
    assert found.layers == pytest.approx(layers, rel=1e-4) and mechanism in found.mechanism


def test_rates_that_lead_nowhere_have_no_limit():
    assert depth_limit().layers == math.inf == depth_limit(distinction=0.3).layers
    assert depth_limit(signal=0.0, gradient=0.0, dtype="bfloat16").mechanism == "nothing that the rates show"


def test_a_dense_network_overflows_at_the_limit():
    """ReLU with twice the variance of He: 65504 is reached within 10 % of the predicted layers."""
    rng, d, rate = np.random.default_rng(5), 300, 0.5 * math.log(2)
    x, layers = rng.standard_normal(d), 0
    while np.sqrt(np.mean(x**2)) < 65504:
        x, layers = rng.standard_normal((d, d)) @ np.maximum(x, 0) * 2 / math.sqrt(d), layers + 1
    assert layers == pytest.approx(depth_limit(signal=rate, gradient=rate, dtype="float16").layers, rel=0.1)


def test_batch_norm_s_own_rate_ends_a_relu_network_at_the_known_depth():
    assert depth_limit(gradient=batch_norm_gradient_rate("relu")).layers == pytest.approx(36.05, abs=0.05)


def test_wrong_questions_are_refused():
    with pytest.raises(UsageError, match="float16"):
        depth_limit(dtype="float17")
    with pytest.raises(AssumptionError, match="spread=0.5"):
        depth_limit(spread=0.5)
    with pytest.raises(AssumptionError, match="nan"):
        depth_limit(signal=math.nan)
