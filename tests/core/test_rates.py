"""The interval of a rate covers a random walk's drift as often as it says."""

import math

import numpy as np
import pytest

from leadline._core.rates import rate, rate_over_draws


def _coverage(error_of) -> float:
    """Share of 400 random walks of 200 steps whose interval covers the drift .1; increments are AR(1)."""
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(400):
        noise = rng.standard_normal(220)
        for i in range(1, 220):
            noise[i] += 0.4 * noise[i - 1]
        hits += error_of(np.cumsum(0.1 + noise[20:]))
    return hits / 400


def test_the_interval_covers_the_drift_of_a_correlated_walk() -> None:
    def covered(walk: np.ndarray) -> bool:
        return not rate(walk.tolist()).excludes(0.1)

    # 95 % nominal; a kernel estimate of few lags is known to fall a little short.
    assert 0.87 <= _coverage(covered) <= 0.98


def test_the_least_squares_slope_does_not_cover_it() -> None:
    """The reason for the HAC interval: the usual error of a straight line is several times too small."""

    def covered(walk: np.ndarray) -> bool:
        t = np.arange(len(walk))
        (slope, _), covariance = np.polyfit(t, walk, 1, cov=True)
        return bool(abs(slope - 0.1) < 1.96 * math.sqrt(covariance[0, 0]))

    assert _coverage(covered) < 0.4


def test_the_rate_is_the_mean_increment() -> None:
    assert rate([0.0, 2.0, 3.0, 9.0]).estimate == pytest.approx(3.0)


def test_nonfinite_values_leave_a_hole_and_do_not_join_across_it() -> None:
    measured = rate([0.0, 1.0, math.inf, 50.0, 51.0, 52.0])
    assert measured.increments == 3
    assert measured.estimate == pytest.approx(1.0)


@pytest.mark.parametrize(("values", "estimate"), [([], math.nan), ([1.0], math.nan), ([1.0, 3.0], 2.0)])
def test_too_few_layers_give_an_infinite_interval(values: list[float], estimate: float) -> None:
    measured = rate(values)
    assert measured.estimate == pytest.approx(estimate, nan_ok=True)
    assert (measured.low, measured.high) == (-math.inf, math.inf)
    assert not measured.excludes(1e9)


def test_the_interval_over_draws_is_students() -> None:
    measured = rate_over_draws([1.0, 2.0, 3.0, math.nan])
    assert measured.increments == 3
    assert measured.high == pytest.approx(2.0 + 4.302653 / math.sqrt(3), rel=1e-5)
