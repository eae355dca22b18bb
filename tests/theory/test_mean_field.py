"""Length and correlation maps against arc-cosine kernels, independent quadrature and dense wide networks."""

import math

import numpy as np
import pytest

from leadline._core.errors import AssumptionError
from leadline.theory import (
    Activation,
    activation,
    batch_norm_gradient_rate,
    c_map,
    chi_1,
    correlation_map,
    depth_scale,
    edge_of_chaos,
    fixed_point,
    length_depth_scale,
    q_map,
)


@pytest.mark.parametrize("c", [-1.0, -0.999, -0.4, 0.0, 0.3, 0.9, 0.99999, 1.0])
def test_the_relu_has_the_arc_cosine_kernel(c):
    angle = math.acos(c)
    expected = (math.sin(angle) + (math.pi - angle) * c) / math.pi
    assert c_map("relu", c, q=2.7, weight_std=1.3) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("c", [-0.7, 0.2, 0.95])
@pytest.mark.parametrize("name", ["tanh", "gelu", "selu"])
def test_two_dimensional_expectations_agree_with_hermite_quadrature(name, c):
    """Gauss-Hermite on a grid of 200²: slow at kinks (SELU, 1e-4), sharp elsewhere."""
    q, sigma_w, sigma_b = 1.4, 1.2, 0.4
    z, w = np.polynomial.hermite_e.hermegauss(200)
    w = w / w.sum()
    u, v = np.meshgrid(z, z, indexing="ij")
    phi = activation(name).function
    product = np.einsum(
        "i,j,ij->", w, w, phi(math.sqrt(q) * u) * phi(math.sqrt(q) * (c * u + math.sqrt(1 - c * c) * v))
    )
    expected = (sigma_w**2 * product + sigma_b**2) / (sigma_w**2 * (w @ phi(math.sqrt(q) * z) ** 2) + sigma_b**2)
    got = c_map(name, c, q=q, weight_std=sigma_w, bias_std=sigma_b)
    assert got == pytest.approx(expected, abs=5e-4 if name == "selu" else 1e-9)


def test_the_slope_of_the_correlation_map_at_one_is_chi_1():
    q = fixed_point("gelu", weight_std=1.2, bias_std=0.3)
    below = c_map("gelu", 1 - 1e-5, q=q, weight_std=1.2, bias_std=0.3)
    assert (1 - below) / 1e-5 == pytest.approx(chi_1("gelu", q, weight_std=1.2), rel=1e-4)


@pytest.mark.parametrize(("sigma_w", "sigma_b"), [(2.0, 0.3), (1.0, 0.3), (3.0, 0.0)])
def test_a_dense_tanh_network_settles_at_the_fixed_point(sigma_w, sigma_b):
    rng, d = np.random.default_rng(3), 1500
    h, lengths = rng.standard_normal(d), []
    for layer in range(40):
        h = rng.standard_normal((d, d), dtype=np.float32) @ np.tanh(h) * sigma_w / math.sqrt(d)
        h = h + sigma_b * rng.standard_normal(d)
        if layer >= 10:
            lengths.append(np.mean(h**2))
    # One layer's second moment has a deviation of √(2/d) = 3.7 %; thirty correlated ones under 1.5 %.
    assert np.mean(lengths) == pytest.approx(fixed_point("tanh", weight_std=sigma_w, bias_std=sigma_b), rel=0.03)


def test_lengths_without_a_fixed_point_say_so():
    assert fixed_point("relu", weight_std=1.0) == 0.0
    assert fixed_point("relu", weight_std=1.5) == math.inf
    assert fixed_point("relu", weight_std=math.sqrt(2), start=3.0) == pytest.approx(3.0, rel=1e-9)
    assert fixed_point("tanh", weight_std=0.9) == 0.0


@pytest.mark.parametrize(
    "call",
    [
        lambda: q_map("relu", -1.0, weight_std=1.0),
        lambda: chi_1("relu", -1.0, weight_std=1.0),
        lambda: c_map("relu", 0.5, q=-1.0, weight_std=1.0),
        lambda: fixed_point("relu", start=-1.0, weight_std=1.0),
    ],
    ids=["q_map", "chi_1", "c_map", "fixed_point"],
)
def test_no_variance_is_negative(call):
    with pytest.raises(AssumptionError, match="variance of a pre-activation and at least 0, got -1"):
        call()


