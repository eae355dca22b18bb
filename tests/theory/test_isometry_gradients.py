"""Gradients behind enough samples and Haar weights: certificate, explicit bound, and what no layer changes."""

import math

import mpmath
import numpy as np
import pytest
from tests.theory.dense import backward, forward, gap, haar, scales, spectrum

from leadline._core.errors import AssumptionError
from leadline.theory import (
    extreme_eigenvalues,
    gradient_at_isometry,
    gradient_certificate,
    gradient_floor,
    gradient_growth_bound,
    preserved_gradient,
    spectrum_gap,
)


def _gradients(layers: list, grad: np.ndarray, alpha: float = 1.0) -> tuple[list, list]:
    """Gradients of the representations (first to last) and log-norms of those of the weights."""
    at_x, weights = [grad], []
    for x, w, y in reversed(layers[:-1]):
        delta = backward(at_x[0], y, alpha)
        weights.insert(0, math.log(np.linalg.norm(delta.T @ x)))
        at_x.insert(0, delta @ w)
    return at_x, weights


@pytest.mark.parametrize("d", [2, 5, 40])
def test_the_extreme_eigenvalues_are_attained_and_bound_every_spectrum(d):
    for lowest in (0.9, 0.3, 1e-6):
        values = np.full(d, (d - lowest) / (d - 1))
        values[0] = lowest
        assert extreme_eigenvalues(spectrum_gap(values), d=d)[0] == pytest.approx(lowest, rel=1e-9)
    for highest in (1.1, 1.9, 0.99 * d):
        values = np.full(d, (d - highest) / (d - 1))
        values[0] = highest
        assert extreme_eigenvalues(spectrum_gap(values), d=d)[1] == pytest.approx(highest, rel=1e-7)
    rng = np.random.default_rng(d)
    for _ in range(50):
        values = rng.gamma(rng.uniform(0.3, 5), size=d)
        values /= values.mean()
        low, high = extreme_eigenvalues(spectrum_gap(values), d=d)
        x = d * spectrum_gap(values)
        assert low <= values.min() * (1 + 1e-9) and values.max() <= high * (1 + 1e-9)
        assert -math.log(low) <= x + min(1, math.sqrt(2 * x)) + 1e-9


@pytest.mark.parametrize(("n", "d", "alpha"), [(12, 12, 1.0), (30, 12, 1.0), (12, 12, 0.3), (6, 12, 1.0)])
def test_the_certificate_bounds_every_weight_s_gradient_in_every_draw(n, d, alpha):
    for seed in range(10):
        rng = np.random.default_rng(seed)
        layers = forward(rng.standard_normal((n, d)), 30, rng, alpha=alpha)
        grad = rng.standard_normal((n, d))
        _, weights = _gradients(layers, grad, alpha)
        for k, (x, _, _) in enumerate(layers[:-1]):
            norms = [scales(y, alpha) for _, _, y in layers[k:-1]]
            bound = gradient_certificate(norms, input_norm=math.sqrt(spectrum(x).max()))
            assert weights[k] - math.log(np.linalg.norm(grad)) <= bound + 1e-12


def test_the_certificate_takes_other_weights_by_their_norm():
    rng = np.random.default_rng(3)
    layers = forward(rng.standard_normal((12, 12)), 6, rng, weights="gaussian")
    grad = rng.standard_normal((12, 12))
    _, weights = _gradients(layers, grad)
    sizes = [float(np.linalg.norm(w, 2)) for _, w, _ in layers[1:-1]]
    args = [scales(y) for _, _, y in layers[:-1]], math.sqrt(spectrum(layers[0][0]).max())
    bound = gradient_certificate(args[0], input_norm=args[1], weight_norms=sizes)
    assert weights[0] - math.log(np.linalg.norm(grad)) <= bound
    assert bound == pytest.approx(gradient_certificate(args[0], input_norm=args[1]) + np.log(sizes).sum())


def test_the_certificate_is_attained_at_isometry():
    """An antisymmetric gradient at the last of 50 isometric layers keeps its norm; the certificate is 0."""
    rng, d = np.random.default_rng(4), 12
    layers = forward(math.sqrt(d) * haar(rng, d), 50, rng)
    m = rng.standard_normal((d, d))
    grad = (m - m.T) @ layers[-1]
    _, weights = _gradients(layers, grad)
    # Features have the mean square 1, so that σ_max is √d where the source has 1.
    bound = gradient_certificate([scales(y) for _, _, y in layers[:-1]], input_norm=math.sqrt(d)) - 0.5 * math.log(d)
    assert weights[0] - 0.5 * math.log(d) - math.log(np.linalg.norm(grad)) == pytest.approx(0.0, abs=1e-9)
    assert bound == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize(("alpha", "within"), [(1.0, 6), (0.3, 9)])
