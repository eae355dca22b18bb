"""What a training run has come to."""

import math
from collections.abc import Sequence

# What counts is the mean over so many of the last losses.
LAST = 20


def settled(losses: Sequence[float]) -> float:
    """Mean of the last 20 losses; infinite if one of them is not finite, or there is none.

    >>> settled((3.0, 2.0, 1.0)), settled((3.0, float("nan")))
    (2.0, inf)
    """
    last = losses[-LAST:]
    return sum(last) / len(last) if last and all(map(math.isfinite, last)) else math.inf
