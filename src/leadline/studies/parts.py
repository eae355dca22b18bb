"""The numbers that claims rest on, with their intervals: 99 % throughout, fixed beforehand."""

import math
from typing import SupportsFloat

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtrit

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


def ratio(name: str, part: Part, *, to: float, within: float) -> Part:
    """A part over what is expected of it, which must be 1 up to a tolerance.

    Example:
        >>> ratio("slope", exact("slope", 2.1), to=2.0, within=0.06).outcome
        'holds'
    """
    low, high = sorted((part.low / to, part.high / to))
    return Part(name=name, estimate=part.estimate / to, low=low, high=high, least=1 - within, most=1 + within)
