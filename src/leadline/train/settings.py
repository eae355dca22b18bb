"""How a run descends: the optimiser, its schedule, and what a step is made of."""

import math
import warnings
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn
from torch.optim import lr_scheduler

from leadline._core.checks import check_whole
from leadline._core.errors import UsageError
from leadline._core.names import check_choice

OPTIMISERS = ("adam", "adamw", "sgd")
SCHEDULES = ("constant", "cosine", "linear", "step")
PRECISIONS = ("float32", "bfloat16")

_DROPS = (0.5, 0.75)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What ``fit`` was called with, as far as it decides the numbers of a run; its fields are that function's."""

    steps: int
    optimiser: str
    learning_rate: float
    momentum: float
    weight_decay: float | None
    schedule: str
    warmup: int
    clip_norm: float | None
    accumulate: int
    precision: str
    seed: int

    def __post_init__(self) -> None:
        check_choice("optimiser", self.optimiser, OPTIMISERS)
        check_choice("schedule", self.schedule, SCHEDULES)
        check_choice("precision", self.precision, PRECISIONS)
        check_whole("steps", self.steps, least=1)
        check_whole("warmup", self.warmup, least=0)
        check_whole("accumulate", self.accumulate, least=1)
        check_whole("seed", self.seed)
        if not 0 < self.learning_rate < math.inf:
            raise UsageError(f"The learning rate must be positive and finite; got {self.learning_rate}.")
        if not 0 <= self.momentum < 1:
            raise UsageError(f"The momentum must be at least 0 and below 1; got {self.momentum}.")
        if self.momentum and self.optimiser != "sgd":
            raise UsageError(f"momentum is that of optimiser='sgd'; {self.optimiser} has averages of its own.")
        if self.weight_decay is not None and not 0 <= self.weight_decay < math.inf:
            raise UsageError(f"The weight decay must be at least 0 and finite; got {self.weight_decay}.")
        if self.warmup >= self.steps:
            raise UsageError(f"The warm-up must be shorter than the {self.steps} steps; got {self.warmup}.")
        if self.clip_norm is not None and not 0 < self.clip_norm < math.inf:
            raise UsageError(f"clip_norm must be positive and finite; got {self.clip_norm}.")

    def update(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """The optimiser of ``torch.optim``."""
        given: dict[str, Any] = {} if self.weight_decay is None else {"weight_decay": self.weight_decay}
        if self.optimiser == "sgd":
            return torch.optim.SGD(parameters, lr=self.learning_rate, momentum=self.momentum, **given)
        kind = torch.optim.Adam if self.optimiser == "adam" else torch.optim.AdamW
        return kind(parameters, lr=self.learning_rate, **given)

    def rates(self, update: torch.optim.Optimizer, *, done: int = 0) -> lr_scheduler.LRScheduler:
        """The schedule of ``torch.optim.lr_scheduler``, after ``done`` steps."""
        left = self.steps - self.warmup
        main: lr_scheduler.LRScheduler
        if self.schedule == "cosine":
            main = lr_scheduler.CosineAnnealingLR(update, T_max=left)
        elif self.schedule == "linear":
            main = lr_scheduler.LinearLR(update, start_factor=1.0, end_factor=0.0, total_iters=left)
        elif self.schedule == "step":
            main = lr_scheduler.MultiStepLR(update, [round(share * left) for share in _DROPS], gamma=0.1)
        else:
            main = lr_scheduler.ConstantLR(update, factor=1.0)
        if self.warmup:
            rise = lr_scheduler.LinearLR(update, start_factor=1 / (self.warmup + 1), total_iters=self.warmup)
            main = lr_scheduler.SequentialLR(update, [rise, main], milestones=[self.warmup])
        with warnings.catch_warnings():
            # It is told off for being ahead of the optimiser, which has taken these steps in an earlier process.
            warnings.filterwarnings("ignore", message=".*lr_scheduler.step.*")
            for _ in range(done):
                main.step()
        return main

    def record(self) -> dict[str, Any]:
        """As plain data, without the number of steps where it decides nothing about those before."""
        return {name: value for name, value in asdict(self).items() if name != "steps" or self.schedule != "constant"}
