"""The same function on many arguments, in processes of this machine, one thread each."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from leadline._core.errors import UsageError

A = TypeVar("A")
R = TypeVar("R")


@contextmanager
def outcomes_of(
    function: Callable[[A], R], given: Iterable[A], *, jobs: int | None = None, died: str
) -> Iterator[Iterator[R]]:
    """Yields the outcomes as they come.

    Args:
        function: What is called, and can be pickled where there are several processes.
        given: Its arguments; taken as they are needed.
        jobs: Processes; by default the CPUs that this process may use. 1 calls in this process and in order.
        died: The sentence for a worker that was killed.

    Raises:
        UsageError: If a worker was killed.

    Example:
        >>> with outcomes_of(abs, [-1, 2], jobs=1, died="") as outcomes:
        ...     list(outcomes)
        [1, 2]
    """
    from joblib import Parallel, cpu_count, delayed
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    jobs = jobs or cpu_count()
    if jobs == 1:
        yield map(function, given)
        return
    make: Any = Parallel  # The stubs of joblib take words alone for `batch_size`.
    parallel = make(
        n_jobs=jobs,
        backend="loky",
        return_as="generator_unordered",
        batch_size=1,
        inner_max_num_threads=1,
        initializer=_start_worker,
        initargs=(os.getpid(),),
    )
    outcomes: Any = parallel(delayed(function)(each) for each in given)
    try:
        yield outcomes
    except TerminatedWorkerError:
        raise UsageError(died) from None
    except BaseException:
        _end_workers()
        raise
    finally:
        outcomes.close()


def _start_worker(parent: int) -> None:
    """Ctrl-C is the parent's to handle; and a worker whose parent was killed has nobody to work for."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    if sys.platform != "win32":
        threading.Thread(target=watch, daemon=True).start()


def _end_workers() -> None:
    from joblib.externals.loky import get_reusable_executor

    running: Any = get_reusable_executor
    # `reuse`, since without it other arguments make another executor, after the one there has ended its work.
    running(reuse=True).shutdown(wait=True, kill_workers=True)
