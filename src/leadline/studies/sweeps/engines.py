"""Where cells are measured: processes of this machine (loky), or tasks of Ray. Both run the same function."""

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from itertools import islice
from typing import Any

from leadline._core.errors import UsageError
from leadline._core.extras import require
from leadline.studies.processes import outcomes_of
from leadline.studies.sweeps.cells import Cell
from leadline.studies.sweeps.measuring import Outcome, measure_all

ENGINES = ("local", "ray")
Task = Sequence[Cell]
# Tasks handed to Ray per CPU: one that runs and one that waits.
_AHEAD = 2
# Bytes that a Ray of our own keeps for results on their way, which are a few KiB a cell.
_MEMORY = 256 * 2**20
_DIED = (
    "A worker process died, perhaps for lack of memory; what was measured is stored. Take fewer jobs and run the sweep "
    "again, which goes on from here."
)


def local(tasks: Iterable[Task], *, jobs: int | None = None) -> AbstractContextManager[Iterator[list[Outcome]]]:
    """Yields the outcomes of the tasks as they come, measured in ``jobs`` processes, one thread each.

    Args:
        tasks: What to measure; taken as it is needed.
        jobs: Processes; by default the CPUs that this process may use. 1 measures in this process.

    Raises:
        UsageError: If a worker was killed.

    Example:
        >>> tasks = [[Cell(design="mlp", options={"depth": d, "width": 16}, seed=0)] for d in (2, 3)]
        >>> with local(tasks, jobs=1) as outcomes:
        ...     [len(found.layers) for (found,) in outcomes]
        [3, 4]
    """
    return outcomes_of(measure_all, tasks, jobs=jobs, died=_DIED)


@contextmanager
def ray(
    tasks: Iterable[Task], *, address: str | None = None, jobs: int | None = None
) -> Iterator[Iterator[list[Outcome]]]:
    """Yields the outcomes of the tasks as they come, measured as tasks of Ray, one CPU and one thread each.

    A bounded number of tasks is in flight, so that neither the cluster nor this process holds the whole sweep. Every
    node needs this version of leadline.

    Args:
        tasks: What to measure; taken as it is needed.
        address: Of a running cluster, as for ``ray.init``; by default Ray is started on this machine and stopped after.
        jobs: Tasks that run at once; by default the CPUs of the cluster.

    Raises:
        UsageError: If no cluster answers at the address, or Ray runs in this process already.
        MissingExtraError: If Ray is not installed.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # What Ray will do, and asks for in a warning.
    engine: Any = require("ray", extra="ray")
    if engine.is_initialized():
        raise UsageError("Ray is running in this process already; call `ray.shutdown()` before a sweep.")
    start: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address is None:
        from joblib import cpu_count

        # "local": without it Ray looks for a cluster that runs here, or ran here until it was killed.
        start |= {"address": "local", "num_cpus": jobs or cpu_count(), "object_store_memory": _MEMORY}
        start |= {"include_dashboard": False, "_node_ip_address": "127.0.0.1"}
    else:
        start |= {"address": address}
    try:
        engine.init(**start)
    except (ConnectionError, RuntimeError, ValueError) as error:
        if address is None:
            raise
        reason = " ".join(str(error).split()).rstrip(".")
        raise UsageError(f"Cannot reach a Ray cluster at {address}: {reason}.") from error
    try:
        # On a cluster that is larger than `jobs` whatever is in flight runs at once.
        limit = jobs if address and jobs else _AHEAD * max(1, int(engine.cluster_resources().get("CPU", 1)))
        remote = engine.remote(num_cpus=1, max_retries=1)(measure_all)
        yield _unordered(engine, remote.remote, tasks, limit=limit)
    finally:
        engine.shutdown()


def _unordered(
    engine: Any, submit: Callable[[Task], Any], tasks: Iterable[Task], *, limit: int
) -> Iterator[list[Outcome]]:
    """Outcomes in the order in which they are ready, with at most ``limit`` tasks in flight."""
    waiting = iter(tasks)
    flying = {submit(task): task for task in islice(waiting, limit)}
    while flying:
        (ready, *_), _ = engine.wait(list(flying), num_returns=1)
        task = flying.pop(ready)
        try:
            found = engine.get(ready)
        except engine.exceptions.RayError as error:
            # The worker or its node died, also when it was tried again: an error of the cells that it had.
            found = [_lost(cell, error) for cell in task]
        yield found
        flying |= {submit(task): task for task in islice(waiting, 1)}


def _lost(cell: Cell, error: Exception) -> Outcome:
    return Outcome(key=cell.key, error_type=type(error).__name__, error=" ".join(str(error).split()) or "lost")
