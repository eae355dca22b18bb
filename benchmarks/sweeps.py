"""What a sweep costs beside the cells: expanding, hashing, storing, and the round trip of a task on every engine.

Shows the cost of the machinery on this machine. Does not show a cluster: there the network between its nodes is added.

    python benchmarks/sweeps.py [local] [ray]
"""

import resource
import sys
import tempfile
import time
from pathlib import Path

from leadline.studies.sweeps import Cell, Store, Sweep, engines
from leadline.studies.sweeps.measuring import measure

CELLS, TASKS = 100_000, 2_000
DESIGNS = ("mlp:depth=10", "mlp:depth=50", "mlp:depth=100", "resnet20")


def expanding() -> None:
    with tempfile.TemporaryDirectory() as folder, Store(Path(folder, "store"), create=True) as store:
        start = time.perf_counter()
        cells = list(Sweep(design="mlp", seeds=tuple(range(CELLS))).cells())
        _ = [cell.key for cell in cells]
        expanded = time.perf_counter()
        store.add(cells)
        added = time.perf_counter()
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"expand and hash  {(expanded - start) / CELLS * 1e6:8.1f} µs a cell")
        print(f"note in store    {(added - expanded) / CELLS * 1e6:8.1f} µs a cell")
        print(f"memory           {memory:8.0f} MiB with {CELLS} cells")


def storing(design: str, *, copies: int = 300) -> None:
    name, _, options = design.partition(":")
    fixed = Sweep(design=name, grid={k: (v,) for k, _, v in (o.partition("=") for o in options.split(",") if o)})
    (one,) = fixed.cells()
    measure(one)
    times, outcome = [], None
    for _ in range(9):
        outcome = measure(one)
        times.append(outcome.seconds)
    assert outcome is not None
    cells = [Cell(design=one.design, options=one.options, seed=seed) for seed in range(copies)]
    with tempfile.TemporaryDirectory() as folder, Store(path := Path(folder, "store"), create=True) as store:
        store.add(cells)
        start = time.perf_counter()
        for cell in cells:
            store.save([type(outcome)(**{**vars(outcome), "key": cell.key})], versions="{}")
        seconds = (time.perf_counter() - start) / copies
        store.close()
        print(
            f"{design:16} measure {sorted(times)[4] * 1e3:8.1f} ms   store {seconds * 1e3:6.2f} ms   "
            f"{path.stat().st_size / copies / 1024:6.1f} KiB a cell   {len(outcome.layers)} layers"
        )


def round_trips(engine: str) -> None:
    for jobs in (1, 2):
        start = time.perf_counter()
        how = getattr(engines, engine)
        with how(([] for _ in range(TASKS + 1)), jobs=jobs) as outcomes:
            next(iter(outcomes))
            first = time.perf_counter()
            for _ in outcomes:
                pass
            seconds = time.perf_counter() - first
        print(f"{engine} with {jobs} jobs: start {first - start:5.2f} s, {seconds / TASKS * 1e3:6.3f} ms a task")


if __name__ == "__main__":
    expanding()
    for each in DESIGNS:
        storing(each)
    for word in sys.argv[1:] or ["local"]:
        round_trips(word)
