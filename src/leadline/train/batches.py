"""Batches of a data set, epoch by epoch, and what each batch must be."""

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

from leadline._core.errors import UsageError
from leadline._core.wording import count


def shuffled(
    inputs: Tensor, targets: Tensor, *, size: int, generator: torch.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches without end: in every epoch all samples in a new order, but for those that fill no batch.

    Args:
        inputs: Samples along the first axis.
        targets: One for each.
        size: Samples of a batch.
        generator: Draws the orders; one of the same seed gives the same batches.

    Raises:
        UsageError: If there is not one target for each sample, or ``size`` is below 1 or above the number of samples.

    Example:
        >>> batches = shuffled(torch.arange(4.0), torch.arange(4), size=2, generator=torch.Generator().manual_seed(0))
        >>> sorted(torch.cat([next(batches)[1], next(batches)[1]]).tolist())
        [0, 1, 2, 3]
    """
    if len(inputs) != len(targets):
        raise UsageError(
            f"There must be one target for each sample; got {len(inputs)} samples, {len(targets)} targets."
        )
    if not 1 <= size <= len(inputs):
        raise UsageError(f"A batch has 1 to {len(inputs)} samples, as many as there are; got {size}.")
    whole = len(inputs) // size * size
    while True:
        order = torch.randperm(len(inputs), generator=generator)[:whole]
        for chosen in order.to(inputs.device).split(size):
            yield inputs[chosen], targets[chosen]


def pairs(batches: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
    """The batches, each one inputs and targets.

    Raises:
        UsageError: If one of them is no such pair, or they cannot be gone through.

    Example:
        >>> next(pairs([torch.zeros(2, 3)]))
        Traceback (most recent call last):
        leadline._core.errors.UsageError: batches must be pairs of inputs and targets, such as [(x, y)]; got Tensor.
    """
    expected = "batches must be pairs of inputs and targets, such as [(x, y)]"
    if not (hasattr(batches, "__iter__") or hasattr(batches, "__getitem__")):
        raise UsageError(f"{expected}; got {type(batches).__name__}.")
    for batch in batches:
        if not isinstance(batch, (tuple, list)):
            raise UsageError(f"{expected}; got {type(batch).__name__}.")
        if len(batch) != 2:
            raise UsageError(f"{expected}; got {count(len(batch), 'value')} for one batch.")
        yield batch[0], batch[1]
