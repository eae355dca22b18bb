"""Progress of what takes over a second, on stderr and only where that is a terminal."""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_PATIENCE = 1.0


@contextmanager
def progress() -> Iterator[Callable[[str], None]]:
    """Yields a function that names the step at hand; the line goes when the work ends or fails.

    >>> with progress() as step:
    ...     step("Measuring")
    """
    if not sys.stderr.isatty():
        yield lambda step: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(20), TimeElapsedColumn()
    bar = Progress(*columns, console=Console(stderr=True), transient=True)
    task = bar.add_task("Starting", total=None)
    start = threading.Timer(_PATIENCE, bar.start)
    start.daemon = True
    start.start()
    try:
        yield lambda step: bar.update(task, description=step)
    finally:
        start.cancel()
        start.join()
        if bar.live.is_started:
            bar.stop()
