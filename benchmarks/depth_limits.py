"""How deep do designs train, and does the depth limit of one shallow network say so?

    python benchmarks/depth_limits.py train ZOO LIMITS.jsonl [--designs 40] [--seed 0]    resumes where it stopped
    python benchmarks/depth_limits.py score ZOO LIMITS.jsonl [--depth 24]

Designs are drawn as the networks of ZOO are, but for their depth. `train` finds the deepest one of each on a ladder of
depths, a factor of √2 apart, that passes the rule of ``Diagnosis.trainable_rule``, by bisection; two seeds are trained
of each depth, and the better counts. `score` profiles one network of each design, of ``--depth`` layers, and compares.
"""

import argparse
import json
import math
import random
from pathlib import Path
from types import ModuleType

import timing  # noqa: F401 (one thread)
import zoo_file
from rich.console import Console
from rich.progress import track
from rich.table import Table

from leadline import Diagnosis, diagnose, profile

LADDERS = {
    "mlp": (2, 3, 4, 6, 8, 11, 16, 23, 32, 45, 64, 91, 128, 181, 256),
    "conv": (2, 3, 4, 6, 8, 11, 16, 23, 32, 45, 64),
}
SEEDS = 2
Config = dict


def designs(zoo: ModuleType, *, count: int, seed: int) -> list[Config]:
    rng = random.Random(seed)
    return [zoo.sample_config(rng) for _ in range(count)]


def trains(zoo: ModuleType, config: Config, depth: int) -> bool:
    """Whether some seed at some rate passes the rule."""
    for seed in range(SEEDS):
        tried = config | {"depth": depth, "seed": config["seed"] + seed}
        if any(zoo.train(tried, lr)[1] < 1.0 for lr in (1e-3, 1e-4, 1e-2)):
            return True
    return False


def deepest(zoo: ModuleType, config: Config) -> tuple[float, float]:
    """The deepest of the ladder that trains (0 for none), and the first that does not (``inf`` for none)."""
    ladder = LADDERS[config["family"]]
    low, high = -1, len(ladder)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if trains(zoo, config, ladder[middle]) else (low, middle)
    return (ladder[low] if low >= 0 else 0, ladder[high] if high < len(ladder) else math.inf)


def diagnosed(zoo: ModuleType, config: Config, depth: int) -> Diagnosis:
    shallow = config | {"depth": depth}
    return diagnose(profile(zoo.build(shallow), *zoo.batch(shallow)))


def within(estimate: float, last: float, first: float, *, factor: float = 2.0) -> bool:
    """Whether the estimate lies within a factor of the limit, which lies between ``last`` and ``first``."""
    return last / factor <= estimate <= first * factor


def _train(zoo: ModuleType, path: Path, *, count: int, seed: int) -> None:
    done = [json.loads(line)["config"] for line in path.read_text().splitlines()] if path.exists() else []
    with path.open("a") as file:
        for config in track(designs(zoo, count=count, seed=seed), "Training", console=Console(stderr=True)):
            if config not in done:
                last, first = deepest(zoo, config)
                row = {"config": config, "last": last, "first": first if math.isfinite(first) else None}
                file.write(json.dumps(row) + "\n")
                file.flush()


def _score(zoo: ModuleType, path: Path, *, depth: int) -> None:
    table = Table("design", "trained", "predicted", "interval", "what ends it", "")
    right, rows = 0, [json.loads(line) for line in path.read_text().splitlines()]
    for row in rows:
        config, last, first = row["config"], row["last"], row["first"] or math.inf
        limit = diagnosed(zoo, config, depth).depth_limit
        good = within(limit.estimate, last, first)
        right += good
        parts = [config[key] for key in ("family", "width", "activation", "norm", "init", "gain")]
        table.add_row(
            " ".join(map(str, parts)) + (" skip" if config["skip"] else ""),
            f"{last:g}-{first:g}",
            f"{limit.estimate:.3g}",
            f"{limit.low:.3g}-{limit.high:.3g}",
            limit.mechanism,
            "" if good else "x",
        )
    Console(width=150).print(table)
    print(f"{right} of {len(rows)} within a factor of two")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["train", "score"])
    parser.add_argument("zoo", type=Path)
    parser.add_argument("limits", type=Path)
    parser.add_argument("--designs", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--depth", type=int, default=24)
    args = parser.parse_args()
    zoo = zoo_file.loaded(args.zoo)
    if args.command == "train":
        _train(zoo, args.limits, count=args.designs, seed=args.seed)
    else:
        _score(zoo, args.limits, depth=args.depth)


if __name__ == "__main__":
    main()
