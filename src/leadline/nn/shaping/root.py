"""The zero of a monotone function between two points."""

from collections.abc import Callable


def root(function: Callable[[float], float], low: float, high: float) -> float:
    """The zero of a monotone ``function`` that changes sign between ``low`` and ``high``, by halving to rounding.

    >>> round(root(lambda x: x * x - 2, 0.0, 2.0), 12)
    1.414213562373
    """
    sign = 1 if function(high) > function(low) else -1
    while low < (middle := (low + high) / 2) < high:
        low, high = (low, middle) if sign * function(middle) > 0 else (middle, high)
    return low
