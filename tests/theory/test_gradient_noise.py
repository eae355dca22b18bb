"""Noise of drawn mini-batches, and cancellation of drawn signs, against the exact expectations."""

import math

import numpy as np
import pytest

from leadline._core.errors import AssumptionError, UsageError
from leadline.theory import random_sign_cancellation, step_noise


@pytest.mark.parametrize("batch", [1, 8, 64])
@pytest.mark.parametrize("replacement", [True, False])
def test_drawn_batches_have_the_noise(batch, replacement):
    """20,000 batches of 100 gradients in 20 dimensions; five standard errors, 1 to 2 %."""
    rng, n, draws, rate = np.random.default_rng(31), 100, 20_000, 0.3
    grads = rng.standard_normal((n, 20)) * rng.gamma(1.0, size=(n, 1)) + 2.0
    mean = grads.mean(0)
    spread = float(np.mean(np.sum((grads - mean) ** 2, axis=1)))
    picks = rng.integers(0, n, (draws, batch)) if replacement else rng.random((draws, n)).argsort(1)[:, :batch]
    weights = np.zeros((draws, n))
    np.add.at(weights, (np.arange(draws)[:, None], picks), 1 / batch)
    noise = rate**2 * np.sum((weights @ grads - mean) ** 2, axis=1)
    expected = step_noise(spread, batch=batch, samples=None if replacement else n, learning_rate=rate)
    assert noise.mean() == pytest.approx(expected, abs=5 * noise.std() / math.sqrt(draws))
    assert 5 * noise.std() / math.sqrt(draws) < 0.08 * expected


def test_noise_scales_with_the_squared_rate_over_the_batch():
    base = step_noise(3.0, batch=16, learning_rate=0.1)
    assert step_noise(3.0, batch=16, learning_rate=0.2) == pytest.approx(4 * base)
    assert step_noise(3.0, batch=8, learning_rate=0.1) == pytest.approx(2 * base)
    assert step_noise(3.0, batch=16, samples=16) == 0.0
    assert step_noise(3.0, batch=1, samples=50) == 3.0 == step_noise(3.0, batch=1)
    assert step_noise(0.0, batch=1, samples=1) == 0.0


@pytest.mark.parametrize("count", [1, 2, 3, 4, 9, 10])
def test_equal_sizes_have_the_ratio_of_all_sign_patterns(count):
    signs = 1 - 2 * ((np.arange(2**count)[:, None] >> np.arange(count)) & 1)
    assert random_sign_cancellation(count) == pytest.approx(count / np.mean(np.abs(signs.sum(1))), rel=1e-12)


def test_large_counts_tend_to_the_baseline():
    assert random_sign_cancellation(10**6) == pytest.approx(math.sqrt(math.pi * 10**6 / 2), rel=1e-6)


@pytest.mark.parametrize("count", [1, 7, 400])
def test_gaussian_contributions_have_the_root(count):
    """100,000 sums; the standard error of a mean absolute normal is .24 %."""
    x = np.random.default_rng(32).standard_normal((100_000, count), dtype=np.float32)
    ratio = count * np.mean(np.abs(x)) / np.mean(np.abs(x.sum(1)))
    assert random_sign_cancellation(count, sizes="gaussian") == pytest.approx(ratio, rel=0.0125)


def test_impossible_batches_are_refused():
    with pytest.raises(AssumptionError, match="from 1 to 4 samples, got 5"):
        step_noise(1.0, batch=5, samples=4)
    with pytest.raises(AssumptionError, match="got 0"):
        step_noise(1.0, batch=0)
    with pytest.raises(AssumptionError, match="at least 0, got -1"):
        step_noise(-1.0, batch=1)
    with pytest.raises(AssumptionError, match="got 0"):
        random_sign_cancellation(0)
    with pytest.raises(UsageError, match="equal"):
        random_sign_cancellation(3, sizes="eqal")
