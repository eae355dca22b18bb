"""Shares, quantiles and condition numbers of products, against quadrature and drawn matrices."""

import math

import numpy as np
import pytest
from scipy.integrate import quad

from leadline._core.errors import AssumptionError
from leadline.theory import (
    product_density,
    product_distribution,
    product_edge,
    product_log_condition,
    product_quantile,
)


@pytest.mark.parametrize("factors", [1, 2, 3, 5, 20])
def test_the_distribution_is_the_integral_of_the_density(factors):
    power = factors + 1  # s = end·t^(M+1) takes the singularity at 0 away

    def mass_at(t, end):
        return float(product_density(end * t**power, factors=factors)) * end * power * t ** (power - 1)

    for end in np.array([0.01, 0.1, 0.5, 0.9, 1.0]) * product_edge(factors):
        mass = quad(mass_at, 1e-9, 1, args=(end,), limit=200)[0]
        assert float(product_distribution(end, factors=factors)) == pytest.approx(mass, abs=1e-7)


@pytest.mark.parametrize("factors", [1, 2, 5, 20])
def test_the_quantile_is_the_inverse_of_the_distribution(factors):
    share = np.array([1e-6, 0.01, 0.3, 0.5, 0.77, 0.999])
    s = product_quantile(share, factors=factors)
    np.testing.assert_allclose(product_distribution(s, factors=factors), share, rtol=1e-8)
    assert np.all(np.diff(s) > 0)
    np.testing.assert_allclose(product_quantile([0.0, 1.0], factors=factors), [0.0, product_edge(factors)])


@pytest.mark.parametrize("factors", [1, 3, 5])
def test_drawn_products_have_these_quantiles(factors):
    """N = 300: an empirical share moves by less than 2/N, which is .007."""
    rng, n = np.random.default_rng(21), 300
    product = np.eye(n)
    for _ in range(factors):
        product = product @ rng.standard_normal((n, n)) / math.sqrt(n)
    s = np.linalg.svd(product, compute_uv=False)
    share = np.array([0.05, 0.25, 0.5, 0.75, 0.95])
    got = np.mean(s[:, None] <= product_quantile(share, factors=factors), axis=0)
    np.testing.assert_allclose(got, share, atol=0.01)


@pytest.mark.parametrize(("factors", "within"), [(1, 0.15), (2, 0.15), (3, 0.2), (5, 0.2)])
def test_drawn_products_have_this_condition(factors, within):
    """600 products of width 64: standard error .05 to .1; a factor more would move it by 3."""
    rng, n, draws = np.random.default_rng(22), 64, 600
    product = np.eye(n)
    for _ in range(factors):
        product = product @ (rng.standard_normal((draws, n, n)) / math.sqrt(n))
    s = np.linalg.svd(product, compute_uv=False)
    logs = np.log(s[:, 0] / s[:, -1])
    assert logs.mean() == pytest.approx(
        product_log_condition(n, factors=factors), abs=within + 3 * logs.std() / 600**0.5
    )


def test_one_factor_has_the_constant_of_edelman():
    assert product_log_condition(10**7) == pytest.approx(math.log(10**7) + 1.537, abs=1e-6)


def test_values_outside_are_zero_one_or_nan():
    got = product_distribution([-1.0, 0.0, 5.0, math.nan], factors=2)
    np.testing.assert_array_equal(got, [0.0, 0.0, 1.0, math.nan])


def test_impossible_questions_are_refused():
    with pytest.raises(AssumptionError, match=r"shares in \[0, 1\]"):
        product_quantile(1.2, factors=2)
    with pytest.raises(AssumptionError, match="factors=0"):
        product_distribution(1.0, factors=0)
    with pytest.raises(AssumptionError, match="n=1"):
        product_log_condition(1)
