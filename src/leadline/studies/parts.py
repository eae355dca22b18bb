"""The numbers that claims rest on, with their intervals: 99 % throughout, fixed beforehand."""

import math
from typing import SupportsFloat

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import bdtr, stdtrit

from leadline._core.claims import Part

LEVEL = 0.99


def exact(name: str, value: SupportsFloat, *, least: float = -math.inf, most: float = math.inf) -> Part:
    """A number without error: of a formula, a count, or a largest deviation.

    Example:
        >>> exact("violations", 0, most=0).outcome
        'holds'
    """
    return Part(name=name, estimate=float(value), low=float(value), high=float(value), least=least, most=most)


def mean(name: str, samples: ArrayLike, *, least: float = -math.inf, most: float = math.inf) -> Part:
    """The mean of independent samples with Student's interval.

    Example:
        >>> part = mean("heads", [0.0, 1.0] * 50, least=0.4, most=0.6)
        >>> part.estimate, part.outcome
        (0.5, 'undecided')
    """
    x = np.asarray(samples, dtype=np.float64)
    centre = float(x.mean()) if len(x) else math.nan
    error = float(x.std(ddof=1)) / math.sqrt(len(x)) if len(x) > 1 else math.inf
    half = float(stdtrit(max(len(x) - 1, 1), 0.5 + LEVEL / 2)) * error
    return Part(name=name, estimate=centre, low=centre - half, high=centre + half, least=least, most=most)


def geometric_mean(name: str, logs: ArrayLike, *, least: float = 0.0, most: float = math.inf) -> Part:
    """The geometric mean of independent positive samples, from their logarithms, with Student's interval of those.

    Example:
        >>> part = geometric_mean("gain", np.log([1.0, 4.0] * 50), least=1.5, most=2.5)
        >>> part.estimate, part.outcome
        (2.0, 'holds')
    """
    of_logs = mean(name, logs)
    low, centre, high = (float(np.exp(x)) for x in (of_logs.low, of_logs.estimate, of_logs.high))
    return Part(name=name, estimate=centre, low=low, high=high, least=least, most=most)


def median(name: str, samples: ArrayLike, *, least: float = -math.inf, most: float = math.inf) -> Part:
    """The median of independent samples of any law, with the interval between two of them, whatever their tails.

    The k-th smallest and the k-th largest enclose the median but for a chance of 2 P(B < k), B binomial of n fair
    coins; k is the largest that keeps it below the level. With fewer than 8 samples there is none, and no interval.

    Example:
        >>> part = median("steps", [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 1e9], least=0)
        >>> part.estimate, part.low, part.outcome
        (4.5, 1.0, 'holds')
    """
    x = np.sort(np.asarray(samples, dtype=np.float64))
    within = int(np.sum(2 * bdtr(np.arange(len(x)), len(x), 0.5) <= 1 - LEVEL))
    low, high = (x[within - 1], x[-within]) if within else (-math.inf, math.inf)
    centre = float(np.median(x)) if len(x) else math.nan
    return Part(name=name, estimate=centre, low=float(low), high=float(high), least=least, most=most)


def ratio(name: str, part: Part, *, to: float, within: float) -> Part:
    """A part over what is expected of it, which must be 1 up to a tolerance.

    Example:
        >>> ratio("slope", exact("slope", 2.1), to=2.0, within=0.06).outcome
        'holds'
    """
    low, high = sorted((part.low / to, part.high / to))
    return Part(name=name, estimate=part.estimate / to, low=low, high=high, least=1 - within, most=1 + within)
