"""CPU time of variants of one piece of work, side by side: one thread, interleaved, the median."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import statistics
import time
from collections.abc import Callable, Mapping

import torch

torch.set_num_threads(1)


def side_by_side(variants: Mapping[str, Callable[[], object]], *, repeats: int = 11) -> dict[str, float]:
    """Median milliseconds of CPU time by name, after one unmeasured round.

    Rounds are interleaved, so that what else the machine does meets every variant alike.
    """
    times: dict[str, list[float]] = {name: [] for name in variants}
    for variant in variants.values():
        variant()
    for _ in range(repeats):
        for name, variant in variants.items():
            start = time.process_time()
            variant()
            times[name].append(1e3 * (time.process_time() - start))
    return {name: statistics.median(values) for name, values in times.items()}


def show(title: str, milliseconds: Mapping[str, float]) -> None:
    """Print a table; ratios are to the first entry."""
    first = next(iter(milliseconds.values()))
    print(title)
    for name, value in milliseconds.items():
        print(f"  {name:<44} {value:9.2f} ms  {value / first:6.2f}x")
