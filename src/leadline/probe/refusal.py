"""A batch that a model cannot take: which module refused it, and what that module was given."""

import dis
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

from leadline._core.errors import UsageError
from leadline.probe.capture import Tape
from leadline.probe.inputs import tensors
from leadline.probe.modules import kind


@contextmanager
def refusals_named(tape: Tape) -> Iterator[None]:
    """An error by which torch refuses a tensor becomes one sentence with the innermost module that was running.

    Wrong values and types become a sentence too. What the model raises for reasons of its own, its own
    exceptions and any ``raise RuntimeError``, goes through as it is.

    Raises:
        UsageError: In place of those errors.
    """
    try:
        yield
    except UsageError:
        raise
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        if isinstance(error, RuntimeError) and (type(error) is not RuntimeError or _raised_by_hand(error)):
            raise
        raise UsageError(_sentence(tape, error)) from error


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


def _sentence(tape: Tape, error: Exception) -> str:
    reason = " ".join((str(error).strip().splitlines() or [type(error).__name__])[0].split()).rstrip(".")
    if not tape.running:
        return f"The model refused its input: {reason}."
    call = tape.running[-1]
    who = f"{call.path} ({kind(call.module)})" if call.path else f"The model ({kind(call.module)})"
    return f"{who} refused its input of {_shapes(call.arguments)}: {reason}."


def _shapes(arguments: Any) -> str:
    shapes = [str(tuple(t.shape)) for t in tensors(arguments)]
    return f"shape{'s' if len(shapes) > 1 else ''} {', '.join(shapes)}" if shapes else "no tensor"
