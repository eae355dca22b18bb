"""The stationary law of the rank behind batch normalisation, against dense chains that know nothing of it."""

import math

import numpy as np
import pytest
from scipy.integrate import quad

from leadline._core.errors import AssumptionError
from leadline.theory import (
    batch_norm_rank,
    batch_norm_soft_rank,
    batch_norm_spectrum,
    batch_norm_spectrum_density,
    surviving_samples,
)


def _stationary(n: int, d: int, layers: int, *, every: int = 5, gamma: float = math.inf, seed: int = 0) -> np.ndarray:
    """Eigenvalues of the n × n Gram matrix over their mean, of the second half of a dense chain."""
    rng, seen = np.random.default_rng(seed), []
    h = rng.standard_normal((n, d))
    for layer in range(layers):
        step = h @ rng.standard_normal((d, d))
        h = step if gamma == math.inf else h + gamma * step
        h = h / np.sqrt(np.mean(h**2, axis=0))
        if layer >= layers // 2 and layer % every == 0:
            spectrum = np.linalg.svd(h, compute_uv=False) ** 2
            seen.append(n * spectrum / spectrum.sum())
    return np.array(seen)


def _ratio(spectra: np.ndarray) -> float:
    return float(np.mean(spectra.sum(1) ** 2 / (spectra**2).sum(1)))


@pytest.mark.parametrize(("n", "d", "below"), [(4, 256, 0.01), (8, 256, 0.015), (16, 256, 0.03)])
def test_few_samples_settle_at_the_predicted_ratio(n, d, below):
    """What is missing to n, the prediction itself, is .08, .6 and 3.8: the tolerances resolve it."""
    assert _ratio(_stationary(n, d, 500, every=2)) == pytest.approx(batch_norm_rank(n=n, d=d), rel=below)


@pytest.mark.parametrize(("d", "rel"), [(16, 0.1), (32, 0.08), (64, 0.07)])
def test_as_many_samples_as_features_settle_below_the_limit_by_the_stated_share(d, rel):
    """Means of hundreds of layers, standard error 1 %: the law is approached from below."""
    spectra = _stationary(d, d, 6000)
    assert 1 - rel < _ratio(spectra) / batch_norm_rank(n=d, d=d) < 0.99
    soft = np.mean(np.sum(spectra >= 0.5, axis=1))  # n = d: the mean over the samples is that over the features
    assert 0.86 < soft / batch_norm_soft_rank(n=d, d=d) < 0.98


@pytest.mark.parametrize("gamma", [0.3, 1.0])
def test_a_skip_connection_does_not_move_the_law(gamma):
    assert _ratio(_stationary(32, 32, 6000, gamma=gamma)) == pytest.approx(batch_norm_rank(n=32, d=32), rel=0.09)


@pytest.mark.slow
def test_the_spectrum_is_that_of_marchenko_and_pastur():
    """32 samples in 512 features, 200 layers: shares below five points to .02."""
    n, d = 32, 512
    values = _stationary(n, d, 600, every=3).ravel()
    low, high = batch_norm_spectrum(n=n, d=d)
    for point in (0.3, 0.6, 1.0, 1.5, 2.2):
        share = quad(lambda x: float(batch_norm_spectrum_density(x, n=n, d=d)), low, point)[0]
        assert np.mean(values < point) == pytest.approx(share, abs=0.02)
    assert values.min() > 0.3 * low and values.max() < 1.3 * high


@pytest.mark.slow
@pytest.mark.parametrize(("d", "n"), [(32, 32), (64, 40)])
def test_as_many_samples_stay_independent_as_predicted(d, n):
    """Behind 4,000 layers, directions of more than 1e-6 of the mean: within 1.5 of about 10 and 15."""
    spectra = _stationary(n, d, 8000, every=100)
    assert np.mean(np.sum(spectra > 1e-6, axis=1)) == pytest.approx(surviving_samples(d), abs=1.6)


@pytest.mark.parametrize(("n", "d"), [(2, 50), (16, 256), (200, 100)])
def test_the_density_has_mass_and_mean_one_and_the_second_moment_of_the_ratio(n, d):
    low, high = batch_norm_spectrum(n=n, d=d)

    def moment(power: int) -> float:
        # x = low + (high − low) sin² t takes the roots at both edges away.
        def value(t: float) -> float:
            x = low + (high - low) * math.sin(t) ** 2
            return float(batch_norm_spectrum_density(x, n=n, d=d)) * x**power * (high - low) * math.sin(2 * t)

        return quad(value, 0, math.pi / 2, limit=200)[0]

    assert moment(0) == pytest.approx(1, abs=1e-7) == moment(1)
    kept = min(n, math.sqrt(4 * d + 3) - 1)
    assert kept / moment(2) == pytest.approx(batch_norm_rank(n=n, d=d), rel=1e-7)


@pytest.mark.parametrize("tau", [0.0, 0.2, 0.5, 0.9])
def test_the_soft_rank_is_the_mass_above_the_threshold(tau):
    n = d = 100
    kept, (_, high) = math.sqrt(4 * d + 3) - 1, batch_norm_spectrum(n=n, d=d)
    mass = quad(lambda x: float(batch_norm_spectrum_density(x, n=n, d=d)), tau * kept / d, high, limit=200)[0]
    assert batch_norm_soft_rank(n=n, d=d, tau=tau) == pytest.approx(kept * mass, rel=1e-4)


def test_the_limits_are_the_known_ones():
    assert batch_norm_rank(n=5, d=10**9) == pytest.approx(5, rel=1e-6)
    assert batch_norm_rank(n=10**6, d=10**6) == pytest.approx(1e3, rel=1e-3)
    assert surviving_samples(10**8) == pytest.approx(2e4, rel=1e-3)
    assert batch_norm_rank(n=1, d=1) == 1.0 == batch_norm_soft_rank(n=1, d=5)
    assert math.isnan(batch_norm_spectrum_density(math.nan, n=4, d=9))


def test_impossible_sizes_are_refused():
    for law in (batch_norm_rank, batch_norm_soft_rank, batch_norm_spectrum):
        with pytest.raises(AssumptionError, match="n=0, d=5"):
            law(n=0, d=5)
    with pytest.raises(AssumptionError, match="two samples, got n=1"):
        batch_norm_spectrum_density(1.0, n=1, d=5)
    with pytest.raises(AssumptionError, match="got 1.5"):
        batch_norm_soft_rank(n=4, d=5, tau=1.5)
