"""Progress of what takes over a second, on stderr and only where that is a terminal."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

_PATIENCE = 1.0


class Step(Protocol):
    """Names the step at hand and, where that is known, how much of it is done."""

    def __call__(self, description: str, done: int = 0, total: int | None = None) -> None:
        """``done`` of ``total``, or an unknown share."""


def _silent(description: str, done: int = 0, total: int | None = None) -> None:
    """Where no terminal is, there is no one to tell."""


@contextmanager
def progress() -> Iterator[Step]:
    """Yields a function that names the step at hand; the line goes when the work ends or fails.

    >>> with progress() as step:
    ...     step("Measuring")
    """
    if not sys.stderr.isatty():
        yield _silent
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(20), TimeElapsedColumn()
    bar = Progress(*columns, console=Console(stderr=True), transient=True)
    task = bar.add_task("Starting", total=None)

    def step(description: str, done: int = 0, total: int | None = None) -> None:
        bar.tasks[0].total = total  # To `update` None means that the total stays.
        bar.update(task, description=description, completed=done)

    start = threading.Timer(_PATIENCE, bar.start)
    start.daemon = True
    start.start()
    try:
        yield step
    finally:
        start.cancel()
        start.join()
        if bar.live.is_started:
            bar.stop()
