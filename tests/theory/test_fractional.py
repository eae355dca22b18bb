"""Gradients behind fractional batch normalisation: dense networks, limits, and what c/√depth does."""

import math

import numpy as np
import pytest
from tests.theory.dense import backward, forward, gap, growth, haar, scales, weight

from leadline._core.errors import AssumptionError, UsageError
from leadline.theory import (
    batch_norm_gradient_rate,
    fractional_gradient_applies,
    fractional_gradient_rate,
    fractional_law,
    isometry_gap_bound,
    orthogonal_identity_rate,
)


@pytest.mark.parametrize(
    ("n", "d", "alpha", "depth"),
    [(4, 40, 1.0, 400), (4, 40, 0.5, 600), (10, 20, 1.0, 600), (6, 12, 0.5, 1500)],
)
def test_dense_haar_networks_grow_by_the_law(n, d, alpha, depth):
    measured, error = growth(n, d, alpha=alpha, weights="haar", depth=depth, seed=1, networks=64)
    assert error < 0.025 * measured
    assert fractional_gradient_rate(n=n, d=d, alpha=alpha) == pytest.approx(measured, rel=0.15)


@pytest.mark.slow
@pytest.mark.parametrize(("n", "d", "networks"), [(4, 40, 32), (6, 12, 600)])
@pytest.mark.parametrize(("alpha", "depth"), [(0.2, 2000), (0.1, 4000)])
def test_dense_haar_networks_grow_by_the_law_at_small_exponents(n, d, networks, alpha, depth):
    """The growth is α² of that of batch normalisation, so that it takes many layers to see it."""
    measured, error = growth(n, d, alpha=alpha, weights="haar", depth=depth, seed=1, networks=networks)
    assert error < 0.03 * measured
    assert fractional_gradient_rate(n=n, d=d, alpha=alpha) == pytest.approx(measured, rel=0.15)


@pytest.mark.parametrize("alpha", [1.0, 0.5, 0.2, 0.1])
def test_as_many_samples_as_features_do_not_grow_with_haar_weights(alpha):
    measured, _ = growth(20, 20, alpha=alpha, weights="haar", depth=2000, seed=2, networks=2)
    assert abs(measured) < 1e-4
    assert fractional_gradient_rate(n=20, d=20, alpha=alpha) == 0.0


@pytest.mark.parametrize(("alpha", "depth"), [(1.0, 250), (0.5, 350)])
def test_a_repeated_batch_has_the_weight_gradients_of_its_different_samples_and_larger_ones_of_samples(alpha, depth):
    """Five samples four times each at d = 20: the rank is 5, though n = d. What tells copies apart cancels in weights,

    up to rounding: in deeper networks it would drown them.
    """
    r, d, of_weights, of_samples = 5, 20, [], []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        layers = forward(np.repeat(rng.standard_normal((r, d)), 4, axis=0), depth, rng, alpha=alpha)
        delta, at_weights, at_samples = rng.standard_normal((4 * r, d)), [], []
        for x, w, y in reversed(layers[:-1]):
            inner = backward(delta, y, alpha)
            delta = inner @ w
            at_weights.append(math.log(np.linalg.norm(inner.T @ x)))
            at_samples.append(math.log(np.linalg.norm(delta)))
        of_weights.append(np.diff(at_weights[50:-30]).mean())
        of_samples.append(np.diff(at_samples[50:-30]).mean())
    rate = fractional_gradient_rate(n=r, d=d, alpha=alpha)
    assert np.mean(of_weights) == pytest.approx(rate, rel=0.15)
    assert np.mean(of_samples) == pytest.approx(alpha / r, rel=0.1)


@pytest.mark.slow
@pytest.mark.parametrize(("n", "alpha", "d"), [(4, 1.0, 256), (4, 0.5, 512), (8, 1.0, 512)])
def test_dense_wide_gaussian_networks_grow_by_the_law(n, alpha, d):
    measured, error = growth(n, d, alpha=alpha, weights="gaussian", depth=200, seed=3, networks=8)
    assert error < 0.05 * measured
    assert fractional_gradient_rate(n=n, d=d, alpha=alpha, weights="gaussian") == pytest.approx(measured, rel=0.15)


@pytest.mark.parametrize(("n", "d", "alpha"), [(10, 20, 0.5), (4, 40, 0.2)])
def test_narrow_gaussian_networks_do_not_grow_and_are_refused(n, d, alpha):
    """What is left is the part of the gradient that no layer changes: at a twentieth of the law for wide ones."""
    measured, error = growth(n, d, alpha=alpha, weights="gaussian", depth=4000, seed=4)
    wide = 0.5 * math.log1p(alpha**2 / (n - 2 * alpha))
    assert abs(measured) < 4 * error + 0.05 * wide < 0.5 * wide
    assert not fractional_gradient_applies(n=n, d=d, alpha=alpha, weights="gaussian")
    with pytest.raises(AssumptionError, match="alpha\\^2 d >= 8 n\\^2"):
        fractional_gradient_rate(n=n, d=d, alpha=alpha, weights="gaussian")


def test_batch_normalisation_has_its_known_rates():
    for n, d in ((10, 100), (32, 256), (50, 100)):
        assert fractional_gradient_rate(n=n, d=d) == pytest.approx(orthogonal_identity_rate(n=n, d=d), rel=1e-12)
    # Subtracting the mean takes one sample: n − 1 here is n there.
    for n in (5, 17):
        got = fractional_gradient_rate(n=n - 1, d=10**6, weights="gaussian")
        assert got == pytest.approx(batch_norm_gradient_rate("identity", n=n), rel=1e-9)