def test_the_explicit_bound_holds_and_follows_the_path_s_own_sum(alpha, within):
    """Small gap, d = 20: the true growth is near 0, the sum over the path's smallest eigenvalues a nat, the bound 4.

    With alpha = .3 the gap falls 1 + (1 - alpha) times as fast as the bound knows.
    """
    rng, d, depth, growths, sums = np.random.default_rng(5), 20, 150, [], []
    x = math.sqrt(d) * (np.eye(d) + 0.01 * rng.standard_normal((d, d)))
    for _ in range(6):
        layers = forward(x, depth, rng, alpha=alpha)
        grad = rng.standard_normal((d, d))
        growths.append(_gradients(layers, grad, alpha)[1][0] - 0.5 * math.log(d) - math.log(np.linalg.norm(grad)))
        spectra = [spectrum(layer[0]) for layer in layers[:-1]]
        sums.append(sum(-alpha / 2 * math.log(values.min() / values.mean()) for values in spectra))
    bound = gradient_growth_bound(gap(x), d=d, alpha=alpha)
    assert gradient_growth_bound(gap(x), d=d, layers=depth, alpha=alpha) <= bound
    assert max(growths) < max(sums) < bound < within * float(np.mean(sums))


def test_no_depth_exceeds_the_closed_form_of_all_depths():
    for size, d in ((1e-8, 50), (1e-3, 30), (2.0, 5)):
        x = d * size
        k = (d + 2) * (0.5 + x + math.sqrt(x * x + 2 * x))
        top = k * (x / 2 + math.sqrt(2 * x)) + 0.5 * math.log(extreme_eigenvalues(size, d=d)[1])
        assert gradient_growth_bound(size, d=d, layers=100) < gradient_growth_bound(size, d=d) <= top
        assert top < 3 * gradient_growth_bound(size, d=d)


def test_the_sum_of_the_bound_is_its_terms():
    size, d, depth = 0.3, 5, 400
    k = 7 * (0.5 + 1.5 + math.sqrt(1.5**2 + 3.0))
    terms = [1.5 * (1 - 1 / k) ** i for i in range(depth)]
    expected = 0.5 * sum(x + min(1.0, math.sqrt(2 * x)) for x in terms)
    expected += 0.5 * math.log(extreme_eigenvalues(size, d=d)[1])
    assert gradient_growth_bound(size, d=d, layers=depth) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("weights", ["haar", "gaussian"])
@pytest.mark.parametrize(("n", "d", "alpha"), [(8, 8, 1.0), (20, 8, 1.0), (5, 12, 1.0), (5, 12, 0.3)])
def test_the_antisymmetric_part_is_the_same_at_every_layer_and_keeps_gradients_from_vanishing(weights, n, d, alpha):
    rng = np.random.default_rng(6)
    layers = forward(rng.standard_normal((n, d)), 25, rng, weights=weights, alpha=alpha)
    grad = rng.standard_normal((n, d))
    at_x, _ = _gradients(layers, grad, alpha)
    kept = preserved_gradient(layers[-1], grad)
    for (x, _, _), back in zip(layers[:-1], at_x, strict=False):
        np.testing.assert_allclose(preserved_gradient(x, back), kept, atol=1e-9 * np.abs(kept).max())
        assert gradient_floor(x, kept) <= np.linalg.norm(back) * (1 + 1e-9)


def test_the_symmetric_part_does_change():
    rng = np.random.default_rng(7)
    layers = forward(rng.standard_normal((8, 8)), 5, rng)
    at_x, _ = _gradients(layers, rng.standard_normal((8, 8)))
    first, last = at_x[0] @ layers[0][0].T, at_x[-1] @ layers[-1].T
    assert np.linalg.norm(first + first.T) < 0.9 * np.linalg.norm(last + last.T)


