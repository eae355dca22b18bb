"""Rates per layer against dense NumPy networks that share no code with the theory but the activation."""

import math

import numpy as np
import pytest

from leadline._core.errors import AssumptionError, UsageError
from leadline.theory import activation, layer_norm_rates, plain_rates, residual_rates

_DRAWS = 6


def _one_layer(name: str, q: float, sigma_w: float, sigma_b: float, skip: float, d: int = 1500) -> tuple[float, float]:
    """Measured (signal, gradient) of one layer h' = skip·h + W φ(h) + b, mean of independent draws."""
    rng, phi = np.random.default_rng(5), activation(name)
    signal, gradient = [], []
    for _ in range(_DRAWS):
        h, delta = math.sqrt(q) * rng.standard_normal(d), rng.standard_normal(d)
        weight = sigma_w / math.sqrt(d) * rng.standard_normal((d, d))
        following = skip * h + weight @ phi.function(h) + sigma_b * rng.standard_normal(d)
        back = skip * delta + phi.derivative(h) * (weight.T @ delta)
        signal.append(0.5 * math.log(np.mean(following**2) / q))
        gradient.append(math.log(np.linalg.norm(back) / np.linalg.norm(delta)))
    return float(np.mean(signal)), float(np.mean(gradient))


# The log-norm of one layer has a deviation of about 1/√(2d) = .018 on each side; six draws leave .011.
_TOLERANCE = 0.04


@pytest.mark.parametrize(
    ("name", "q", "sigma_w", "sigma_b"), [("relu", 1.0, 0.577, 0.0), ("tanh", 4.0, 2.0, 0.5), ("gelu", 0.5, 1.5, 0.0)]
)
def test_a_dense_layer_moves_at_the_stated_rates(name, q, sigma_w, sigma_b):
    signal, gradient = _one_layer(name, q, sigma_w, sigma_b, skip=0.0)
    rates = plain_rates(name, q, weight_std=sigma_w, bias_std=sigma_b)
    assert signal == pytest.approx(rates.signal, abs=_TOLERANCE)
    assert gradient == pytest.approx(rates.gradient, abs=_TOLERANCE)


@pytest.mark.parametrize(("name", "skip"), [("relu", 1.0), ("tanh", 1.0), ("silu", 0.5)])
def test_a_dense_residual_block_moves_at_the_stated_rates(name, skip):
    signal, gradient = _one_layer(name, 2.0, 1.4, 0.3, skip=skip)
    rates = residual_rates(name, 2.0, weight_std=1.4, bias_std=0.3, skip=skip)
    assert signal == pytest.approx(rates.signal, abs=_TOLERANCE)
    assert gradient == pytest.approx(rates.gradient, abs=_TOLERANCE)


def _normalise(h: np.ndarray, centred: bool) -> np.ndarray:
    h = h - h.mean() if centred else h
    return h / math.sqrt(np.mean(h**2))


def _normalise_back(delta: np.ndarray, h: np.ndarray, centred: bool) -> np.ndarray:
    """Gradient before the norm, from the gradient ``delta`` behind it and its output ``h``."""
    before = delta - h * (delta @ h) / len(h)
    return before - before.mean() if centred else before


@pytest.mark.parametrize("centred", [True, False])
@pytest.mark.parametrize("order", ["norm_act", "act_norm"])
@pytest.mark.parametrize("name", ["relu", "gelu", "tanh"])
def test_a_dense_normalised_network_moves_at_the_stated_rate(name, order, centred):
    """Ten layers of width 800: the mean increment has a standard error of about 1/√(2·800·10·draws) = .003."""
    rng, phi, d, depth, sigma_w = np.random.default_rng(7), activation(name), 800, 10, 1.3
    rates = []
    for _ in range(_DRAWS):
        x, steps = rng.standard_normal(d), []
        for _ in range(depth):
            weight = sigma_w / math.sqrt(d) * rng.standard_normal((d, d))
            pre = weight @ x
            if order == "norm_act":
                scale = np.std(pre) if centred else math.sqrt(np.mean(pre**2))
                h = _normalise(pre, centred)
                x = phi.function(h)
                steps.append((weight, h, scale))
            else:
                act = phi.function(pre)
                scale = np.std(act) if centred else math.sqrt(np.mean(act**2))
                x = _normalise(act, centred)
                steps.append((weight, pre, scale, x))
        delta, logs = rng.standard_normal(d), []
        for step in reversed(steps):
            if order == "norm_act":
                weight, h, scale = step
                delta = weight.T @ (_normalise_back(phi.derivative(h) * delta, h, centred) / scale)
            else:
                weight, pre, scale, out = step
                delta = weight.T @ (phi.derivative(pre) * _normalise_back(delta, out, centred) / scale)
            logs.append(math.log(np.linalg.norm(delta)))
        rates.append((logs[-2] - logs[0]) / (depth - 2))  # the first layer saw an input, not an activation
    expected = layer_norm_rates(name, order=order, weight_std=sigma_w, centred=centred).gradient
    assert np.mean(rates) == pytest.approx(expected, abs=0.015)


def test_torch_s_default_loses_the_known_share_of_relu_signal_and_gradient():
    rates = plain_rates("relu", 1.0, weight_std=3**-0.5)
    assert rates.signal == pytest.approx(-0.5 * math.log(6), rel=1e-12)
    assert rates.gradient == pytest.approx(-0.5 * math.log(6), rel=1e-12)


def test_layer_norm_behind_a_relu_costs_what_batch_norm_costs_before_it():
    assert layer_norm_rates("relu", order="act_norm").gradient == pytest.approx(
        0.5 * math.log(math.pi / (math.pi - 1)), rel=1e-12
    )
    assert layer_norm_rates("relu", order="act_norm", centred=False).gradient == pytest.approx(0.0, abs=1e-12)


def test_nothing_passes_a_layer_of_zero_weights():
    assert plain_rates("relu", 1.0, weight_std=0.0).gradient == -math.inf


def test_a_rate_needs_a_signal_and_a_known_order():
    with pytest.raises(AssumptionError, match="q=0"):
        plain_rates("relu", 0.0, weight_std=1.0)
    with pytest.raises(UsageError, match="norm_act, act_norm"):
        layer_norm_rates("relu", order="pre")  # pyright: ignore[reportArgumentType]
