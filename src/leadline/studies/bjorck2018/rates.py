"""Which learning rates train, over depth and normaliser: a sweep of small perceptrons, and what is read off it."""

import math
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from leadline.studies.sweeps import sweep

if TYPE_CHECKING:
    import pandas as pd

NORMS = {"none": "no norm", "layer": "layer norm", "batch": "batch norm", "fractional": "fractional batch norm"}
DEPTHS = (2, 4, 8, 16, 32, 64)
RATES = tuple(10 ** (k / 2) for k in range(-5, 3))  # 0.003 … 10
STEPS = 250


def trained_grid(
    seeds: Sequence[int],
    *,
    norms: Sequence[str] = tuple(NORMS),
    depths: Sequence[int] = DEPTHS,
    rates: Sequence[float] = RATES,
    steps: int = STEPS,
    jobs: int | None = None,
) -> "pd.DataFrame":
    """Every combination trained by plain SGD on the digits: ReLU perceptrons of width 64 with the weights of He et al.

    Args:
        seeds: Of weights and batches.
        norms: Between the linear maps and the activations.
        depths: Hidden blocks.
        rates: Learning rates.
        steps: Steps of 64 digits each.
        jobs: Processes; by default one a CPU. The rows do not depend on it.

    Returns:
        The rows of the sweep, a training each: ``final_loss`` is the mean of the last 20 losses and infinite where it
        diverged, ``learnt`` is 1 where that is below ``limit``.

    Example:
        >>> rows = trained_grid([0], norms=["none"], depths=[2], rates=[0.1, 100.0], steps=60, jobs=1)
        >>> rows["learnt"].tolist()
        [1, 0]
    """
    grid: dict[str, Sequence[Any]] = {"norm": tuple(norms), "depth": tuple(depths)}
    with tempfile.TemporaryDirectory() as folder:
        return sweep(
            "mlp:width=64,init=he", Path(folder, "grid.sqlite"), grid=grid, seeds=tuple(seeds), measure="train",
            data="digits", steps=steps, learning_rates=tuple(rates), optimiser="sgd", jobs=jobs,
        )  # fmt: skip


def largest_rates(rows: "pd.DataFrame", norm: str) -> np.ndarray:
    """The largest rate that trains, ``(seeds, depths)``; 0 where none does.

    Example:
        >>> import pandas as pd
        >>> runs = {"norm": "none", "seed": 0, "depth": [2, 2, 4, 4], "learning_rate": [0.1, 1, 0.1, 1]}
        >>> largest_rates(pd.DataFrame({**runs, "learnt": [1, 0, 0, 0]}), "none").tolist()
        [[0.1, 0.0]]
    """
    own = rows[rows["norm"] == norm].assign(trained=lambda each: each["learning_rate"] * each["learnt"])
    return own.pivot_table(index="seed", columns="depth", values="trained", aggfunc="max").to_numpy()


def losses_of(rows: "pd.DataFrame", norm: str, depth: int, *, most: float = math.inf) -> np.ndarray:
    """The loss after training, ``(seeds, rates)``; at most ``most``.

    Example:
        >>> import pandas as pd
        >>> runs = {"norm": "none", "depth": 2, "seed": 0, "learning_rate": [0.1, 1], "final_loss": [0.2, math.inf]}
        >>> losses_of(pd.DataFrame(runs), "none", 2, most=2.3).tolist()
        [[0.2, 2.3]]
    """
    own = rows[(rows["norm"] == norm) & (rows["depth"] == depth)]
    return own.pivot(index="seed", columns="learning_rate", values="final_loss").clip(upper=most).to_numpy()
