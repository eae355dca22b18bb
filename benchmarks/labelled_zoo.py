"""What the zoos of labelled networks share: the task, the trainer, and a file of networks that is filled one by one."""

import argparse
import json
import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import short_training
import timing  # noqa: F401 (one thread)
import torch
from rich.console import Console
from rich.progress import track
from sklearn.datasets import load_digits
from torch import Tensor, nn

RATES, BATCH, STEPS = (1e-2, 1e-3, 1e-4), 64, 150
Config = dict[str, Any]


def digits() -> tuple[Tensor, Tensor]:
    images, labels = load_digits(return_X_y=True)
    x = torch.tensor(images, dtype=torch.float32)
    return (x - x.mean()) / x.std(), torch.tensor(labels)


def batch(config: Config) -> tuple[Tensor, Tensor]:
    """The batch that the network is measured on."""
    x, y = digits()
    rows = torch.randperm(len(x), generator=torch.Generator().manual_seed(config["seed"]))[:BATCH]
    return x[rows], y[rows]


def label(doc: str | None, drawn: Callable[[random.Random], Config], build: Callable[[Config], nn.Module]) -> None:
    """Draw networks, train each at all rates, and add a line a network to the file named on the command line."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    rng = random.Random(args.seed)
    done = len(args.out.read_text().splitlines()) if args.out.exists() else 0
    with args.out.open("a") as file:
        for i in track(range(args.count), "Training", console=Console(stderr=True)):
            config = drawn(rng)
            if i >= done:
                best = min(_final_loss(build(config), rate, config["seed"]) for rate in RATES)
                outcome = {"best": best if math.isfinite(best) else None, "trains": best < 1.0}
                file.write(json.dumps({"config": config, "outcome": outcome}) + "\n")
                file.flush()


def _final_loss(model: nn.Module, rate: float, seed: int) -> float:
    """Mean loss of the last Adam steps."""
    optimiser = torch.optim.Adam(model.parameters(), rate)
    return short_training.final_loss(model, optimiser, digits(), seed=seed + 1, steps=STEPS, batch=BATCH)
