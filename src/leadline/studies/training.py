"""Training on labelled images, as the studies of every paper do it."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor


def shuffled(
    samples: Tensor, labels: Tensor, *, size: int, generator: torch.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches without end: in every epoch all samples in a new order, but for those that fill no batch."""
    whole = len(samples) // size * size
    while True:
        for chosen in torch.randperm(len(samples), generator=generator)[:whole].to(samples.device).split(size):
            yield samples[chosen], labels[chosen]


def moving_mean(losses: Sequence[float], window: int) -> np.ndarray:
    """Means of ``window`` neighbours, from the first that has as many before it."""
    return np.convolve(losses, np.ones(window) / window, "valid")
