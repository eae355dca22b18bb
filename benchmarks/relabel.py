"""Labels networks that are labelled already for another trainer: the same networks, batches, steps and limit, with SGD.

    python benchmarks/relabel.py RECORDS... ZOO OUT.jsonl [--count 400]    resumes where it stopped

``outcome`` has the final losses at the rates of plain descent with momentum 0.9, the best, and whether it is below 1.
"""

import argparse
import json
import math
from pathlib import Path
from types import ModuleType
from typing import Any

import short_training
import timing  # noqa: F401 (one thread)
import torch
import zoo_file
from rich.console import Console
from rich.progress import track

RATES = (1e-1, 1e-2, 1e-3)
MOMENTUM = 0.9


def final_loss(zoo: ModuleType, config: dict[str, Any], rate: float) -> float:
    """Mean loss of the last steps at the rate."""
    model = zoo.build(config)
    optimiser = torch.optim.SGD(model.parameters(), rate, momentum=MOMENTUM)
    seed = config["seed"] + 1
    return short_training.final_loss(model, optimiser, zoo.digits(), seed=seed, steps=zoo.STEPS, batch=zoo.BATCH)


def outcome(finals: dict[str, float]) -> dict[str, Any]:
    best = min(finals.values())
    known = {rate: loss if math.isfinite(loss) else None for rate, loss in finals.items()}
    return {"final_loss": known, "best": best if math.isfinite(best) else None, "trains": best < 1.0}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("records", nargs="+", type=Path)
    parser.add_argument("zoo", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--count", type=int, default=400)
    args = parser.parse_args()
    zoo = zoo_file.loaded(args.zoo)
    configs = [json.loads(line)["config"] for path in args.records for line in path.read_text().splitlines()]
    done = [json.loads(line)["config"] for line in args.out.read_text().splitlines()] if args.out.exists() else []
    with args.out.open("a") as file:
        for config in track(configs[: args.count], "Training", console=Console(stderr=True)):
            if config not in done:
                finals = {f"{rate:g}": final_loss(zoo, config, rate) for rate in RATES}
                file.write(json.dumps({"config": config, "outcome": outcome(finals)}) + "\n")
                file.flush()


if __name__ == "__main__":
    main()
