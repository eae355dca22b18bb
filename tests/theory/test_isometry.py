"""Isometry with at least as many samples as features: identities, the exact drift, bounds and their tightness."""

import math

import numpy as np
import pytest
from tests.theory.dense import forward, gap, haar, scales, spectrum

from leadline._core.errors import AssumptionError, UsageError
from leadline.theory import (
    isometry_applies,
    isometry_factor_bound,
    isometry_gain,
    isometry_gain_bound,
    isometry_gap_bound,
    isometry_gap_drift,
    isometry_gap_drift_bound,
    isometry_gap_layers,
    isometry_gap_rate,
    spectrum_gap,
)


def _drawn(seed: int, d: int, draws: int) -> tuple[np.ndarray, np.ndarray]:
    """A Gaussian batch with normalised features, and the squared feature norms behind Haar weights, mean 1."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((d, d))
    x /= np.linalg.norm(x, axis=0)
    values = spectrum(x)
    norms = np.stack([np.square(haar(rng, d)) @ values for _ in range(draws)])
    return values, norms


def _near_isometry(d: int, rng: np.random.Generator) -> np.ndarray:
    """The input of the source's figure 1."""
    return 0.995 * np.eye(d) + 0.005 * np.outer(rng.random(d), rng.random(d))


@pytest.mark.parametrize(("n", "d"), [(3, 3), (10, 10), (40, 40), (60, 40)])
def test_one_normalisation_lowers_the_gap_by_the_identity(n, d):
    x = np.random.default_rng(n + d).standard_normal((n, d)) * np.linspace(0.5, 2, d)
    assert gap(x) - gap(x / scales(x)) == pytest.approx(isometry_gain(x), rel=1e-9)


def test_the_identity_is_false_with_fewer_samples_and_refused():
    x = np.random.default_rng(1).standard_normal((5, 8)) * np.linspace(0.5, 2, 8)
    norms = np.square(np.linalg.norm(x, axis=0))
    assert abs(gap(x) - gap(x / scales(x)) - (math.log(norms.mean()) - np.log(norms).mean())) > 0.1
    with pytest.raises(AssumptionError, match=r"shape \(5, 8\) of rank 5"):
        isometry_gain(x)
    with pytest.raises(AssumptionError, match="of rank 1"):
        isometry_gain_bound(np.ones((4, 3)))


def test_lemma_2_bounds_the_gain_behind_orthogonal_weights_and_is_a_quarter_of_it_for_nearly_equal_norms():
    rng = np.random.default_rng(2)
    for d in (3, 10, 40):
        for _ in range(30):
            y = rng.standard_normal((d, d)) @ haar(rng, d)
            assert isometry_gain_bound(y) <= isometry_gain(y) + 1e-12
    nearly = haar(rng, 40) * (1 + 0.01 * rng.standard_normal(40))
    assert isometry_gain_bound(nearly) / isometry_gain(nearly) == pytest.approx(0.5, rel=0.02)


@pytest.mark.parametrize(("d", "ratio"), [(5, 1.289), (20, 1.0475)])
def test_theorem_3_bounds_the_mean_factor_of_isometry(d, ratio):
    """The ratio seen in the literature's check; the bound's excess over 1 is about an eighth and a fortieth of it."""
    values, norms = _drawn(3, d, 4000)
    factors = np.exp(-np.log(norms).mean(1))
    error = factors.std() / math.sqrt(4000)
    bound = isometry_factor_bound(values)
    assert 1 + (ratio - 1) / 100 < bound < factors.mean() - 4 * error
    assert isometry_factor_bound([2.0, 2.0, 2.0]) == 1.0


@pytest.mark.parametrize("d", [3, 5, 20, 60])
def test_the_drift_integral_is_the_mean_over_haar_weights(d):
    values, norms = _drawn(4, d, 3000 if d < 60 else 1000)
    logs = np.log(norms).mean(1)
    error = logs.std() / math.sqrt(len(logs))
    drift = isometry_gap_drift(values)
    assert drift == pytest.approx(logs.mean(), abs=4 * error)
    assert error < 0.03 * abs(drift)  # so that an error of 15 % would show
    assert drift <= isometry_gap_drift_bound(values) <= isometry_gap_drift_bound(values, form="loose") < 0


@pytest.mark.parametrize("d", [2, 10, 100])
def test_near_isometry_the_drift_is_attained_by_the_sharp_bound_and_2d_times_the_loose_one(d):
    values = 1 + 1e-4 * np.linspace(-1, 1, d)
    drift = isometry_gap_drift(values)
    assert isometry_gap_drift_bound(values) == pytest.approx(drift, rel=1e-3)
    assert isometry_gap_drift_bound(values, form="loose") == pytest.approx(drift / (2 * d), rel=1e-3)
    assert drift / spectrum_gap(values) == pytest.approx(-2 / (d + 2), rel=1e-3)


