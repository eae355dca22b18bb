"""A batch that a model cannot take: which module refused it, and what that module was given."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from leadline._core.arguments import tensors
from leadline._core.errors import UsageError
from leadline._core.refusals import REFUSALS, reason
from leadline.probe.capture import Call, Tape
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
    except REFUSALS as error:
        if out_of_memory(error):
            raise UsageError(_too_large(tape)) from error
        why = reason(error)
        if why is None:
            raise
        raise UsageError(_sentence(tape, why)) from error


def out_of_memory(error: Exception) -> bool:
    """Whether the machine's own memory does not suffice; what a device says of its own is another exception."""
    return "can't allocate memory" in str(error)


def _sentence(tape: Tape, why: str) -> str:
    if not tape.running:
        return f"The model refused its input: {why}."
    return f"{_described(tape.running[-1])} refused its input of {_shapes(tape.running[-1].arguments)}: {why}."


def _too_large(tape: Tape) -> str:
    where = f" in {_described(tape.running[-1])}" if tape.running else ""
    return f"The machine's memory does not suffice for this model and batch{where}; take fewer or smaller samples."


def _described(call: Call) -> str:
    return f"{call.path} ({kind(call.module)})" if call.path else f"The model ({kind(call.module)})"


def _shapes(arguments: Any) -> str:
    shapes = [str(tuple(t.shape)) for t in tensors(arguments)]
    return f"shape{'s' if len(shapes) > 1 else ''} {', '.join(shapes)}" if shapes else "no tensor"