def test_a_critical_map_that_creeps_is_refused():
    with pytest.raises(AssumptionError, match="has not settled after 200 layers"):
        fixed_point("tanh", weight_std=1.0, steps=200)


def test_relu_with_bias_has_its_linear_fixed_point():
    assert fixed_point("relu", weight_std=1.0, bias_std=0.5) == pytest.approx(0.5, rel=1e-9)


@pytest.mark.parametrize("sigma_b", [0.05, 0.3, 1.0])
def test_on_the_edge_of_chaos_the_slope_is_one_at_the_fixed_point(sigma_b):
    sigma_w, q = edge_of_chaos("tanh", bias_std=sigma_b)
    assert chi_1("tanh", q, weight_std=sigma_w) == pytest.approx(1.0, abs=1e-10)
    assert q_map("tanh", q, weight_std=sigma_w, bias_std=sigma_b) == pytest.approx(q, rel=1e-10)


def test_the_edge_of_tanh_is_where_the_paper_draws_it():
    """Figure 2 of schoenholz2017 passes (σ_w², σ_b²) = (1.76, .05)."""
    sigma_w, _ = edge_of_chaos("tanh", bias_std=math.sqrt(0.05))
    assert sigma_w**2 == pytest.approx(1.76, abs=0.02)


def test_relu_has_no_edge_at_a_positive_bias():
    with pytest.raises(AssumptionError, match="no edge of chaos"):
        edge_of_chaos("relu", bias_std=0.1)


@pytest.mark.parametrize(("sigma_w", "start"), [(1.0, 0.9), (2.0, 0.2)])
def test_the_depth_scale_is_the_e_folding_of_iterated_correlations(sigma_w, start):
    q, c, seen = fixed_point("tanh", weight_std=sigma_w, bias_std=0.3), start, []
    while len(seen) < 3 or abs(seen[-1] - seen[-2]) > 1e-4:
        c = c_map("tanh", c, q=q, weight_std=sigma_w, bias_std=0.3)
        seen.append(c)
    scale = -1 / math.log((seen[-1] - seen[-2]) / (seen[-2] - seen[-3]))
    assert depth_scale("tanh", weight_std=sigma_w, bias_std=0.3) == pytest.approx(scale, rel=5e-3)


def test_the_depth_scale_is_infinite_on_the_edge():
    sigma_w, _ = edge_of_chaos("tanh", bias_std=0.3)
    q = fixed_point("tanh", weight_std=1.0, bias_std=0.3)
    assert depth_scale("tanh", weight_std=1.0, bias_std=0.3) == pytest.approx(
        -1 / math.log(chi_1("tanh", q, weight_std=1))
    )
    assert depth_scale("tanh", weight_std=sigma_w, bias_std=0.3) > 1e6


def test_no_correlation_is_taken_outside_its_range():
    with pytest.raises(AssumptionError, match=r"\[-1, 1\], got 1.2"):
        c_map("relu", 1.2, q=1.0, weight_std=1.0)


def test_what_one_layer_forgets_has_no_depth():
    for name in ("relu", "tanh"):
        assert depth_scale(name, weight_std=0.0, bias_std=1.0) == 0
        assert length_depth_scale(name, weight_std=0.0, bias_std=1.0) == 0
        assert correlation_map(name, weight_std=0.0, bias_std=1.0).depth_scale() == 0
    constant = Activation(name="one", function=np.ones_like, derivative=np.zeros_like)
    assert depth_scale(constant, weight_std=1.0) == length_depth_scale(constant, weight_std=1.0) == 0


def test_a_step_has_no_slope_and_the_error_says_so():
    step = Activation(name="step", function=np.sign, derivative=np.zeros_like, breakpoints=(0.0,))
    for scale in (depth_scale, length_depth_scale):
        with pytest.raises(AssumptionError, match="jumps alone has no slope"):
            scale(step, weight_std=1.0, bias_std=0.1)
    with pytest.raises(AssumptionError, match="no edge of chaos where it has no slope"):
        edge_of_chaos(step, bias_std=0.1)
    for n in (None, 8):
        with pytest.raises(AssumptionError, match="does not pass an activation that changes by jumps"):
            batch_norm_gradient_rate(step, n=n)
