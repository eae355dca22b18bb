"""Batches of a data set, epoch by epoch."""

from collections.abc import Iterator

import torch
from torch import Tensor

from leadline._core.errors import UsageError


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
        UsageError: If ``size`` is below 1 or above the number of samples.

    Example:
        >>> batches = shuffled(torch.arange(4.0), torch.arange(4), size=2, generator=torch.Generator().manual_seed(0))
        >>> sorted(torch.cat([next(batches)[1], next(batches)[1]]).tolist())
        [0, 1, 2, 3]
    """
    if not 1 <= size <= len(inputs):
        raise UsageError(f"A batch has 1 to {len(inputs)} samples, as many as there are; got {size}.")
    whole = len(inputs) // size * size
    while True:
        order = torch.randperm(len(inputs), generator=generator)[:whole]
        for chosen in order.to(inputs.device).split(size):
            yield inputs[chosen], targets[chosen]
