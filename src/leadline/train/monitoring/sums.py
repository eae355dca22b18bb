"""What is kept of the outputs of layers and of their gradients in one step: sums, which add up.

Sums of micro-batches and of processes are added, and the numbers are made of the totals: they are
those of the whole batch. Rows are samples, flattened; of a tensor with three axes (sequences) they are positions.
"""

from collections import defaultdict
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

Buffers = dict[Any, tuple[Tensor, tuple[Tensor, ...]]]


class Sums:
    """Sums of tensors by owner (a side of a layer, by number), on their device; nothing is read by the host.

    A small layer's arithmetic costs less than starting it. So rows of small tensors are copied to a buffer, and
    computed with those of other layers of the same shape.

    Attributes:
        entries: Entries by owner.
        sampled: Rows that went into ``totals`` and ``units``, by owner.
        widths: Entries of these rows, by owner; 0 before the first.
        norms: Owner and norm of each tensor.
        row_norms: Owners, norms of all their sampled rows together, and how many of these are not zero.
        totals: Owners, and sums of rows of each.
        units: Owners, and sums of directions of rows of each.
        peaks: Largest output of each unit of an activation whose units die.
        saturated: How many entries of each call are flat.
        kept: Rows for a spectrum.
    """

    def __init__(self, owners: int, *, cosines: int, rows: int, buffers: Buffers):
        """The first ``cosines`` of the owners have directions added up; ``buffers`` serve every step."""
        self.entries, self.sampled, self.widths = [0] * owners, [0] * owners, [0] * owners
        self.norms: tuple[list[int], list[Tensor]] = ([], [])
        self.row_norms: tuple[list[int], list[Tensor], list[Tensor]] = ([], [], [])
        self.totals: list[tuple[list[int], Tensor]] = []
        self.units: list[tuple[list[int], Tensor]] = []
        self.peaks: dict[int, Tensor] = {}
        self.saturated: dict[int, list[Tensor]] = defaultdict(list)
        self.kept: dict[int, Tensor] = {}
        self.cosines = cosines
        self._rows, self._buffers = rows, buffers
        self._waiting: dict[Any, list[int]] = {}

    def add(self, owner: int, x: Tensor, *, keep: bool = False) -> None:
        """Take one call's tensor; ``keep`` copies its rows for a spectrum, of the first call only."""
        size, half = x.numel(), x.dtype in _HALVES
        rows = x if x.ndim == 2 else _as_rows(x)
        n, d = rows.shape
        self.entries[owner] += size
        self.norms[0].append(owner)
        if size <= _SMALL and not half:
            self.norms[1].append(torch.linalg.vector_norm(x))
        else:
            # One norm of millions of entries in single precision would lose digits.
            lengths = torch.linalg.vector_norm(rows, dim=1, dtype=torch.float32 if half else None)
            self.norms[1].append(torch.linalg.vector_norm(lengths))
        if keep and owner not in self.kept:
            self.kept[owner] = rows[:: -(-n // self._rows)].double()
        if self.widths[owner] not in (0, d):
            return  # a second call of another width: its norm counts, directions cannot be added
        every = -(-n // min(self._rows, _FEW if d <= _LONG else _FEWER))
        part = rows[::every] if every > 1 else rows
        n = part.shape[0]
        self.widths[owner] = d
        self.sampled[owner] += n
        cosine = owner < self.cosines
        if n * d > _SMALL:
            self._compute([owner], (part.float() if half else part)[None], cosine)
            return
        key = n, d, x.dtype, x.device, cosine
        owners = self._waiting.get(key)
        if owners is None:
            owners = self._waiting[key] = []
            if key not in self._buffers:
                with torch.inference_mode(False):
                    buffer = torch.empty(_TOGETHER, n, d, dtype=torch.float32 if half else x.dtype, device=x.device)
                    self._buffers[key] = buffer, buffer.unbind()
        buffer, slots = self._buffers[key]
        slots[len(owners)].copy_(part)
        owners.append(owner)
        if len(owners) == _TOGETHER:
            self._compute(self._waiting.pop(key), buffer, cosine)

    def add_activation(self, owner: int, module: nn.Module, x: Tensor) -> None:
        """Take the output of an activation: which units gave anything but zero, and how many entries are flat."""
        name = type(module).__name__
        if name in _MORTAL and x.ndim >= 2:
            axis = 1 if x.ndim == 4 else x.ndim - 1
            others = [i for i in range(x.ndim) if i != axis]
            peak = x.amax(others)  # outputs of those at rest are zero; Hardswish is negative between its flat ends
            if name == "Hardswish":
                peak = torch.maximum(peak, -x.amin(others))
            before = self.peaks.get(owner)
            same = before is not None and before.shape == peak.shape
            self.peaks[owner] = torch.maximum(before, peak) if same and before is not None else peak
        elif name in _FLAT:
            low, high = _FLAT[name]
            self.saturated[owner].append(((x <= low) | (x >= high)).sum()[None])

    def flush(self) -> None:
        """Compute all that waits."""
        while self._waiting:
            key, owners = self._waiting.popitem()
            self._compute(owners, self._buffers[key][0][: len(owners)], key[-1])

    def _compute(self, owners: list[int], parts: Tensor, cosine: bool) -> None:
        lengths = torch.linalg.vector_norm(parts, dim=2)
        self.row_norms[0].extend(owners)
        self.row_norms[1].append(torch.linalg.vector_norm(lengths, dim=1))
        self.row_norms[2].append((lengths > 0).sum(1))
        if cosine:
            weights = torch.stack([torch.ones_like(lengths), lengths.clamp_min(1e-30).reciprocal()], dim=1)
            total, units = torch.bmm(weights, parts).unbind(1)
            self.units.append((owners, units))
        else:
            total = parts.sum(1)
        self.totals.append((owners, total))


def _as_rows(x: Tensor) -> Tensor:
    if x.ndim == 3:
        return x.flatten(0, 1)
    return x.flatten(1) if x.ndim >= 2 else x.reshape(-1, 1)
