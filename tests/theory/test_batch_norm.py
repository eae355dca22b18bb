"""Gradient explosion behind batch normalisation: known limits, and dense networks at finite batch and width."""

import math

import numpy as np
import pytest

from leadline._core.errors import AssumptionError
from leadline.theory import activation, batch_norm_gradient_rate, orthogonal_identity_rate


@pytest.mark.parametrize(
    ("name", "expected"),
    [("relu", 0.5 * math.log(math.pi / (math.pi - 1))), ("tanh", 0.0818), ("sin", 0.1362), ("identity", 0.0)],
)
def test_the_wide_limit_has_the_known_values(name, expected):
    assert batch_norm_gradient_rate(name) == pytest.approx(expected, abs=5e-5)


def test_sine_has_its_closed_form():
    expected = 0.5 * math.log((1 + math.exp(-2)) / (1 - math.exp(-2)))
    assert batch_norm_gradient_rate("sin") == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("name", "measured"), [("leaky_relu", 0.189), ("selu", 0.0385), ("tanh", 0.0848)])
def test_rates_measured_at_a_hundred_by_a_hundred_are_near(name, measured):
    """Single runs of the literature at d = n = 100, orthogonal weights: within .006 of the finite-size rate."""
    assert batch_norm_gradient_rate(name, n=100, d=100) == pytest.approx(measured, abs=0.006)


@pytest.mark.parametrize("n", [4, 5, 8, 33, 200])
def test_the_identity_has_its_finite_batch_rate_exactly(n):
    assert batch_norm_gradient_rate("identity", n=n) == pytest.approx(0.5 * math.log((n - 2) / (n - 3)), rel=1e-9)


@pytest.mark.parametrize("name", ["relu", "tanh", "gelu", "hard_tanh"])
def test_finite_batches_tend_to_the_limit_from_above(name):
    rates = [batch_norm_gradient_rate(name, n=n) for n in (8, 32, 128, 512, 4096)]
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] == pytest.approx(batch_norm_gradient_rate(name), abs=3e-4)


def _batch_norm_back(delta: np.ndarray, h: np.ndarray, scale: np.ndarray) -> np.ndarray:
    return (delta - delta.mean(0) - h * np.mean(delta * h, axis=0)) / scale


def _measured(name: str, n: int, d: int, depth: int, weights: str, centred: bool = True, seed: int = 0) -> float:
    """Mean increment of the log gradient norm over the inner layers of one dense network."""
    rng, phi = np.random.default_rng(seed), activation(name)
    x, steps = rng.standard_normal((n, d)), []
    for _ in range(depth):
        weight = rng.standard_normal((d, d)) / math.sqrt(d)
        if weights == "haar":
            q, r = np.linalg.qr(weight)
            weight = q * np.sign(np.diag(r))
        pre = x @ weight.T
        pre = pre - pre.mean(0) if centred else pre
        scale = np.sqrt(np.mean(pre**2, axis=0))
        h = pre / scale
        x = phi.function(h)
        steps.append((weight, h, scale))
    delta, logs = rng.standard_normal((n, d)), []
    for weight, h, scale in reversed(steps):
        inner = phi.derivative(h) * delta
        inner = inner - h * np.mean(inner * h, axis=0) - (inner.mean(0) if centred else 0.0)
        delta = (inner / scale) @ weight
        logs.append(math.log(np.linalg.norm(delta)))
    kept = logs[depth // 5 : -depth // 4]  # both ends are on their way to the stationary state
    return float(np.mean(np.diff(kept)))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "n"), [("relu", 8), ("relu", 32), ("tanh", 16), ("gelu", 32)])
def test_a_wide_dense_network_grows_at_the_finite_batch_rate(name, n):
    """Gaussian weights, d = 1000 ≫ n: within 4 %; the limit n → ∞ would miss by 10 to 35 %."""
    got = np.mean([_measured(name, n, 1000, 40, "gaussian", seed=s) for s in range(3)])
    rate = batch_norm_gradient_rate(name, n=n)
    assert got == pytest.approx(rate, rel=0.04)
    assert batch_norm_gradient_rate(name) < 0.92 * rate


@pytest.mark.slow
def test_the_relu_s_limit_is_what_dense_networks_extrapolate_to():
    """rate = r + a/n + b·n/d over eight sizes with n ≤ d/4, Gaussian weights: r = ½ log(π/(π−1)) within 2 %."""
    sizes = [(32, 256), (64, 256), (32, 512), (64, 512), (128, 512), (64, 1024), (128, 1024), (256, 1024)]
    rates = [
        np.mean([_measured("relu", n, d, 40, "gaussian", seed=s) for s in range(4 if d < 1024 else 2)])
        for n, d in sizes
    ]
    n, d = np.array(sizes).T
    (limit, by_batch, _), *_ = np.linalg.lstsq(np.stack([np.ones(len(n)), 1 / n, n / d], axis=1), np.array(rates))
    assert limit == pytest.approx(batch_norm_gradient_rate("relu"), rel=0.02)
    assert rates[0] > 1.06 * limit and 0.4 < by_batch < 0.8  # what the extrapolation takes away


@pytest.mark.slow
@pytest.mark.parametrize(("n", "d"), [(32, 256), (100, 100), (256, 128)])
def test_dense_relu_networks_of_usual_size_lie_within_ten_per_cent(n, d):
    got = np.mean([_measured("relu", n, d, 40, "haar", seed=s) for s in range(2)])
    rate = batch_norm_gradient_rate("relu", n=n, d=d)
    assert 0.9 * rate < got < 1.03 * rate


@pytest.mark.parametrize(("n", "d"), [(10, 50), (25, 50)])
def test_orthogonal_identity_networks_with_few_samples_explode_by_the_law(n, d):
    got = np.mean([_measured("identity", n, d, 400, "haar", centred=False, seed=s) for s in range(2)])
    assert got == pytest.approx(orthogonal_identity_rate(n=n, d=d), rel=0.12)


def test_orthogonal_identity_networks_with_enough_samples_do_not_explode():
    got = _measured("identity", 60, 50, 400, "haar", centred=False)
    assert abs(got) < 1e-3
    assert orthogonal_identity_rate(n=60, d=50) == 0.0


def test_the_width_s_correction_takes_no_more_than_the_identity_has():
    assert batch_norm_gradient_rate("identity", n=65, d=64) == pytest.approx(0.0, abs=1e-9)
    assert batch_norm_gradient_rate("identity", n=32, d=10**6) == pytest.approx(
        batch_norm_gradient_rate("identity", n=32), abs=1e-6
    )


def test_sizes_without_a_finite_expectation_are_refused():
    with pytest.raises(AssumptionError, match="from n = 4 on, got n=3"):
        batch_norm_gradient_rate("relu", n=3)
    with pytest.raises(AssumptionError, match="needs n"):
        batch_norm_gradient_rate("relu", d=100)