@pytest.mark.parametrize("n", [5, 20])
@pytest.mark.parametrize("alpha", [1.0, 0.3])
def test_infinite_width_is_exact_for_independent_gradients(n, alpha):
    """The squared norm of an isotropic gradient behind one wide layer, over the scale that the layer loses."""
    rng, d = np.random.default_rng(5), 200_000
    y = rng.standard_normal((n, d))
    delta = rng.standard_normal((n, d))
    z = y / scales(y, alpha)
    back = backward(delta, y, alpha)
    change = np.square(back).sum() / np.square(delta).sum() * np.square(y).sum() / np.square(z).sum()
    # The next layer finds the features at the scale of z, of mean square below 1, and divides by that.
    change *= n * d / np.square(y).sum()
    rate = fractional_gradient_rate(n=n, d=10**9, alpha=alpha, weights="gaussian")
    assert 0.5 * math.log(change) == pytest.approx(rate, abs=0.004 * alpha)


def test_the_law_goes_like_the_square_of_the_exponent_and_the_gap_of_the_inverse_sizes():
    for n, d in ((20, 40), (100, 1000)):
        for alpha in (0.1, 0.01):
            leading = alpha**2 / 2 * (1 / n - 1 / d)
            assert fractional_gradient_rate(n=n, d=d, alpha=alpha) == pytest.approx(leading, rel=0.02)


def test_enough_samples_have_a_theorem_that_dense_networks_obey():
    rng, d, c = np.random.default_rng(6), 12, 2.0
    start = math.sqrt(d) * (np.eye(d) + 0.05 * rng.standard_normal((d, d)))
    growths, gaps, laws = [], [], []
    for depth in (16, 64, 256, 1024):
        law = fractional_law(c, depth=depth, n=d, d=d, gap=gap(start))
        layers = forward(start, depth, rng, alpha=law.alpha)
        grad = delta = rng.standard_normal((d, d))
        for _, w, y in reversed(layers[:-1]):
            delta = backward(delta, y, law.alpha) @ w
        growths.append(math.log(np.linalg.norm(delta) / np.linalg.norm(grad)))
        gaps.append(gap(layers[-1]))
        laws.append(law)
    assert {law.status for law in laws} == {"theorem"}
    assert all(grown < law.growth < 40 for grown, law in zip(growths, laws, strict=True))
    assert all(left < law.gap for left, law in zip(gaps, laws, strict=True))
    assert gaps == sorted(gaps, reverse=True) and gaps[-1] < 1e-3 * gaps[0]
    assert [law.gap for law in laws] == sorted([law.gap for law in laws], reverse=True)
    assert isometry_gap_bound(gap(start), d=d, layers=10**6, alpha=c / 10**3) < 1e-6 * gap(start)


def test_few_samples_follow_the_conjecture_at_four_depths():
    """Haar, (n, d) = (5, 20), c = 4: batch normalisation grows by 0.16 a layer, this by 1.2 over any depth."""
    n, d, c = 5, 20, 4.0
    for depth in (64, 256, 1024):
        law = fractional_law(c, depth=depth, n=n, d=d)
        totals, gaps = [], []
        for seed in range(4):
            rng = np.random.default_rng([depth, seed])
            layers = forward(math.sqrt(d) * haar(rng, d)[:n], depth, rng, alpha=law.alpha)
            grad = delta = rng.standard_normal((n, d))
            for _, w, y in reversed(layers[:-1]):
                delta = backward(delta, y, law.alpha) @ w
            totals.append(math.log(np.linalg.norm(delta) / np.linalg.norm(grad)))
            gaps += [gap(layer[0]) for layer in layers[depth // 2 : -1]]
        assert law.status == "conjecture"
        assert np.mean(totals) == pytest.approx(law.growth, abs=0.35)
        assert np.mean(gaps) == pytest.approx(law.gap, rel=0.25)
        assert fractional_gradient_rate(n=n, d=d) * depth > 8 * law.growth or depth == 64


def test_gaussian_weights_make_the_statement_false_at_great_depth():
    """n = 8, d = 40, c = 3: kept apart up to depth 47 = (4cd/70)²; at 1600 (alpha = .075) samples have collapsed."""
    n, d, c = 8, 40, 3.0
    assert fractional_law(c, depth=40, n=n, d=d, weights="gaussian").status == "conjecture"
    law = fractional_law(c, depth=1600, n=n, d=d, weights="gaussian")
    assert law.status == "false" and law.gap == math.inf and law.growth < c**2 / (2 * n) * 1.2
    rng = np.random.default_rng(7)
    x = math.sqrt(d) * haar(rng, d)[:n]
    for _ in range(1600):
        y = x @ weight(rng, d, "gaussian").T
        x = y / scales(y, law.alpha)
    sigma = np.linalg.svd(x, compute_uv=False)
    assert sigma[-1] < 1e-3 * sigma[0]


def test_what_the_law_does_not_cover_is_refused():
    with pytest.raises(AssumptionError, match="n=2"):
        fractional_gradient_rate(n=2, d=10)
    with pytest.raises(AssumptionError, match="c > 0"):
        fractional_law(0.0, depth=10, n=4, d=8)
    with pytest.raises(AssumptionError, match="n=9 and d=8"):
        fractional_law(1.0, depth=10, n=9, d=8, weights="gaussian")
    with pytest.raises(UsageError, match="weights"):
        fractional_law(1.0, depth=10, n=4, d=8, weights="uniform")
