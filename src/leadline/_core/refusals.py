"""Errors by which torch refuses a tensor, told from those that a model raises for reasons of its own."""

import dis
from types import TracebackType

REFUSALS = (RuntimeError, ValueError, TypeError, IndexError)


def reason(error: Exception) -> str | None:
    """Why torch refused what it was given, in one line without a full stop; ``None`` where it did not.

    Wrong values and types are refusals too. The model's own exceptions and any ``raise RuntimeError`` of its are none.
    """
    if not isinstance(error, REFUSALS):
        return None
    if isinstance(error, RuntimeError) and (type(error) is not RuntimeError or _raised_by_hand(error)):
        return None
    return " ".join((str(error).strip().splitlines() or [type(error).__name__])[0].split()).rstrip(".")


def _raised_by_hand(error: BaseException) -> bool:
    """Whether a ``raise`` statement outside torch made the error, and not a call into torch."""
    frame = error.__traceback__
    while isinstance(frame, TracebackType) and frame.tb_next is not None:
        frame = frame.tb_next
    if frame is None:
        return False
    code = frame.tb_frame.f_code
    operation = dis.opname[code.co_code[frame.tb_lasti]]
    return operation == "RAISE_VARARGS" and not frame.tb_frame.f_globals.get("__name__", "").startswith("torch.")
