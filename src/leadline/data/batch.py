"""A batch: inputs, targets where there are any, and a seeded choice of samples."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from leadline._core.errors import UsageError

Inputs = Tensor | tuple[Any, ...] | Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Batch:
    """What goes into a model, and what should come out.

    Attributes:
        inputs: A tensor, a tuple of positional or a mapping of keyword arguments; samples along the first axis.
        targets: One label, value or sequence a sample, or ``None``.
        pool: The larger batch that it was taken of, or ``None``.
    """

    inputs: Inputs
    targets: Tensor | None = None
    pool: "Batch | None" = None

    @property
    def samples(self) -> Tensor:
        """The inputs, where they are one tensor.

        Raises:
            UsageError: If they are a tuple or a mapping.
        """
        if not isinstance(self.inputs, Tensor):
            raise UsageError(f"Samples are rows of one tensor; these inputs are a {type(self.inputs).__name__}.")
        return self.inputs

    def take(self, size: int, *, seed: int) -> "Batch":
        """``size`` different samples in random order.

        Args:
            size: Number of samples.
            seed: Seed of the choice; the global generator is left alone.

        Returns:
            The smaller batch, sharing no memory with this one.

        Raises:
            UsageError: If ``size`` is below 1 or exceeds the samples there are, or the inputs are several tensors.

        Example:
            >>> small = Batch(inputs=torch.arange(10.0).reshape(10, 1)).take(4, seed=0)
            >>> len(set(small.inputs.flatten().tolist()))
            4
        """
        available = len(self.samples)
        if not 1 <= size <= available:
            raise UsageError(f"The batch must have 1 to {available} samples; got {size}.")
        chosen = torch.randperm(available, generator=torch.Generator().manual_seed(seed))[:size]
        targets = None if self.targets is None else self.targets[chosen]
        return Batch(inputs=self.samples[chosen], targets=targets, pool=self)