@pytest.mark.parametrize(("n", "d"), [(4, 9), (9, 4), (6, 6)])
def test_the_floor_is_attained(n, d):
    """The minimiser: in the eigenbasis the preserved part plus what is best of the symmetric one."""
    rng = np.random.default_rng(8)
    x, any_grad = rng.standard_normal((n, d)), rng.standard_normal((n, d))
    kept = preserved_gradient(x, any_grad)
    rows, cols = np.triu_indices(n)
    basis = np.zeros((len(rows), n, n))
    basis[np.arange(len(rows)), rows, cols] = basis[np.arange(len(rows)), cols, rows] = 1.0
    # Directions of the gradient that leave the preserved part as it is: the kernel of g -> antisym(g xᵀ).
    kernel = np.linalg.svd(
        np.stack([preserved_gradient(x, unit.reshape(n, d)).ravel() for unit in np.eye(n * d)], axis=1)
    )[2][n * (n - 1) // 2 - max(n - d, 0) * (max(n - d, 0) - 1) // 2 :]
    flat = any_grad.ravel() - kernel.T @ (kernel @ any_grad.ravel())
    assert gradient_floor(x, kept) == pytest.approx(float(np.linalg.norm(flat)), rel=1e-8)


@pytest.mark.parametrize(("n", "d"), [(30, 30), (45, 30)])
def test_at_isometry_every_draw_ends_at_the_limit(n, d):
    rng = np.random.default_rng(9)
    layers = forward(math.sqrt(n) * haar(rng, n)[:, :d], 600, rng)
    grad = rng.standard_normal((n, d))
    at_x, _ = _gradients(layers, grad)
    limit = gradient_at_isometry(layers[-1], grad)
    assert np.linalg.norm(at_x[0]) == pytest.approx(limit, rel=1e-9)
    assert limit < 0.95 * np.linalg.norm(grad)


@pytest.mark.parametrize("layers", [1, 3, 10])
def test_on_the_way_the_mean_square_is_the_stated_one(layers):
    """d = 4, a symmetric gradient of 1,500 networks: 4 standard errors, below 10 %."""
    rng, d, draws = np.random.default_rng(10), 4, 1500
    x = 2.0 * haar(rng, d)
    grad = x @ np.array([[1.0, 2, 0, 1], [2, -1, 1, 0], [0, 1, 3, -2], [1, 0, -2, 0]])
    squares = []
    for _ in range(draws):
        back = grad
        at = x
        for _ in range(layers):
            w = haar(rng, d)
            back = backward(back, at) @ w  # the pre-activation that normalises to `at` is `at` itself
            at = at @ w
        squares.append(np.square(back).sum())
    error = np.std(squares) / math.sqrt(draws)
    expected = gradient_at_isometry(x, grad, layers=layers) ** 2
    assert np.mean(squares) == pytest.approx(expected, abs=4 * error + 1e-9)
    assert error < 0.03 * expected
    assert layers == 1 or expected < 0.8 * gradient_at_isometry(x, grad, layers=1) ** 2


def test_what_does_not_fit_is_refused():
    with pytest.raises(AssumptionError, match="one layer at least"):
        gradient_certificate([], input_norm=1.0)
    with pytest.raises(AssumptionError, match="2 layers have 1 later weights, got 2"):
        gradient_certificate([[1.0], [1.0]], input_norm=1.0, weight_norms=[1.0, 1.0])
    assert gradient_certificate([[0.0, 1.0]], input_norm=1.0) == math.inf
    assert gradient_growth_bound(math.inf, d=4) == math.inf
    with pytest.raises(AssumptionError, match="alpha in"):
        gradient_growth_bound(1.0, d=4, alpha=0.0)
    with pytest.raises(AssumptionError, match="n >= d"):
        gradient_at_isometry(np.eye(4)[:3], np.zeros((3, 4)))
    with pytest.raises(AssumptionError, match="orthogonal"):
        gradient_at_isometry(np.triu(np.ones((3, 3))), np.zeros((3, 3)))
    with pytest.raises(AssumptionError, match=r"\(3, 3\) and \(3, 2\)"):
        preserved_gradient(np.eye(3), np.zeros((3, 2)))
    with pytest.raises(AssumptionError, match="gap of at least 0"):
        extreme_eigenvalues(-1.0, d=4)


@pytest.mark.parametrize(
    ("gap", "d"), [(1e-30, 3), (1e-16, 1000), (1e-14, 50), (1e-6, 2), (1e-3, 50), (1.0, 2), (3.0, 50), (13.0, 50)]
)
def test_the_extreme_eigenvalues_keep_their_digits_at_every_gap(gap, d):
    def root(inside: mpmath.mpf, outside: mpmath.mpf) -> mpmath.mpf:
        for _ in range(1200):
            middle = (inside + outside) / 2
            left = -mpmath.log(middle) - (d - 1) * mpmath.log((d - middle) / (d - 1)) - d * mpmath.mpf(gap)
            inside, outside = (middle, outside) if left < 0 else (inside, middle)
        return inside

    with mpmath.workdps(60):
        one = mpmath.mpf(1)
        expected = root(one, mpmath.exp(-d * gap - 2)), root(one, d - mpmath.mpf(10) ** -50)
        for got, truth in zip(extreme_eigenvalues(gap, d=d), expected, strict=True):
            assert abs(got - truth) <= 1e-12 * truth
            assert abs(got - truth) <= 1e-12 * abs(truth - 1) + 2.3e-16  # beside the rounding of a number near 1
    assert extreme_eigenvalues(math.inf, d=d) == (0.0, d)
