"""Gaussian products: exact drifts against drawn matrices, and the density of singular values against spectra."""

import math

import numpy as np
import pytest
from scipy.integrate import quad

from leadline._core.errors import AssumptionError
from leadline.theory import (
    log_norm_deviation,
    log_norm_drift,
    lyapunov_exponents,
    product_density,
    product_edge,
)


@pytest.mark.parametrize("d", [1, 3, 20])
def test_the_drift_and_deviation_are_those_of_drawn_matrices(d):
    """100,000 draws; five standard errors."""
    rng, draws, std = np.random.default_rng(11), 100_000, 1.7
    growth = 0.5 * np.log(std**2 * rng.chisquare(d, draws) / d)  # ‖Wx‖²/‖x‖² = σ²χ²_d/d
    assert growth.mean() == pytest.approx(log_norm_drift(d, std=std), abs=5 * log_norm_deviation(d) / math.sqrt(draws))
    assert growth.std() == pytest.approx(log_norm_deviation(d), rel=0.03)


def test_a_dense_product_has_the_lyapunov_spectrum():
    """QR iteration of 6,000 Gaussian 5 × 5 matrices; the error of each exponent is below .9/√6000 = .012."""
    rng, d, length = np.random.default_rng(12), 5, 6000
    q, total = np.eye(d), np.zeros(d)
    for _ in range(length):
        q, r = np.linalg.qr(rng.standard_normal((d, d)) / math.sqrt(d) @ q)
        total += np.log(np.abs(np.diag(r)))
    np.testing.assert_allclose(total / length, lyapunov_exponents(d), atol=0.04)


def test_the_sum_of_exponents_is_the_expected_log_determinant():
    rng, d = np.random.default_rng(13), 4
    logdet = np.linalg.slogdet(rng.standard_normal((50_000, d, d)) / math.sqrt(d))[1]
    assert logdet.mean() == pytest.approx(lyapunov_exponents(d).sum(), abs=5 * logdet.std() / math.sqrt(50_000))


@pytest.mark.parametrize("factors", [1, 2, 3, 5, 20])
def test_the_density_has_mass_and_second_moment_one(factors):
    # In t = s^(1/(M+1))·…: the substitution s = edge·t^(M+1) removes the singularity at 0.
    edge, power = product_edge(factors), factors + 1

    def mass(t, moment):
        s = edge * t**power
        return float(product_density(s, factors=factors)) * s**moment * edge * power * t ** (power - 1)

    assert quad(mass, 0, 1, args=(0,), limit=200)[0] == pytest.approx(1.0, abs=1e-6)
    assert quad(mass, 0, 1, args=(2,), limit=200)[0] == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize(("factors", "share"), [(1, 0.0636), (2, 0.172), (3, 0.269), (5, 0.4106)])
def test_the_share_of_small_singular_values_is_the_known_one(factors, share):
    """Shares that drawn products of N = 400 to 800 show to .002; a further factor moves them by .07 to .11."""
    power = factors + 1
    got = quad(
        lambda t: float(product_density(0.1 * t**power, factors=factors)) * 0.1 * power * t ** (power - 1),
        0,
        1,
        limit=200,
    )[0]
    assert got == pytest.approx(share, abs=6e-4)


@pytest.mark.parametrize("factors", [1, 3])
def test_drawn_products_follow_the_density(factors):
    rng, n = np.random.default_rng(14), 400
    product = np.eye(n)
    for _ in range(factors):
        product = product @ rng.standard_normal((n, n)) / math.sqrt(n)
    s = np.linalg.svd(product, compute_uv=False)
    assert s.max() == pytest.approx(product_edge(factors), rel=0.04)
    grid = np.linspace(0.3, 1.5, 400)
    expected = np.trapezoid(product_density(grid, factors=factors), grid)
    assert np.mean((s > 0.3) & (s < 1.5)) == pytest.approx(expected, abs=0.01)


def test_one_factor_is_the_quarter_circle():
    s = np.linspace(0.0, 2.5, 60)
    expected = np.sqrt(np.maximum(4 - s**2, 0)) / math.pi
    np.testing.assert_allclose(product_density(s, factors=1), expected, atol=1e-9)


@pytest.mark.parametrize(("factors", "edge"), [(1, 2.0), (3, 3.08), (5, 3.86)])
def test_the_edges_are_those_of_the_figures(factors, edge):
    assert product_edge(factors) == pytest.approx(edge, abs=0.005)


def test_the_density_is_infinite_at_zero_from_two_factors_on_and_nan_stays_nan():
    got = product_density([0.0, -1.0, math.nan, 9.0], factors=2)
    assert got[0] == math.inf and got[1] == 0 and math.isnan(got[2]) and got[3] == 0


def test_impossible_products_are_refused():
    with pytest.raises(AssumptionError, match="factors=0"):
        product_edge(0)
    with pytest.raises(AssumptionError, match="d=0"):
        log_norm_drift(0)
    with pytest.raises(AssumptionError, match="std must be positive"):
        log_norm_drift(4, std=0.0)
    with pytest.raises(AssumptionError, match="count=9"):
        lyapunov_exponents(4, count=9)
