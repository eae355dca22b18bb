"""What a model is trained on, and how low its loss must come for it to have learnt something."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from leadline._core.errors import UsageError
from leadline._core.wording import count, figure
from leadline.probe.inputs import as_batch

BATCH = 64
# Of the loss of the best constant answer: 1 nat of log 10 for ten classes alike.
SHARE = 1 / math.log(10)


@dataclass(frozen=True, kw_only=True)
class Task:
    """Batches, and the loss of the best answer that does not look at the inputs.

    Attributes:
        about: The batches in words.
        batch: One batch, or all samples where ``size`` is given.
        size: Samples drawn for a step, with replacement; ``None`` where a step takes the whole batch.
        chance: Entropy of the labels, or variance of the values, as the loss counts it; ``None`` where the loss is
            the model's or the caller's own.
    """

    about: str
    batch: tuple[Any, Any]
    size: int | None = None
    chance: float | None = None

    def batches(self, *, seed: int) -> Iterator[tuple[Any, Any]]:
        """Batches without end; the same seed gives the same ones."""
        generator = torch.Generator().manual_seed(seed)
        inputs, targets = self.batch
        while True:
            if self.size is None:
                yield self.batch
            else:
                chosen = torch.randint(len(inputs), (self.size,), generator=generator).to(inputs.device)
                yield inputs[chosen], targets[chosen]

    def limit(self, firsts: Sequence[float]) -> float:
        """The loss below which a run has learnt, to three digits; ``nan`` where nothing tells it.

        Args:
            firsts: The first loss of each run: the lowest finite one is what counts where chance is unknown.
        """
        start = min(filter(math.isfinite, firsts), default=math.nan)
        return float(f"{SHARE * (start if self.chance is None else self.chance):.3g}")

    def rule(self, firsts: Sequence[float]) -> str:
        """The limit in words."""
        limit, share = figure(self.limit(firsts)), figure(SHARE)
        if self.chance is not None:
            return f"below {limit}, which is {share} of that of the best constant answer ({figure(self.chance)})"
        if limit == "nan":
            return f"below {share} of the lowest first loss, of which none was finite"
        return f"below {limit}, which is {share} of the lowest first loss"


def task(inputs: Any, targets: Any, *, drawn: bool = False, own_loss: bool = False) -> Task:
    """What to train on, from a batch or from a data set.

    Args:
        inputs: As for ``leadline.profile``; one tensor where ``drawn``.
        targets: Labels, values, or what the caller's loss takes; ``None`` where the model has a loss of its own.
        drawn: Whether these are all samples, of which every step draws 64; otherwise every step takes them whole.
        own_loss: Whether the loss is the model's or the caller's own, so that chance is unknown.

    Returns:
        The task.

    Raises:
        UsageError: If all targets are alike, so that a constant answer is right.

    Example:
        >>> found = task(torch.zeros(40, 3), torch.arange(40) % 10)
        >>> found.about, found.rule([])
        ('one batch of 40 samples', 'below 1, which is 0.434 of that of the best constant answer (2.3)')
    """
    size = as_batch(inputs, targets).size
    about = f"batches of {BATCH} of {size} samples" if drawn else f"one batch of {count(size, 'sample')}"
    chance = None if own_loss or not isinstance(targets, Tensor) else _chance(targets)
    if chance == 0:
        raise UsageError("All targets are alike: a constant answer is right, and training would show nothing.")
    return Task(about=about, batch=(inputs, targets), size=BATCH if drawn else None, chance=chance)


def _chance(targets: Tensor) -> float:
    """Cross entropy, or mean square error, of the best constant answer."""
    if targets.is_floating_point():
        values = targets.double().reshape(len(targets), -1)
        return values.var(0, correction=0).mean().item()
    counts = targets[targets != -100].unique(return_counts=True)[1].double()
    shares = counts / counts.sum()
    return max(0.0, -(shares * shares.log()).sum().item())
