"""How fast a quantity moves with depth: the mean increment of its logarithm, with an honest interval."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit


@dataclass(frozen=True, kw_only=True)
class Rate:
    """A rate per layer with a 95 % interval.

    Attributes:
        estimate: The mean increment per layer.
        low: Lower end of the interval; ``-inf`` where too few increments were seen to tell.
        high: Upper end of the interval; ``inf`` where too few increments were seen to tell.
        increments: How many increments the estimate rests on.
        over: What varies in the interval: ``"layers"`` of one network, or ``"draws"`` of the weights.
    """

    estimate: float
    low: float
    high: float
    increments: int
    over: str = "layers"

    def excludes(self, value: float) -> bool:
        """Whether ``value`` lies outside the interval."""
        return value < self.low or value > self.high


def rate(values: Sequence[float], *, level: float = 0.95) -> Rate:
    r"""Mean increment of ``values`` from layer to layer, with a HAC interval.

    A log-norm is a random walk with drift over depth, so the residuals of a straight line are strongly
    correlated and its least-squares error is several times too small. The increments $u_t$ are nearly
    stationary; their mean is the rate, its variance is the Newey-West estimate
    $\frac1T\bigl(\gamma_0 + 2\sum_{j\le h}(1 - \tfrac{j}{h+1})\gamma_j\bigr)$ with
    $h = \lfloor 4 (T/100)^{2/9} \rfloor$.

    Args:
        values: The logarithm of the quantity at successive layers. Non-finite values are left out
            and the layers beside them are not joined across the hole.
        level: Coverage of the interval.

    Returns:
        The rate per layer in the unit of ``values``; ``nan`` with no increment at all, an infinite
        interval with fewer than three.

    Source:
        newey1987 (Econometrica 55, 703), eq. 5, Bartlett weights.

    Example:
        >>> rate([0.0, 1.0, 2.0, 3.0, 4.0]).estimate
        1.0
    """
    with np.errstate(invalid="ignore"):
        return rate_of_steps(np.diff(np.asarray(values, dtype=np.float64)).tolist(), level=level)


def rate_of_steps(steps: Sequence[float], *, level: float = 0.95) -> Rate:
    """``rate`` of the increments themselves; those that are not finite are left out.

    >>> rate_of_steps([1.0, 1.0, float("nan"), 1.0]).estimate
    1.0
    """
    u = np.asarray(steps, dtype=np.float64)
    u = u[np.isfinite(u)]
    t = len(u)
    if t == 0:
        return Rate(estimate=math.nan, low=-math.inf, high=math.inf, increments=0)
    mean = float(u.mean())
    if t < 3:
        return Rate(estimate=mean, low=-math.inf, high=math.inf, increments=t)
    centred = u - mean
    lags = min(int(4 * (t / 100) ** (2 / 9)), t - 2)
    variance = float(centred @ centred) / t
    for j in range(1, lags + 1):
        variance += 2 * (1 - j / (lags + 1)) * float(centred[j:] @ centred[:-j]) / t
    return _interval(mean, math.sqrt(max(variance, 0.0) / (t - 1)), t, level, "layers")


def rate_over_draws(rates: Sequence[float], *, level: float = 0.95) -> Rate:
    """The mean of one rate per independent draw, with Student's interval over the draws.

    >>> r = rate_over_draws([0.9, 1.0, 1.1])
    >>> round(r.estimate, 6), r.over
    (1.0, 'draws')
    """
    x = np.asarray(rates, dtype=np.float64)
    x = x[np.isfinite(x)]
    if len(x) == 0:
        return Rate(estimate=math.nan, low=-math.inf, high=math.inf, increments=0, over="draws")
    if len(x) < 2:
        return Rate(estimate=float(x.mean()), low=-math.inf, high=math.inf, increments=len(x), over="draws")
    return _interval(float(x.mean()), float(x.std(ddof=1)) / math.sqrt(len(x)), len(x), level, "draws")


def slope(x: Sequence[float], y: Sequence[float]) -> tuple[float, float]:
    """Slope of the least-squares line through finite points, and its standard error, infinite for two of them.

    >>> slope([0.0, 1.0, 2.0], [1.0, 3.0, 5.0])
    (2.0, 0.0)
    """
    a, b = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    centred = a - a.mean()
    spread = float(centred @ centred)
    estimate = float(centred @ b) / spread
    if len(a) < 3:
        return estimate, math.inf
    residual = b - b.mean() - estimate * centred
    return estimate, math.sqrt(float(residual @ residual) / (len(a) - 2) / spread)


def _interval(mean: float, error: float, count: int, level: float, over: str) -> Rate:
    half = float(stdtrit(count - 1, 0.5 + level / 2)) * error
    return Rate(estimate=mean, low=mean - half, high=mean + half, increments=count, over=over)
