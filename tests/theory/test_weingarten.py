"""Moments of Haar orthogonal matrices, symbolically: those that the laws of theory rest on, and drawn matrices."""

import itertools
import math
import sys
from fractions import Fraction

import numpy as np
import pytest

from leadline._core.errors import AssumptionError, MissingExtraError
from leadline.theory import haar_moment


@pytest.fixture
def sympy():
    pytest.importorskip("haarpy", reason="haarpy (extra `symbolic`) is not installed")
    return pytest.importorskip("sympy")


def test_the_moments_of_one_row_are_those_of_the_sphere(sympy):
    """E Π u_i^(2k_i) = Π (2k_i − 1)!! / (d (d+2) ⋯): the normalised rows behind batch normalisation."""
    d = sympy.Symbol("d")
    for powers in ((1,), (2,), (1, 1), (3,), (2, 1), (1, 1, 1)):
        entries = [(0, column) for column, power in enumerate(powers) for _ in range(2 * power)]
        odd = math.prod(math.prod(range(1, 2 * power, 2)) for power in powers)
        expected = sympy.Integer(odd) / sympy.prod([d + 2 * k for k in range(sum(powers))])
        assert sympy.simplify(haar_moment(entries, d=d) - expected) == 0


def test_the_mean_square_of_a_rotated_row_norm_has_its_closed_form(sympy):
    """E (uᵀΛu)² = ((Σλ)² + 2Σλ²)/(d(d+2)): the drift −S/(d(d+2)) of the isometry gap rests on it."""
    d = sympy.Symbol("d")
    size = 3
    spectrum = sympy.symbols(f"l0:{size}")
    pairs = itertools.product(range(size), repeat=2)
    mean = sum(spectrum[i] * spectrum[j] * haar_moment([(0, i)] * 2 + [(0, j)] * 2, d=d) for i, j in pairs)
    expected = (sum(spectrum) ** 2 + 2 * sum(each**2 for each in spectrum)) / (d * (d + 2))
    assert sympy.simplify(mean - expected) == 0


def test_the_contraction_of_gram_matrices_near_isometry_is_n_over_n_plus_two(sympy):
    """First order of E s_i²u_i²/Σ s_k²u_k² at s² = 1 + ε, u uniform on the sphere: how plateaus are approached."""
    n = sympy.Symbol("n")
    fourth, mixed = haar_moment([(0, 0)] * 4, d=n), haar_moment([(0, 0)] * 2 + [(0, 1)] * 2, d=n)
    # With Σε = 0: E u_i²(1 + ε_i)(1 − Σ ε_k u_k²) → ε_i (E u_i² − E u_i⁴ + E u_i²u_k²).
    factor = n * (haar_moment([(0, 0)] * 2, d=n) - fourth + mixed)
    assert sympy.simplify(factor - n / (n + 2)) == 0


def test_the_diagonal_takes_its_share_of_a_rotated_symmetric_matrix(sympy):
    """E ‖diag(W A Wᵀ)‖² = 2‖A‖²/(d + 2) for traceless symmetric A: what a layer at isometry takes from a gradient."""
    d = sympy.Symbol("d")
    # A = e_1e_1ᵀ − e_2e_2ᵀ, ‖A‖² = 2: entry i of the diagonal is W_i1² − W_i2².
    fourth, mixed = haar_moment([(0, 0)] * 4, d=d), haar_moment([(0, 0)] * 2 + [(0, 1)] * 2, d=d)
    assert sympy.simplify(d * (2 * fourth - 2 * mixed) - 2 * 2 / (d + 2)) == 0


def test_drawn_matrices_have_the_moments(sympy):
    """100,000 matrices of O(4); five standard errors."""
    rng = np.random.default_rng(51)
    q, r = np.linalg.qr(rng.standard_normal((100_000, 4, 4)))
    o = q * np.sign(np.diagonal(r, axis1=1, axis2=2))[:, None, :]
    for entries in (
        [(0, 0), (0, 0), (1, 1), (1, 1)],
        [(0, 0), (0, 1), (1, 0), (1, 1)],
        [(0, 0), (0, 1), (1, 1), (1, 2), (2, 2), (2, 0)],
        [(0, 0)] * 6,
    ):
        product = np.prod([o[:, i, j] for i, j in entries], axis=0)
        expected = float(haar_moment(entries, d=4))
        assert product.mean() == pytest.approx(expected, abs=5 * product.std() / math.sqrt(100_000))
        assert expected != 0


def test_rows_have_unit_length_and_are_orthogonal_exactly(sympy):
    d = 5
    assert sum(haar_moment([(0, j)] * 2 + [(0, k)] * 2, d=d) for j in range(d) for k in range(d)) == 1
    assert sum(haar_moment([(0, j), (1, j), (0, k), (1, k)], d=d) for j in range(d) for k in range(d)) == 0
    assert haar_moment([(0, 0)] * 3, d=d) == 0 and haar_moment([], d=d) == Fraction(1)


def test_what_does_not_fit_into_the_dimension_is_refused(sympy):
    with pytest.raises(AssumptionError, match="at least 3, got d=2"):
        haar_moment([(0, 2), (0, 2)], d=2)
    with pytest.raises(AssumptionError, match="at least 3, got d=2"):
        haar_moment([(0, 0)] * 6, d=2)
    with pytest.raises(AssumptionError, match="from -1 to 0"):
        haar_moment([(0, -1), (0, 0)], d=2)


def test_without_haarpy_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "haarpy", None)
    with pytest.raises(MissingExtraError, match="symbolic"):
        haar_moment([(0, 0)] * 2, d=3)
