"""Guards that the designs share."""

from leadline._core.errors import UsageError


def check_at_least(least: int, **values: int) -> None:
    """Every named value is at least ``least``.

    >>> check_at_least(1, depth=0)
    Traceback (most recent call last):
    leadline._core.errors.UsageError: depth must be at least 1; got 0.
    """
    for name, value in values.items():
        if value < least:
            raise UsageError(f"{name} must be at least {least}; got {value}.")


def check_divides(part: str, parts: int, whole: str, size: int) -> None:
    """``size`` falls into equal parts.

    >>> check_divides("heads", 3, "width", 64)
    Traceback (most recent call last):
    leadline._core.errors.UsageError: heads must divide width; got heads=3 and width=64.
    """
    check_at_least(1, **{part: parts, whole: size})
    if size % parts:
        raise UsageError(f"{part} must divide {whole}; got {part}={parts} and {whole}={size}.")


def check_share(**values: float) -> None:
    """Every named value is in [0, 1).

    >>> check_share(dropout=1.0)
    Traceback (most recent call last):
    leadline._core.errors.UsageError: dropout must be at least 0 and below 1; got 1.0.
    """
    for name, value in values.items():
        if not 0 <= value < 1:
            raise UsageError(f"{name} must be at least 0 and below 1; got {value}.")