def test_the_sharp_constant_of_depth_bounds_the_drift_of_every_spectrum_and_some_nearly_attain_it():
    rng, ratios = np.random.default_rng(5), []
    for _ in range(400):
        d = int(rng.integers(2, 33))
        values = rng.gamma(10 ** rng.uniform(-0.7, 3), size=d) + 1e-9
        size = spectrum_gap(values)
        ratios.append(-isometry_gap_drift(values) * isometry_gap_layers(size, d=d) / size)
        assert isometry_gap_layers(size, d=d) < isometry_gap_layers(size, d=d, form="loose")
    assert 1 <= min(ratios) < 1.1


def test_the_form_of_the_source_holds_with_the_constant_2():
    for d in (2, 10, 100):
        for size in (0.0, 0.1, 20.0):
            assert isometry_gap_layers(size, d=d, form="loose") <= 2 * d**2 * (1 + d * size)


@pytest.mark.parametrize("d", [50, 100])
def test_the_figure_s_input_decays_at_the_sharp_rate_and_below_the_bound(d):
    """Four draws; the bound's slope is -.030 and -.011 where the truth is -.039 and -.020."""
    rng, depth = np.random.default_rng(6), 100
    x = _near_isometry(d, rng)
    paths = np.array([[gap(layer[0]) for layer in forward(x, depth, rng)[:-1]] for _ in range(4)])
    mean = np.log(paths.mean(0))
    slope = np.polyfit(np.arange(5, depth), mean[5:], 1)[0]
    assert slope == pytest.approx(isometry_gap_rate(d), rel=0.06)
    bounds = np.log([isometry_gap_bound(gap(x), d=d, layers=k) for k in range(depth)])
    assert (mean <= bounds + 1e-9).all()
    assert 0.5 < bounds[-1] - mean[-1] < 1.2  # nats
    assert (np.diff(paths, axis=1) <= 1e-12).all()


@pytest.mark.parametrize("alpha", [0.5, 0.2])
def test_fractional_norms_decay_at_their_sharp_rate_and_below_their_bound(alpha):
    d, depth, rng = 10, 40, np.random.default_rng(7)
    x = _near_isometry(d, rng)
    paths = []
    for _ in range(60):
        layers = forward(x, depth, rng, alpha=alpha)
        paths.append([gap(layer[0]) for layer in layers[:-1]])
    paths = np.array(paths)
    assert (np.diff(paths, axis=1) <= 1e-12).all()  # the gap never rises, in any draw
    mean = np.log(paths.mean(0))
    slope = (mean[-1] - mean[0]) / (depth - 1)
    assert slope == pytest.approx(isometry_gap_rate(d, alpha=alpha), rel=0.08)
    bound = math.log(isometry_gap_bound(gap(x), d=d, layers=depth - 1, alpha=alpha))
    assert mean[-1] < bound < mean[0] + 0.4 * (mean[-1] - mean[0])


def test_a_nearly_collapsed_batch_stays_below_the_bounds_where_they_say_something():
    d, depth, rng = 6, 600, np.random.default_rng(8)
    x = np.outer(rng.standard_normal(d), rng.standard_normal(d)) + 0.1 * rng.standard_normal((d, d))
    size = gap(x)
    mean = np.mean([[gap(layer[0]) for layer in forward(x, depth, rng)[:-1]] for _ in range(8)], axis=0)
    bounds = np.array([isometry_gap_bound(size, d=d, layers=k) for k in range(depth)])
    loose = isometry_gap_bound(size, d=d, layers=depth - 1, form="loose")
    assert (mean <= bounds + 1e-12).all()
    assert bounds[-1] < 0.4 * size and bounds[-1] < loose < 0.9 * size


def test_some_orthogonal_weights_reach_isometry_in_one_layer():
    x = np.random.default_rng(9).standard_normal((12, 12))
    y = x @ np.linalg.svd(x)[2].T
    assert gap(y / scales(y)) < 1e-9
    assert isometry_gain(y) == pytest.approx(gap(x), rel=1e-9)


def test_degenerate_batches_have_no_bound():
    assert spectrum_gap([1.0, 0.0]) == math.inf
    assert isometry_gap_bound(math.inf, d=4, layers=10) == math.inf
    assert not isometry_applies(np.full((3, 3), np.nan))
    with pytest.raises(AssumptionError, match="eigenvalue 0"):
        isometry_gap_drift([1.0, 0.0])
    with pytest.raises(AssumptionError, match="finite eigenvalues"):
        spectrum_gap([1.0, -1.0])
    with pytest.raises(AssumptionError, match="layers >= 0"):
        isometry_gap_bound(1.0, d=4, layers=-1)
    with pytest.raises(AssumptionError, match="alpha in"):
        isometry_gap_rate(4, alpha=2.0)
    with pytest.raises(UsageError, match="form"):
        isometry_gap_layers(1.0, d=4, form="medium")
