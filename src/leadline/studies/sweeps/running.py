"""Run a sweep: what the store lacks is measured, and stored as it comes."""

import json
import platform
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from leadline._core.checks import check_whole
from leadline._core.errors import UsageError
from leadline._core.extras import require
from leadline._core.names import check_choice
from leadline._version import __version__
from leadline.studies.sweeps import engines
from leadline.studies.sweeps.cells import Cell
from leadline.studies.sweeps.measuring import Outcome
from leadline.studies.sweeps.plan import Sweep
from leadline.studies.sweeps.store import Store


@dataclass(frozen=True, kw_only=True)
class Tally:
    """What a run of a sweep came to.

    Attributes:
        cells: Cells of the sweep, or of the shard.
        found: Of them, those that the store had before.
        done: Measured now.
        failed: Failed now, or before and not tried again.
    """

    cells: int
    found: int
    done: int
    failed: int


def run(
    plan: Sweep,
    store: str | Path,
    *,
    engine: str = "local",
    address: str | None = None,
    jobs: int | None = None,
    cells_per_task: int = 1,
    shard: tuple[int, int] | None = None,
    retry_failed: bool = False,
    on_progress: Callable[[int, int], object] | None = None,
) -> Tally:
    """Measure the cells of ``plan`` that ``store`` does not hold, and put each there as soon as it is known.

    This process alone writes to the store. It may be killed at any moment: the next run goes on with what is missing,
    and ends with the same rows as a run that was never interrupted. Cells that failed stay failed, with their error.

    Args:
        plan: What to measure.
        store: An SQLite file; made where it does not exist. It may hold other sweeps, whose cells are shared.
        engine: ``"local"``: processes of this machine; ``"ray"``: tasks of Ray. They give the same rows to the bit.
        address: Of a running Ray cluster, as for ``ray.init``.
        jobs: Cells that are measured at once; by default one a CPU.
        cells_per_task: Cells that a worker measures before it answers; more than one where cells take milliseconds.
        shard: ``(i, n)``: only every cell whose key falls to part ``i`` of ``n``, from 1; each part into a store of
            its own on a machine of its own. ``merge`` puts them together.
        retry_failed: Whether to measure cells that failed before once more.
        on_progress: Called with how many cells are measured, and of how many.

    Returns:
        How many cells there are, were there, are done and failed.

    Raises:
        UsageError: If an argument is wrong, the store is none, or another run writes to it.
        MissingExtraError: If the engine is not installed.

    Example:
        >>> import tempfile
        >>> plan = Sweep(design="mlp:width=16", grid={"depth": (2, 4)}, seeds=(0, 1))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     first = run(plan, f"{folder}/a.sqlite", jobs=1)
        ...     again = run(plan, f"{folder}/a.sqlite", jobs=1)
        >>> first.done, again.done, again.found
        (4, 0, 4)
    """
    check_choice("engine", engine, engines.ENGINES)
    if address is not None and engine != "ray":
        raise UsageError(f"An address is one of a Ray cluster; give engine ray with it, not {engine}.")
    for name, value in (("jobs", jobs), ("cells_per_task", cells_per_task)):
        if value is not None:
            check_whole(name, value, least=1)
    if engine == "ray":
        require("ray", extra="ray")
    # Draws that fell together are one cell.
    wanted = {cell.key: cell for cell in plan.cells() if _falls_to(cell, shard)}
    with Store(store, create=True) as opened, opened.locked():
        opened.add(wanted.values())
        states = opened.states()
        skipped = {"done"} if retry_failed else {"done", "failed"}
        missing = [cell for key, cell in wanted.items() if states[key] not in skipped]
        found = sum(states[key] == "done" for key in wanted)
        failed = 0 if retry_failed else sum(states[key] == "failed" for key in wanted)
        done = 0
        if on_progress is not None:
            on_progress(0, len(missing))
        if missing:
            with _engine(engine, _tasks(missing, cells_per_task), address=address, jobs=jobs) as outcomes:
                for some in outcomes:
                    opened.save(some, versions=_versions())
                    done += sum(not outcome.error_type for outcome in some)
                    failed += sum(bool(outcome.error_type) for outcome in some)
                    if on_progress is not None:
                        on_progress(done + failed, len(missing))
    return Tally(cells=len(wanted), found=found, done=done, failed=failed)


def sweep(design: str, store: str | Path, *, seeds: int | Sequence[int] = 1, engine: str = "local", **how: Any) -> Any:
    """Plan, run and read in one call.

    Args:
        design: As for ``Sweep``.
        store: The SQLite file.
        seeds: The seeds, or how many from 0.
        engine: As for ``run``.
        how: Further fields of ``Sweep``, and ``jobs``, ``address``, ``cells_per_task``, ``retry_failed`` of ``run``.

    Returns:
        The rows of the cells of this sweep, as ``frame`` gives them.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     rows = sweep("mlp:width=16", f"{folder}/a.sqlite", grid={"depth": [2, 4]}, seeds=2, jobs=1)
        >>> rows["depth"].tolist(), rows["status"].unique().tolist()
        ([2, 2, 4, 4], ['done'])
    """
    from leadline.studies.sweeps.tables import frame

    running = {name: how.pop(name) for name in ("jobs", "address", "cells_per_task", "retry_failed") if name in how}
    chosen = tuple(range(seeds)) if isinstance(seeds, int) else tuple(seeds)
    plan = Sweep(design=design, seeds=chosen, **how)
    run(plan, store, engine=engine, **running)
    with Store(store) as opened:
        rows = frame(opened)
    return rows[rows["key"].isin([cell.key for cell in plan.cells()])].reset_index(drop=True)


def _falls_to(cell: Cell, shard: tuple[int, int] | None) -> bool:
    """Whether the cell is of the shard: by its key, so that a cell stays where it is when the sweep grows."""
    if shard is None:
        return True
    part, parts = shard
    if not 1 <= part <= parts:
        raise UsageError(f"A shard is a part from 1 of a number of parts, such as 3/64; got {part}/{parts}.")
    return int(cell.key[:15], 16) % parts == part - 1


def _tasks(cells: Iterable[Cell], size: int) -> Iterator[list[Cell]]:
    waiting = iter(cells)
    while task := list(islice(waiting, size)):
        yield task


def _engine(
    name: str, tasks: Iterator[list[Cell]], *, address: str | None, jobs: int | None
) -> AbstractContextManager[Iterator[list[Outcome]]]:
    return engines.ray(tasks, address=address, jobs=jobs) if name == "ray" else engines.local(tasks, jobs=jobs)


def _versions() -> str:
    """What measured, for the record: the key does not hold it, so that a newer torch does not undo a sweep."""
    import torch

    return json.dumps({"leadline": __version__, "torch": str(torch.__version__), "python": platform.python_version()})
