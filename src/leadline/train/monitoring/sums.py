"""What is kept of the outputs of a layer, or of their gradients, in one step: sums, which add up.

Sums of micro-batches and of processes are added, and the numbers are made of the totals: they are
those of the whole batch. Rows are samples, flattened; of a tensor with three axes (sequences) they are positions.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from leadline.probe.activations import SIGMOID_FLAT, TANH_FLAT

# Class name -> limits of the output at or beyond which the slope is nearly zero, as `leadline.profile` has them.
_FLAT = {
    "Tanh": TANH_FLAT,
    "Sigmoid": SIGMOID_FLAT,
    "Hardtanh": (-1.0, 1.0),
    "Hardsigmoid": (0.0, 1.0),
    "Softsign": (-0.8173, 0.8173),
}
# Those with units that die: the output is zero for every row.
_MORTAL = {"ReLU", "ReLU6", "Hardswish"}


@dataclass(kw_only=True)
class Sums:
    """Sums of one layer on one side, as tensors on its device; nothing is read by the host.

    Attributes:
        rows: Rows at most, a call, that ``rows_total``, ``units_total`` and what is made of them use.
        cosine: Whether directions of rows are added up too.
    """

    rows: int
    cosine: bool
    entries: int = 0
    sampled: int = 0
    norms: list[Tensor] = field(default_factory=list)
    sampled_norms: list[Tensor] = field(default_factory=list)
    rows_total: Tensor | None = None
    units_total: Tensor | None = None
    peak: Tensor | None = None
    saturated: list[Tensor] = field(default_factory=list)
    kept: Tensor | None = None
    saturates: bool = False

    def add(self, x: Tensor, *, keep: bool = False) -> None:
        """Take one call's tensor; ``keep`` copies its rows for a spectrum, of the first call only."""
        rows = _as_rows(x)
        n = rows.shape[0]
        every = -(-n // self.rows)
        part = rows[::every] if every > 1 else rows
        if part.dtype in (torch.float16, torch.bfloat16):
            part = part.float()
        lengths = torch.linalg.vector_norm(rows, dim=1, dtype=part.dtype)
        sampled = lengths[::every] if every > 1 else lengths
        self.norms.append(lengths)
        self.sampled_norms.append(sampled)
        self.entries += x.numel()
        if self.rows_total is None or self.rows_total.shape[0] == part.shape[1]:
            self.sampled += part.shape[0]
            self.rows_total = _plus(self.rows_total, part.sum(0))
            if self.cosine:
                self.units_total = _plus(self.units_total, sampled.clamp_min(1e-30).reciprocal_() @ part)
        if keep and self.kept is None:
            self.kept = part.double()

    def add_activation(self, module: nn.Module, x: Tensor) -> None:
        """Take the output of an activation: which units gave anything but zero, and how many entries are flat."""
        name = type(module).__name__
        if name in _MORTAL and x.ndim >= 2:
            axis = 1 if x.ndim == 4 else x.ndim - 1
            others = [i for i in range(x.ndim) if i != axis]
            peak = x.amax(others)  # outputs of those at rest are zero; Hardswish is negative between its flat ends
            if name == "Hardswish":
                peak = torch.maximum(peak, -x.amin(others))
            same = self.peak is not None and self.peak.shape == peak.shape
            self.peak = torch.maximum(self.peak, peak) if same and self.peak is not None else peak
        elif name in _FLAT:
            self.saturates = True
            low, high = _FLAT[name]
            self.saturated.append(((x <= low) | (x >= high)).sum()[None])


def _as_rows(x: Tensor) -> Tensor:
    if x.ndim == 3:
        return x.flatten(0, 1)
    return x.flatten(1) if x.ndim >= 2 else x.reshape(-1, 1)


def _plus(total: Tensor | None, value: Tensor) -> Tensor:
    return value if total is None else total + value
