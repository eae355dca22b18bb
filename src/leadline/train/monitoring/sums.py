"""What is kept of the outputs of layers and of their gradients in one step: sums, which add up.

Sums of micro-batches and of processes are added, and the numbers are made of the totals: they are
those of the whole batch. Rows are samples, flattened; of a tensor with three axes (sequences) they are positions.
"""

from collections import defaultdict
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from leadline.probe.activations import SIGMOID_FLAT, TANH_FLAT
from leadline.train.monitoring import one_pass

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

Buffers = dict[Any, Any]


class Sums:
    """Sums of tensors by owner (a side of a layer, by number), on their device; nothing is read by the host.

    What the loops of ``one_pass`` can read they add to ``table`` and ``vectors``; all else goes to lists of tensors.
    There a small layer's arithmetic costs less than starting it, so rows of small tensors are copied to a buffer, and
    computed with those of other layers of the same shape.

    Attributes:
        entries: Entries by owner.
        sampled: Rows that went into ``vectors``, ``totals`` and ``units``, by owner.
        widths: Entries of these rows, by owner; 0 before the first.
        table: Rows by owner, columns as ``one_pass`` names them.
        vectors: Sum of rows, and where they are kept of their directions, by owner.
        norms: Owner and norm of each tensor.
        row_norms: Owners, norms of all their sampled rows together, and how many of these are not zero.
        totals: Owners, and sums of rows of each.
        units: Owners, and sums of directions of rows of each.
        peaks: Largest output of each unit of an activation whose units die.
        seen: Of such an activation, by owner: 1 for a unit that gave anything but zero.
        saturated: How many entries of each call that is not in the table are flat, by owner of such an activation.
        kept: Rows for a spectrum.
    """

    def __init__(self, owners: int, *, cosines: int, rows: int, buffers: Buffers):
        """The first ``cosines`` of the owners have directions added up; ``buffers`` serve every step."""
        self.entries, self.sampled, self.widths = [0] * owners, [0] * owners, [0] * owners
        self.table = np.zeros((owners, one_pass.COLUMNS))
        self.vectors: dict[int, np.ndarray] = {}
        self.norms: tuple[list[int], list[Tensor]] = ([], [])
        self.row_norms: tuple[list[int], list[Tensor], list[Tensor]] = ([], [], [])
        self.totals: list[tuple[list[int], Tensor]] = []
        self.units: list[tuple[list[int], Tensor]] = []
        self.peaks: dict[int, Tensor] = {}
        self.seen: dict[int, np.ndarray] = {}
        self.saturated: dict[int, list[Tensor]] = defaultdict(list)
        self.kept: dict[int, Tensor] = {}
        self.cosines = cosines
        self._rows, self._buffers = rows, buffers
        self._waiting: dict[Any, list[int]] = {}

    def add(self, owner: int, x: Tensor, *, keep: bool = False) -> None:
        """Take one call's tensor; ``keep`` copies its rows for a spectrum, of the first call only."""
        if keep and owner not in self.kept:
            rows = _as_rows(x)
            self.kept[owner] = rows[:: -(-len(rows) // self._rows)].to(torch.float64, copy=True)
        if one_pass.takes(x):
            self._add_array(owner, _as_rows(x.numpy()))
        elif torch.is_autocast_enabled(x.device.type):
            with torch.autocast(x.device.type, enabled=False):
                self._add_tensor(owner, _as_rows(x))
        else:
            self._add_tensor(owner, _as_rows(x))

    def _count(self, owner: int, n: int, d: int) -> tuple[int, bool]:
        """Of how many rows one is sampled, and whether they are as wide as those before."""
        few = _FEW if d <= _LONG else _FEWER
        every = -(-n // (few if few < self._rows else self._rows))
        self.entries[owner] += n * d
        if self.widths[owner] not in (0, d):
            return every, False  # a second call of another width: its norm counts, directions cannot be added
        self.widths[owner] = d
        self.sampled[owner] += -(-n // every)
        return every, True

    def _add_array(self, owner: int, x: np.ndarray) -> None:
        n, d = x.shape
        every, alike = self._count(owner, n, d)
        sums = self.vectors.get(owner) if alike else np.empty((0, d), x.dtype)
        fresh = sums is None
        if sums is None:
            sums = self.vectors[owner] = self._array(owner, (2 if owner < self.cosines else 1, d), x.dtype)
        elif sums.dtype != x.dtype:
            x, sums = x.astype(np.float64), sums.astype(np.float64)
            self.vectors[owner] = sums
        one_pass.add_rows.compiled(x, every, sums, fresh, self.table, owner)

    def _array(self, owner: int, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        # Small arrays that stay between the outputs of layers would keep the allocator from using their memory again.
        key = owner, len(shape)
        array = self._buffers.get(key)
        if array is None or array.shape != shape or array.dtype != dtype:
            array = self._buffers[key] = np.empty(shape, dtype)
        return array

    def _add_tensor(self, owner: int, rows: Tensor) -> None:
        every, alike = self._count(owner, *rows.shape)
        self._add_norm(owner, rows)
        if alike:
            self._add_rows(owner, rows[::every] if every > 1 else rows)

    def _add_norm(self, owner: int, rows: Tensor) -> None:
        half = rows.dtype in _HALVES
        self.norms[0].append(owner)
        if rows.numel() <= _SMALL and not half:
            self.norms[1].append(torch.linalg.vector_norm(rows))
        else:
            # One norm of millions of entries in single precision would lose digits.
            lengths = torch.linalg.vector_norm(rows, dim=1, dtype=torch.float32 if half else None)
            self.norms[1].append(torch.linalg.vector_norm(lengths))

    def _add_rows(self, owner: int, part: Tensor) -> None:
        (n, d), cosine, half = part.shape, owner < self.cosines, part.dtype in _HALVES
        if n * d > _SMALL:
            self._compute([owner], (part.float() if half else part)[None], cosine)
            return
        key = n, d, part.dtype, part.device, cosine
        owners = self._waiting.get(key)
        if owners is None:
            owners = self._waiting[key] = []
            if key not in self._buffers:
                dtype = torch.float32 if half else part.dtype
                with torch.inference_mode(False):
                    buffer = torch.empty(_TOGETHER, n, d, dtype=dtype, device=part.device)
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
            if one_pass.takes(x):
                self._add_units(owner, x.numpy())
                return
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
            calls = self.saturated[owner]
            if one_pass.takes(x):
                one_pass.add_flat.compiled(x.numpy().reshape(-1), low, high, self.table, owner)
            else:
                calls.append(((x <= low) | (x >= high)).sum()[None])

    def _add_units(self, owner: int, x: np.ndarray) -> None:
        x = x.reshape(*x.shape[:2], -1) if x.ndim == 4 else x.reshape(-1, x.shape[-1], 1)
        seen = self.seen.get(owner)
        fresh = seen is None or len(seen) != x.shape[1]
        if fresh:
            seen = self.seen[owner] = self._array(owner, x.shape[1:2], x.dtype)
        one_pass.add_units.compiled(x, seen, fresh, self.table, owner)

    def flush(self) -> None:
        """Compute all that waits."""
        while self._waiting:
            key, owners = self._waiting.popitem()
            buffer = self._buffers[key][0][: len(owners)]
            with torch.no_grad(), torch.autocast(buffer.device.type, enabled=False):
                self._compute(owners, buffer, key[-1])

    def hand_over(self, *, every: bool) -> None:
        """Make tensors of arrays where others are to be added: those of all owners, or of owners with tensors too."""
        with_tensors = {owner for owners, _ in self.totals for owner in owners}
        for owner in [o for o in self.vectors if every or o in with_tensors]:
            total, *units = torch.from_numpy(self.vectors.pop(owner)).split(1)
            self.totals.append(([owner], total))
            self.units += [([owner], unit) for unit in units]
            self.table[owner, [one_pass.TOTAL, one_pass.DIRECTIONS]] = 0.0
        for owner in [o for o in self.seen if every or o in self.peaks]:
            seen, peak = torch.from_numpy(self.seen.pop(owner)), self.peaks.get(owner)
            same = peak is not None and peak.shape == seen.shape
            self.peaks[owner] = torch.maximum(peak, seen) if same and peak is not None else seen
            self.table[owner, one_pass.RESTING] = 0.0

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


_Array = TypeVar("_Array", Tensor, np.ndarray)


def _as_rows(x: _Array) -> _Array:
    if x.ndim == 2:
        return x
    return x.reshape(-1, x.shape[-1]) if x.ndim == 3 else x.reshape(x.shape[0], -1)
