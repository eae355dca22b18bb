"""Quadrature over Gaussian pre-activations against mpmath, closed forms and the far ends of scale."""

import mpmath
import numpy as np
import pytest

from leadline.theory import ACTIVATIONS, activation, expectation, moments

_DEFINITIONS = {
    "relu": lambda x: max(x, mpmath.mpf(0)),
    "gelu": lambda x: x * mpmath.ncdf(x),
    "tanh": mpmath.tanh,
    "silu": lambda x: x / (1 + mpmath.exp(-x)),
    "mish": lambda x: x * mpmath.tanh(mpmath.log1p(mpmath.exp(x))),
    "selu": lambda x: (
        mpmath.mpf("1.0507009873554805") * (x if x > 0 else mpmath.mpf("1.6732632423543772") * mpmath.expm1(x))
    ),
    "hard_swish": lambda x: x * min(max(x + 3, mpmath.mpf(0)), mpmath.mpf(6)) / 6,
    "softsign": lambda x: x / (1 + abs(x)),
}


@pytest.mark.parametrize("name", _DEFINITIONS)
def test_second_moments_agree_with_thirty_digits(name):
    with mpmath.workdps(30):
        exact = mpmath.quad(lambda x: _DEFINITIONS[name](x) ** 2 * mpmath.npdf(x), [-20, -3, -1, 0, 1, 3, 20])
    assert moments(name).second == pytest.approx(float(exact), rel=1e-13)


@pytest.mark.parametrize("std", [1e-6, 0.3, 1.0, 5.0, 12.0])
def test_sine_has_its_closed_moments_at_every_scale(std):
    m = moments("sin", std=std)
    assert m.second == pytest.approx((1 - np.exp(-2 * std**2)) / 2, abs=1e-13, rel=1e-10)
    assert m.slope_second == pytest.approx((1 + np.exp(-2 * std**2)) / 2, rel=1e-10)
    assert m.linear == pytest.approx(std * np.exp(-(std**2) / 2), abs=1e-10)


@pytest.mark.parametrize("std", [1e-8, 1e-3, 1e3, 1e8])
def test_a_homogeneous_activation_scales_exactly(std):
    assert moments("relu", std=std).second == pytest.approx(std**2 / 2, rel=1e-12)
    assert moments("relu", std=std).slope_second == pytest.approx(0.5, rel=1e-12)


def test_a_step_far_steeper_than_the_gaussian_is_resolved():
    """E tanh'(σz)² → 4/(3 σ √(2π)) for σ → ∞: the integral of sech⁴ is 4/3."""
    assert moments("tanh", std=1e5).slope_second * 1e5 == pytest.approx(4 / 3 / np.sqrt(2 * np.pi), rel=1e-9)


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_stein_s_linear_part_is_the_covariance_with_the_input(name):
    phi = activation(name)
    direct = expectation(lambda z: z * phi.function(z), breakpoints=phi.breakpoints)
    assert moments(name).linear == pytest.approx(float(direct), abs=1e-13)


def test_forgetting_the_breakpoint_costs_digits():
    """The split at kinks is what makes the quadrature exact."""
    off = 0.5123
    exact = 0.5 * ((1 + off**2) * (1 - float(mpmath.erf(off / mpmath.sqrt(2))))) - off * np.exp(
        -(off**2) / 2
    ) / np.sqrt(2 * np.pi)

    def shifted(x):
        return np.maximum(x - off, 0.0) ** 2

    def jump(x):
        return np.where(x > off, 1.0, 0.0)

    tail = 0.5 * (1 - float(mpmath.erf(off / mpmath.sqrt(2))))
    assert float(expectation(shifted, breakpoints=(off,))) == pytest.approx(exact, abs=1e-14)
    assert float(expectation(jump, breakpoints=(off,))) == pytest.approx(tail, abs=1e-14)
    assert abs(float(expectation(jump)) - tail) > 1e-4


def test_means_and_deviations_broadcast():
    got = expectation(np.square, mean=[[0.0], [2.0]], std=[1.0, 3.0, 0.0])
    np.testing.assert_allclose(got, [[1, 9, 0], [5, 13, 4]], rtol=1e-13)


def test_the_part_that_no_line_explains_is_zero_for_a_line():
    assert moments("identity", std=3.0).nonlinear == pytest.approx(0.0, abs=1e-12)
    assert moments("relu").nonlinear == pytest.approx(0.25 - 0.5 / np.pi, rel=1e-12)
