"""Numbers that an argument may be: whole ones, and finite ones."""

import math
from numbers import Integral, Real

from leadline._core.errors import UsageError


def check_whole(what: str, value: object, *, least: int | None = None) -> None:
    """Nothing if ``value`` is a whole number, ``least`` or more; otherwise an error with what came.

    >>> check_whole("steps", 1.5, least=1)
    Traceback (most recent call last):
    leadline._core.errors.UsageError: steps must be a whole number from 1; got 1.5.
    """
    if not isinstance(value, Integral) or (least is not None and int(value) < least):
        bound = "" if least is None else f" from {least}"
        raise UsageError(f"{what} must be a whole number{bound}; got {value!r}.")


def check_finite(what: str, value: object) -> None:
    """Nothing if ``value`` is a finite number; otherwise an error with what came.

    >>> check_finite("gain", math.nan)
    Traceback (most recent call last):
    leadline._core.errors.UsageError: gain must be a finite number; got nan.
    """
    if not isinstance(value, Real) or not math.isfinite(value):
        raise UsageError(f"{what} must be a finite number; got {value!r}.")
