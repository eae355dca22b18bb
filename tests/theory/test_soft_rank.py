"""The bounds of the soft rank on spectra that attain them, and the stationary identity on dense chains."""

import math

import numpy as np
import pytest

from leadline._core.errors import AssumptionError
from leadline.theory import delocalisation, soft_rank_bound, squared_norm_drift, stationary_rank_bound


def _ratio(spectrum: np.ndarray) -> float:
    return float(spectrum.sum() ** 2 / (spectrum**2).sum())


@pytest.mark.parametrize("tau", [0.0, 0.1, 0.5, 0.9])
def test_no_spectrum_falls_below_either_bound(tau):
    rng = np.random.default_rng(1)
    for _ in range(500):
        size = int(rng.integers(1, 40))
        spectrum = rng.gamma(rng.uniform(0.02, 3), size=size) + 1e-300
        rank = np.sum(spectrum >= tau * spectrum.mean())
        plain, sharp = (soft_rank_bound(_ratio(spectrum), tau=tau, size=k) for k in (None, size))
        assert plain <= sharp * (1 + 1e-12) and sharp <= rank + 1e-9


@pytest.mark.parametrize(("top", "size"), [(3, 10), (1, 2), (20, 1000)])
def test_spectra_of_two_values_attain_the_sharper_bound(top, size):
    """``top`` equal eigenvalues above and all others just below the threshold: a larger bound would be false."""
    tau = 0.5
    low = tau * (1 - 1e-12)
    spectrum = np.full(size, low)
    spectrum[:top] = (size - (size - top) * low) / top  # so that the mean is 1
    assert np.sum(spectrum >= tau * spectrum.mean()) == top
    assert soft_rank_bound(_ratio(spectrum), tau=tau, size=size) == pytest.approx(top, rel=1e-9)


def test_the_plain_bound_is_attained_among_many_eigenvalues():
    size, top, low = 10**6, 20, 0.5 - 1e-9
    spectrum = np.full(size, low)
    spectrum[:top] = (size - (size - top) * low) / top
    assert soft_rank_bound(_ratio(spectrum)) == pytest.approx(top, rel=1e-4)


def _bn(h: np.ndarray) -> np.ndarray:
    return h / np.sqrt(np.mean(h**2, axis=-2, keepdims=True))


@pytest.mark.parametrize(("n", "d"), [(6, 6), (3, 8), (40, 5)])
@pytest.mark.parametrize("law", ["normal", "rademacher"])
def test_the_drift_is_that_of_one_dense_layer(n, d, law):
    """400,000 pairs of opposite draws at γ = .02; five standard errors and γ² for the next order."""
    rng, gamma, draws = np.random.default_rng(2), 0.02, 400_000 // d
    h = _bn(rng.standard_normal((n, d)) @ np.diag(np.linspace(0.3, 1, d)) @ rng.standard_normal((d, d)))
    moment = h.T @ h / n
    w = rng.standard_normal((draws, d, d)) if law == "normal" else rng.choice([-1.0, 1.0], (draws, d, d))
    change = np.zeros(draws)
    for sign in (1, -1):  # the first order cancels within a pair
        hat = np.eye(d) + sign * gamma * w
        hat = hat @ moment @ hat.transpose(0, 2, 1)
        scale = np.diagonal(hat, axis1=1, axis2=2)
        change += np.sum(hat**2 / (scale[:, :, None] * scale[:, None, :]), axis=(1, 2)) / 2
    change = (change - np.sum(moment**2)) / gamma**2
    error = change.std() / math.sqrt(draws)
    expected = squared_norm_drift(moment)
    assert change.mean() == pytest.approx(expected, abs=5 * error + gamma**2 * 20 * abs(expected))
    assert 5 * error < 0.2 * abs(expected)  # so that a wrong term shows


@pytest.mark.slow
def test_dense_chains_keep_the_stationary_identity_and_the_bound():
    """400 chains of width 8, γ = .03, 2200 layers behind 800: the identity to 2 %, and a bound that is not idle."""
    rng, d, gamma, chains = np.random.default_rng(3), 8, 0.03, 400
    h, seen, ratios = _bn(rng.standard_normal((chains, d, d))), [], []
    for layer in range(3000):
        h = _bn(h + gamma * h @ rng.standard_normal((chains, d, d)))
        if layer >= 800 and layer % 50 == 0:
            seen.append(h.transpose(0, 2, 1) @ h / d)
            ratios.append(np.mean(d**2 / np.sum(seen[-1] ** 2, axis=(1, 2))))
    moments = np.concatenate(seen)
    square = moments @ moments
    diagonal = np.diagonal(square, axis1=1, axis2=2)
    terms = np.sum(square * moments, axis=(1, 2)) - np.sum(diagonal**2, axis=1) + np.sum(diagonal, axis=1) / 4
    assert terms.mean() == pytest.approx(d**2 / 4, rel=0.02)
    alpha = delocalisation(moments)
    assert alpha == pytest.approx(0.104, abs=0.01)
    bound, truth = stationary_rank_bound(d, alpha=alpha), float(np.mean(ratios))
    assert 0.6 * truth < bound < truth


def test_collapsed_and_orthogonal_batches_are_those_without_delocalisation():
    assert delocalisation(np.ones((4, 4))) == 0.0 == delocalisation(np.stack([np.eye(4)] * 2))
    assert delocalisation(np.array([[1, 0.9, 0.0], [0.9, 1, 0], [0, 0, 1]])) == pytest.approx(1 - 7.5522 / 7.86)


def test_what_the_theorem_does_not_speak_of_is_refused():
    with pytest.raises(AssumptionError, match=r"tau in \[0, 1\), got 1"):
        soft_rank_bound(2.0, tau=1.0)
    with pytest.raises(AssumptionError, match="of 4 eigenvalues is not 5"):
        soft_rank_bound(5.0, size=4)
    with pytest.raises(AssumptionError, match="got d=0"):
        stationary_rank_bound(0, alpha=0.1)
    with pytest.raises(AssumptionError, match=r"ones on the diagonal; this matrix of shape \(2, 2\)"):
        squared_norm_drift(2 * np.eye(2))
    with pytest.raises(AssumptionError, match=r"shape \(3, 2\)"):
        delocalisation(np.ones((3, 2)))
