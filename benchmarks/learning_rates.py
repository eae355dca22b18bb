"""Does the largest step at initialisation say which learning rates training then stands?

    python benchmarks/learning_rates.py RECORDS ZOO [--count 40] [--json OUT]

Networks of RECORDS that train are trained for 150 steps at rates a factor of two apart around the largest step of one
batch: plain descent around that along the gradient, Adam around that along its sign. What training stands is the
largest rate with which it passes the rule, the mean of the last 20 losses below 1. Printed are the quartiles of that
rate over the step, by normalisation, and how many octaves the rates and the ratios spread over.
"""

import argparse
import json
import math
from collections import defaultdict
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import timing  # noqa: F401 (one thread)
import torch
import zoo_file
from rich.console import Console
from rich.progress import track
from rich.table import Table
from short_training import final_loss

from leadline.metrics import largest_step

OCTAVES = range(6, -8, -1)
STEPS, RUNAWAY = 150, 100.0
OPTIMISERS = {"gradient": torch.optim.SGD, "sign": torch.optim.Adam}


def stands(zoo: ModuleType, config: dict[str, Any], optimiser: type[torch.optim.Optimizer], rate: float) -> bool:
    """Whether training at the rate passes the rule."""
    model = zoo.build(config)
    task, seed = zoo.digits(), config["seed"] + 1
    descent = optimiser(model.parameters(), rate)
    return final_loss(model, descent, task, seed=seed, steps=STEPS, batch=zoo.BATCH, runaway=RUNAWAY) < 1.0


def largest_rate(zoo: ModuleType, config: dict[str, Any], direction: str, step: float) -> float:
    rates = (step * 2.0**octave for octave in OCTAVES)
    return next((rate for rate in rates if stands(zoo, config, OPTIMISERS[direction], rate)), math.nan)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("records", type=Path)
    parser.add_argument("zoo", type=Path)
    parser.add_argument("--count", type=int, default=40)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    zoo = zoo_file.loaded(args.zoo)
    records = [json.loads(line) for line in args.records.read_text().splitlines()]
    configs = [record["config"] for record in records if record["outcome"]["trains"]][: args.count]
    rows: list[dict[str, Any]] = []
    for config in track(configs, "Training", console=Console(stderr=True)):
        for direction in OPTIMISERS:
            found = largest_step(zoo.build(config), *zoo.batch(config), direction=direction)
            if 0 < found.step < math.inf:
                stood = largest_rate(zoo, config, direction, found.step)
                rows.append({"norm": config["norm"], "direction": direction, "stood": stood, **vars(found)})
    if args.json:
        args.json.write_text(json.dumps(rows))
    print(f"{len(configs)} networks")
    Console(width=100).print(_table(rows))


def _table(rows: list[dict[str, Any]]) -> Table:
    groups = defaultdict(list)
    for row in rows:
        groups[row["direction"], row["norm"]].append(row)
        groups[row["direction"], "all"].append(row)
    table = Table(
        "direction", "norm", "networks", "stood / step: quartiles", "by curvature", "octaves of rates, of ratios"
    )
    for (direction, norm), group in sorted(groups.items()):
        stood = np.array([row["stood"] for row in group])
        step, parabola = (np.array([row[name] for row in group]) for name in ("step", "quadratic"))
        by_loss, by_curve = (" ".join(f"{q:.2g}" for q in _quartiles(stood / of)) for of in (step, parabola))
        spread = " ".join(f"{np.nanstd(np.log2(x)):.1f}" for x in (stood, stood / step))
        table.add_row(direction, norm, str(len(group)), by_loss, by_curve, spread)
    return table


def _quartiles(values: np.ndarray) -> np.ndarray:
    return np.nanpercentile(values, [25, 50, 75])


if __name__ == "__main__":
    main()
