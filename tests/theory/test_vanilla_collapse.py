"""The rate of collapse without normalisation, against dense products with and without skip connections."""

import math

import numpy as np
import pytest

from leadline._core.errors import AssumptionError
from leadline.theory import collapse_rate


@pytest.mark.parametrize("d", [2, 4, 16])
@pytest.mark.parametrize("gamma", [0.1, 0.5, 2.0, math.inf])
def test_dense_products_collapse_at_the_rate(d, gamma):
    """QR iteration of two directions through 500 chains of 80 layers; five standard errors, about 3 to 8 %."""
    rng, chains, layers = np.random.default_rng(7), 500, 80
    frame = np.linalg.qr(rng.standard_normal((chains, d, 2)))[0]
    gaps = []
    for _ in range(layers):
        step = rng.standard_normal((chains, d, d)) @ frame
        frame, r = np.linalg.qr(step if gamma == math.inf else frame + gamma * step)
        logs = np.log(np.abs(np.diagonal(r, axis1=1, axis2=2)))
        gaps.append(logs[:, 0] - logs[:, 1])
    gaps = np.array(gaps[10:])
    error = gaps.std() / math.sqrt(gaps.size)
    assert gaps.mean() == pytest.approx(collapse_rate(d, gamma=gamma), abs=5 * error)


@pytest.mark.slow
def test_the_participation_ratio_falls_to_one_at_twice_the_rate():
    """Width 16 without a skip, log(r − 1) over 100 to 180 layers, 400 chains: the mean slope to 12 %."""
    rng, d, chains, logs = np.random.default_rng(8), 16, 400, {}
    h = rng.standard_normal((chains, d, d))
    for layer in range(181):
        if layer in (100, 180):
            s = np.linalg.svd(h, compute_uv=False) ** 2
            logs[layer] = np.mean(np.log(s.sum(1) ** 2 / (s**2).sum(1) - 1))
        h = h @ rng.standard_normal((chains, d, d))
        h /= np.linalg.norm(h, axis=(1, 2), keepdims=True)
    assert (logs[100] - logs[180]) / 80 == pytest.approx(2 * collapse_rate(d), rel=0.12)


@pytest.mark.parametrize("d", [3, 64, 1000])
def test_the_exact_rate_has_its_limits(d):
    assert collapse_rate(d, gamma=50.0) == pytest.approx(collapse_rate(d), rel=1e-4)
    gamma = 0.01
    spread = gamma**2 * d
    closed = gamma**2 / 2 * (2 + spread) / (1 + spread) ** 2
    assert collapse_rate(d, gamma=gamma) == pytest.approx(closed, rel=1e-3)
    assert collapse_rate(d, gamma=0.00299) == pytest.approx(
        collapse_rate(d, gamma=0.00301) * (299 / 301) ** 2, rel=2e-4
    )


def test_a_single_direction_cannot_collapse():
    with pytest.raises(AssumptionError, match="got d=1"):
        collapse_rate(1)
    with pytest.raises(AssumptionError, match="gamma=0"):
        collapse_rate(4, gamma=0.0)
