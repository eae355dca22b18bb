"""The range of each floating dtype, by its name in a profile."""

from collections.abc import Sequence
from dataclasses import dataclass

from leadline._core.profile import LayerProfile


@dataclass(frozen=True, kw_only=True)
class Range:
    """Largest finite value, smallest normal one, smallest above zero, and the relative spacing at 1."""

    largest: float
    smallest_normal: float
    smallest: float
    eps: float


# IEEE 754 binary16, binary32 and binary64, and bfloat16.
_RANGES = {
    "float16": Range(largest=65504.0, smallest_normal=2.0**-14, smallest=2.0**-24, eps=2.0**-10),
    "bfloat16": Range(largest=3.3895313892515355e38, smallest_normal=2.0**-126, smallest=2.0**-133, eps=2.0**-7),
    "float32": Range(largest=3.4028234663852886e38, smallest_normal=2.0**-126, smallest=2.0**-149, eps=2.0**-23),
    "float64": Range(largest=1.7976931348623157e308, smallest_normal=2.0**-1022, smallest=5e-324, eps=2.0**-52),
}


def dtype_range(dtype: str) -> Range:
    """The range of ``dtype``; float32's for any other.

    >>> dtype_range("float16").largest
    65504.0
    """
    return _RANGES.get(dtype, _RANGES["float32"])


def rounding(layer: LayerProfile, *, times: float = 2.0) -> float:
    """The distinction that rounding by ``times`` ε in every entry makes."""
    return (times * dtype_range(layer.dtype).eps) ** 2


def floor_of(metric: str, chain: Sequence[LayerProfile]) -> float:
    """What lies below it is rounding: of a distinction that of the chain's dtype, 0 of all else."""
    return rounding(chain[0]) if metric.endswith("distinction") and chain else 0.0
