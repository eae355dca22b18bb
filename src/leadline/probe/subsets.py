"""Random halves of a batch, for intervals where there is one instance of the weights."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from leadline._core.arguments import mapped
from leadline.probe.inputs import Batch


def halves(batch: Batch, targets: Any, *, count: int, seed: int) -> Iterator[tuple[Batch, Any]]:
    """``count`` random halves of the samples, each with its targets.

    Every tensor whose first axis is as long as the batch is taken to hold its samples along it.
    """
    generator = torch.Generator().manual_seed(seed)
    for _ in range(count):
        chosen = torch.randperm(batch.size, generator=generator)[: batch.size // 2].sort().values

        half = partial(_taken, chosen, batch.size, batch.axis)
        fed = replace(batch, args=mapped(half, batch.args), kwargs=mapped(half, batch.kwargs), size=len(chosen))
        yield fed, mapped(partial(_taken, chosen, batch.size, 0), targets)


def _taken(chosen: Tensor, size: int, axis: int, name: str, tensor: Tensor) -> Tensor:
    if tensor.ndim <= axis or tensor.shape[axis] != size:
        return tensor
    return tensor.index_select(axis, chosen.to(tensor.device))
