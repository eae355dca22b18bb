"""Correlation maps against closed forms, other libraries' kernels, and dense wide networks with every norm."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from scipy.special import erf

from leadline._core.errors import AssumptionError
from leadline.theory import (
    Activation,
    activation,
    c_map,
    correlation_map,
    depth_scale,
    fixed_point,
    length_depth_scale,
    moments,
    q_map,
)

FIXTURE = json.loads((Path(__file__).parent / "fixtures" / "kernels.json").read_text())
ERF = Activation(
    name="erf",
    function=lambda x: np.asarray(erf(x)),
    derivative=lambda x: 2 / math.sqrt(math.pi) * np.exp(-np.square(x)),
)
C = np.array([-0.95, -0.4, 0.0, 0.3, 0.9, 0.9999, 1.0])


@pytest.mark.parametrize("q", [0.5, 3.0])
def test_the_relu_has_the_arc_cosine_kernels_of_both_orders(q):
    angle = np.arccos(C)
    relu = correlation_map("relu", q=q)
    np.testing.assert_allclose(1 - relu(C), 1 - (np.sin(angle) + (math.pi - angle) * C) / math.pi, atol=1e-9)
    np.testing.assert_allclose(relu.slope(C), 1 - angle / math.pi, atol=1e-8)


@pytest.mark.parametrize("q", [0.5, 3.0])
def test_the_error_function_has_the_arcsine_kernel(q):
    kernel = 2 / math.pi * np.arcsin(2 * q * C / (1 + 2 * q))
    slope = 4 / math.pi / np.sqrt((1 + 2 * q) ** 2 - (2 * q * C) ** 2)
    second = 2 / math.pi * math.asin(2 * q / (1 + 2 * q))
    got = correlation_map(ERF, q=q)
    np.testing.assert_allclose(got(C), kernel / second, atol=1e-9)
    np.testing.assert_allclose(got.slope(C), q * slope / second, rtol=1e-7)


NETWORKS = {(r["activation"], r["weight_std"], r["bias_std"], r["depth"]): None for r in FIXTURE["kernels"]}


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: f"{network[0]}-{network[-1]}")
def test_deep_kernels_are_those_of_neural_tangents(network):
    """Variance, covariance and tangent kernel of up to six layers at four correlations, to 1e-6 relative."""
    name, weight_std, bias_std, depth = network
    rows = [r for r in FIXTURE["kernels"] if network == (r["activation"], r["weight_std"], r["bias_std"], r["depth"])]
    phi = ERF if name == "erf" else activation(name)
    q = weight_std**2 + bias_std**2
    covariance = tangent = weight_std**2 * np.array([r["input_correlation"] for r in rows]) + bias_std**2
    for _ in range(depth):
        layer = correlation_map(phi, q=q, weight_std=weight_std, bias_std=bias_std)
        following = q_map(phi, q, weight_std=weight_std, bias_std=bias_std)
        slope = layer.slope(covariance / q) * following / q
        covariance, q = layer(covariance / q) * following, following
        tangent = covariance + slope * tangent
    assert q == pytest.approx(rows[0]["variance"], rel=1e-6)
    np.testing.assert_allclose(covariance, [r["covariance"] for r in rows], rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(tangent, [r["tangent"] for r in rows], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("row", FIXTURE["maps"], ids=lambda row: row["activation"])
def test_local_maps_are_those_of_dks(row):
    phi, m = row["activation"], moments(row["activation"])
    layer = correlation_map(phi)
    assert m.second == pytest.approx(row["q"], rel=1e-6)
    assert float(layer.slope(1.0)) == pytest.approx(row["slope_at_one"], rel=1e-6)
    # dks evaluates the slope at 0 by E[φ']²/E[φ²].
    assert float(layer.slope(0.0)) == pytest.approx(row["slope_at_zero"], rel=1e-6)
    np.testing.assert_allclose(layer(row["correlations"]), row["c"], rtol=1e-6, atol=1e-9)
    step = 1e-4
    q_slope = (q_map(phi, 1 + step, weight_std=1.0) - q_map(phi, 1 - step, weight_std=1.0)) / (2 * step)
    assert q_slope == pytest.approx(row["q_slope"], rel=1e-6)


@pytest.mark.parametrize("name", ["tanh", "gelu", "hard_tanh", "selu"])
@pytest.mark.parametrize("q", [0.3, 4.0])
def test_the_interpolated_map_is_the_integral_between_its_nodes(name, q):
    layer = correlation_map(name, q=q, weight_std=1.2, bias_std=0.4)
    for c in (-0.83, 0.1, 0.77, 0.999):
        expected = 1 - c_map(name, c, q=q, weight_std=1.2, bias_std=0.4)
        assert 1 - float(layer(c)) == pytest.approx(expected, rel=1e-8)


def test_a_path_keeps_its_digits_where_samples_are_nearly_alike():
    """tanh in the ordered phase: 1 − c falls by χ_1 a layer down to 1e-40, far below rounding of c itself."""
    q = fixed_point("tanh", weight_std=0.9, bias_std=0.3)
    layer = correlation_map("tanh", q=q, weight_std=0.9, bias_std=0.3)
    left = layer.path(0.2, layers=250)
    assert left[0] == pytest.approx(0.8) and left[-1] < 1e-40
    assert left[-1] / left[-2] == pytest.approx(float(layer.slope(1.0)), rel=1e-9)


def test_on_the_edge_the_relu_s_samples_meet_by_a_power_law():
    """1 − c_l → 9π²/(2 l²), by the expansion of the arc-cosine kernel; corrections log(l)/l are 3 % at 2000."""
    left = correlation_map("relu").path(0.0, layers=2000)
    assert left[-1] * 2000**2 * 2 / (9 * math.pi**2) == pytest.approx(1.0, abs=0.04)


@pytest.mark.parametrize(("weight_std", "bias_std"), [(1.0, 0.3), (2.0, 0.3), (2.0, 0.0)])
def test_fixed_points_and_depth_scales_are_those_of_the_maps(weight_std, bias_std):
    q = fixed_point("tanh", weight_std=weight_std, bias_std=bias_std)
    layer = correlation_map("tanh", q=q, weight_std=weight_std, bias_std=bias_std)
    star = layer.fixed_point()
    assert 1 - layer.path(0.5, layers=300)[-1] == pytest.approx(star, abs=1e-6)
    assert (star == 1.0) == (weight_std == 1.0)
    assert layer.depth_scale() == pytest.approx(depth_scale("tanh", weight_std=weight_std, bias_std=bias_std), rel=1e-5)


@pytest.mark.parametrize("name", ["tanh", "gelu", "selu"])
def test_lengths_approach_their_fixed_point_over_the_length_scale(name):
    q = fixed_point(name, weight_std=1.2, bias_std=0.5)
    near = q * (1 + 1e-5)
    ratio = (q_map(name, near, weight_std=1.2, bias_std=0.5) - q) / (near - q)
    got = length_depth_scale(name, weight_std=1.2, bias_std=0.5)
    assert got == pytest.approx(-1 / math.log(abs(ratio)), rel=1e-3)


def test_lengths_of_a_critical_relu_never_settle():
    assert length_depth_scale("relu", weight_std=math.sqrt(2)) == math.inf
    with pytest.raises(AssumptionError, match="here it is inf"):
        length_depth_scale("relu", weight_std=1.6)


DESIGNS = {
    "layer norm before": ("norm_act", {"weight_std": 1.0}, True),
    "layer norm behind": ("act_norm", {"q": 1.7**2, "weight_std": 1.0, "centred": True}, True),
    "rms norm behind": ("act_norm", {"q": 1.7**2, "weight_std": 1.0}, False),
    "skip": ("skip", {"weight_std": 0.8, "skip": 0.7}, True),
}


@pytest.mark.parametrize("design", DESIGNS)
@pytest.mark.parametrize("name", ["relu", "tanh", "gelu"])
def test_dense_layers_of_every_design_follow_the_map(design, name):
    """One layer of width 600 at three correlations, 30 draws: within five standard errors and 2/d for the width."""
    kind, arguments, centred = DESIGNS[design]
    rng, d, phi = np.random.default_rng(41), 600, activation(name).function
    layer = correlation_map(name, **arguments)

    def norm(x: np.ndarray) -> np.ndarray:
        x = x - x.mean(1, keepdims=True) if centred else x
        return x / np.sqrt(np.mean(x**2, axis=1, keepdims=True))

    for c in (0.0, 0.6, 0.95):
        found = []
        for _ in range(30):
            base = norm(rng.standard_normal((2, d)))
            base[1] = norm((base[1] - base[0] * (base[1] @ base[0]) / d)[None])[0]
            x = np.stack([base[0], c * base[0] + math.sqrt(1 - c * c) * base[1]])
            w = rng.standard_normal((d, d), dtype=np.float32) / np.float32(math.sqrt(d))
            if kind == "norm_act":
                y = norm(phi(x) @ w.T)
            elif kind == "act_norm":
                y = norm(phi(1.7 * x @ w.T))
            else:
                y = 0.7 * x + 0.8 * phi(x) @ w.T
            found.append(y[0] @ y[1] / math.sqrt((y[0] @ y[0]) * (y[1] @ y[1])))
        error = np.std(found) / math.sqrt(30)
        assert error < 0.01 and np.mean(found) == pytest.approx(float(layer(c)), abs=5 * error + 2 / d)


def test_the_mean_that_layer_norm_subtracts_keeps_relu_samples_apart():
    plain, normed = correlation_map("relu"), correlation_map("relu", centred=True)
    assert plain.fixed_point() == 1.0 > normed.fixed_point()
    assert float(normed.slope(1.0)) == pytest.approx(math.pi / (math.pi - 1), rel=1e-9)


def test_questions_without_an_answer_are_refused():
    with pytest.raises(AssumptionError, match="q=0"):
        correlation_map("relu", q=0.0)
    with pytest.raises(AssumptionError, match=r"in \[-1, 1\]"):
        correlation_map("relu")(1.2)
    dead = Activation(name="dead", function=np.zeros_like, derivative=np.zeros_like)
    with pytest.raises(AssumptionError, match="Nothing reaches"):
        correlation_map(dead)
    jump = Activation(name="jump", function=np.sign, derivative=np.zeros_like, breakpoints=(0.0,))
    with pytest.raises(AssumptionError, match="too steep"):
        correlation_map(jump)
