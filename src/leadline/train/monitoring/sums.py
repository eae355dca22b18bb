"""What is kept of the outputs of a layer, or of their gradients, in one step: sums, which add up.

Sums of micro-batches and of processes are added, and the numbers are made of the totals: they are
those of the whole batch. Rows are samples, flattened; of a tensor with three axes (sequences) they are positions.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

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
_HALVES = (torch.float16, torch.bfloat16)
_FEW, _FEWER = 32, 16  # rows that directions are taken of; of long rows fewer do, as each averages over more entries
_LONG = 1 << 14  # entries
_SMALL = 1 << 15  # entries of a part that is worth a copy: beyond it arithmetic costs more than starting it
_TOGETHER = 16  # parts of one shape that are computed at once: few enough for the cache


@dataclass(kw_only=True)
class Sums:
    """Sums of one layer on one side, as tensors on its device; nothing is read by the host.

    Attributes:
        cosine: Whether directions of rows are added up too.
        norms: Norm of every call's tensor.
        sampled_norms: Norms of the rows in ``rows_total`` (their sum) and ``units_total`` (that of their directions).
    """

    cosine: bool
    entries: int = 0
    sampled: int = 0
    norms: list[Tensor] = field(default_factory=list)
    sampled_norms: list[Tensor] = field(default_factory=list)
    rows_total: Tensor | None = None
    units_total: Tensor | None = None
    peak: Tensor | None = None
    kept: Tensor | None = None
    saturated: list[Tensor] = field(default_factory=list)
    saturates: bool = False

    def add(self, lengths: Tensor, total: Tensor, units: Tensor | None) -> None:
        """Take the norms, the sum and the sum of directions of one call's rows."""
        if self.rows_total is not None and self.rows_total.shape != total.shape:
            return  # a second call of another width: its norm counts, directions cannot be added
        self.sampled_norms.append(lengths)
        self.sampled += lengths.numel()
        self.rows_total = total if self.rows_total is None else self.rows_total + total
        if units is not None:
            self.units_total = units if self.units_total is None else self.units_total + units

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


class Adder:
    """Adds tensors to sums: rows of small ones are copied, wait, and are computed with others of their shape.

    A small layer's arithmetic costs less than starting it, so that one kernel for many layers is cheaper than
    a kernel for each.
    """

    def __init__(self, *, rows: int):
        self._rows = rows
        self._waiting: dict[Any, list[tuple[Sums, Tensor]]] = {}

    def add(self, sums: Sums, x: Tensor, *, keep: bool = False) -> None:
        """Take one call's tensor; ``keep`` copies its rows for a spectrum, of the first call only."""
        size, half = x.numel(), x.dtype in _HALVES
        sums.entries += size
        rows = x if x.ndim == 2 else _as_rows(x)
        # One norm of millions of entries in single precision would lose digits.
        lengths = torch.linalg.vector_norm(
            rows, dim=None if size <= _SMALL else 1, dtype=torch.float32 if half else None
        )
        sums.norms.append(lengths.reshape(-1))
        n, d = rows.shape
        every = -(-n // min(self._rows, _FEW if d <= _LONG else _FEWER))
        part = rows[::every] if every > 1 else rows
        if half:
            part = part.float()
        if part.numel() <= _SMALL:
            key = sums.cosine, part.shape, part.dtype, part.device
            group = self._waiting.setdefault(key, [])
            group.append((sums, part if half else part.clone()))
            if len(group) == _TOGETHER:
                self._compute(self._waiting.pop(key))
        else:
            (lengths,), (total,), (units,) = _moments(part[None], cosine=sums.cosine)
            sums.add(lengths, total, units)
        if keep and sums.kept is None:
            sums.kept = rows[:: -(-n // self._rows)].double()

    def flush(self) -> None:
        """Compute all that waits."""
        while self._waiting:
            self._compute(self._waiting.popitem()[1])

    def _compute(self, group: list[tuple[Sums, Tensor]]) -> None:
        moments = _moments(torch.stack([part for _, part in group]), cosine=group[0][0].cosine)
        for (sums, _), lengths, total, units in zip(group, *moments, strict=True):
            sums.add(lengths, total, units)


def _as_rows(x: Tensor) -> Tensor:
    if x.ndim == 3:
        return x.flatten(0, 1)
    return x.flatten(1) if x.ndim >= 2 else x.reshape(-1, 1)


def _moments(parts: Tensor, *, cosine: bool) -> list[Sequence[Tensor | None]]:
    """For each of many parts of one shape, ``(k, n, d)``: norms of rows, sum of rows, sum of their directions."""
    lengths = torch.linalg.vector_norm(parts, dim=2)
    if not cosine:
        return [lengths.unbind(), parts.sum(1).unbind(), [None] * len(parts)]
    weights = torch.stack([torch.ones_like(lengths), lengths.clamp_min(1e-30).reciprocal()], dim=1)
    totals, units = torch.bmm(weights, parts).unbind(1)
    return [lengths.unbind(), totals.unbind(), units.unbind()]
