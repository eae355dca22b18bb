"""Residual streams with a norm in the branch, against dense networks and sums over the blocks."""

import math

import mpmath
import numpy as np
import pytest

from leadline._core.errors import AssumptionError
from leadline.theory import activation, moments, pre_norm_growth, pre_norm_rates, residual_growth


@pytest.mark.parametrize("name", ["relu", "tanh", "gelu"])
def test_the_closed_growth_is_the_sum_of_the_rates(name):
    variance, signal, gradient = 1.7, 0.0, 0.0
    for _ in range(40):
        rates = pre_norm_rates(name, variance, weight_std=0.9)
        signal, gradient = signal + rates.signal, gradient + rates.gradient
        variance *= math.exp(2 * rates.signal)
    total = pre_norm_growth(name, 40, weight_std=0.9, variance=1.7)
    assert (total.signal, total.gradient) == pytest.approx((signal, gradient), rel=1e-10)


@pytest.mark.parametrize(("name", "norm"), [("relu", "layer"), ("tanh", "rms"), ("relu", "batch"), ("selu", "batch")])
def test_dense_streams_grow_as_predicted(name, norm):
    """24 blocks of width 400, 128 samples, five draws: totals of about 1.6 nats to 5 %, relative ones of .1 to .4."""
    phi, d, n, blocks = activation(name), 400, 128, 24
    axis = 0 if norm == "batch" else 1
    signals, gradients = [], []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        x, steps = rng.standard_normal((n, d)), []
        centre = (lambda v: v - v.mean(0)) if norm == "batch" else (lambda v: v)
        start = np.linalg.norm(centre(x))
        for _ in range(blocks):
            w = rng.standard_normal((d, d)) / math.sqrt(d)
            y = x if norm == "rms" else x - x.mean(axis, keepdims=True)
            scale = np.sqrt(np.mean(y**2, axis=axis, keepdims=True))
            h = y / scale
            steps.append((w, h, scale))
            x = x + phi.function(h) @ w.T
        signals.append(math.log(np.linalg.norm(centre(x)) / start))
        delta = rng.standard_normal((n, d))
        end = np.linalg.norm(delta)
        for w, h, scale in reversed(steps):
            inner = (delta @ w) * phi.derivative(h)
            inner = inner - h * np.mean(inner * h, axis=axis, keepdims=True)
            inner = inner if norm == "rms" else inner - inner.mean(axis, keepdims=True)
            delta = delta + inner / scale
        gradients.append(math.log(np.linalg.norm(delta) / end))
    expected = pre_norm_growth(name, blocks, weight_std=1.0, centred=norm == "batch")
    assert np.mean(signals) == pytest.approx(expected.signal, rel=0.05)
    assert np.mean(gradients) == pytest.approx(expected.gradient, rel=0.05)


def test_growth_is_a_power_of_the_depth():
    ends = [pre_norm_growth("gelu", blocks, weight_std=1.0).gradient for blocks in (10**5, 10**6)]
    slope = (ends[1] - ends[0]) / math.log(10)
    m = pre_norm_rates("gelu", 1.0, weight_std=1.0)
    assert slope == pytest.approx(0.5 * math.expm1(2 * m.gradient) / math.expm1(2 * m.signal), rel=1e-4)


def test_budgets_of_slopes_have_their_closed_forms():
    assert residual_growth(np.full(1000, 1 / 1000), slopes=3.0) == pytest.approx(1.0, rel=1e-3)
    assert residual_growth(np.full(50, 0.5), slopes=2.0) == pytest.approx(25 * math.log(1.5))
    assert residual_growth([0.3, 0.9], slopes=1.0) == 0.0
    assert residual_growth([1.0], slopes=0.0) == -math.inf


def test_the_relative_growth_is_the_gradient_s_less_the_stream_s():
    """δ·x: what a block's weight gradient sees; the shares of a pre-norm stream are b/(v_0 + l b)."""
    blocks, total = 60, pre_norm_growth("tanh", 60, weight_std=1.3)
    m = pre_norm_rates("tanh", 1.0, weight_std=1.3)
    branch, slope = math.expm1(2 * m.signal), math.expm1(2 * m.gradient)
    shares = branch / (1 + branch * np.arange(1, blocks + 1))
    relative = residual_growth(shares, slopes=slope / branch)
    assert total.gradient - total.signal == pytest.approx(relative, rel=1e-9)


def test_streams_without_variance_are_refused():
    with pytest.raises(AssumptionError, match="got 0"):
        pre_norm_rates("relu", 0.0, weight_std=1.0)
    with pytest.raises(AssumptionError, match="blocks=-1"):
        pre_norm_growth("relu", -1, weight_std=1.0)
    with pytest.raises(AssumptionError, match="0 of the branch"):
        pre_norm_growth("relu", 3, weight_std=0.0)
    with pytest.raises(AssumptionError, match=r"\[0, 1\]"):
        residual_growth([1.5], slopes=1.0)


@pytest.mark.parametrize(
    ("phi", "blocks", "weight_std", "variance"),
    [("gelu", 1000, 1e-4, 1.0), ("relu", 100, 1e-6, 1.0), ("gelu", 10, 2**0.5, 1e12), ("relu", 30_000, 1.0, 1e-3),
     ("tanh", 10**9, 1.0, 1.0), ("gelu", 10**7, 1e-3, 1e4)],
)  # fmt: skip
def test_growth_over_small_branches_keeps_its_digits(phi, blocks, weight_std, variance):
    with mpmath.workdps(50):
        m = moments(phi)
        start = mpmath.mpf(variance) / (weight_std**2 * m.second)
        ends = (start + mpmath.mpf(m.slope_second) / m.second, start)
        upper, lower = (mpmath.loggamma(x + blocks) - mpmath.loggamma(x) for x in ends)
        expected = float((upper - lower) / 2)
    got = pre_norm_growth(phi, blocks, weight_std=weight_std, variance=variance).gradient
    assert got == pytest.approx(expected, rel=1e-12, abs=0)
