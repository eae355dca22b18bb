"""Compiled loops over tensors on the CPU: what `Sums` keeps of a tensor, from one pass over its memory.

They add to the row of an owner in a table in float64. Sums of squares run in float64 and in lanes beside each other,
so that they are vectorised without a change of the order in which they are added.
"""

import numpy as np
import torch
from torch import Tensor

from leadline._core.compiled import Loop, can_compile, one_thread_does

# Columns of the table: squares of all entries; those of sampled rows; how many of these are not zero; squares of the
# sums of sampled rows and of their directions; flat entries; units at rest.
SQUARE, SAMPLED, NONZERO, TOTAL, DIRECTIONS, FLAT, RESTING = range(7)
COLUMNS = 7
_LANES = 64
_TAKEN = (torch.float32, torch.float64)
_KINDS = (Tensor, torch.nn.Parameter)  # what derives from them may have no memory of its own


def takes(x: Tensor) -> bool:
    """Whether the loops can read the tensor, and one thread does it as fast as torch's."""
    plain = x.is_cpu and x.dtype in _TAKEN and type(x) in _KINDS and x.is_contiguous()
    # Under transforms of torch.func a tensor has no memory of its own either.
    there = plain and not torch._C._functorch.is_functorch_wrapped_tensor(x) and can_compile()  # pyright: ignore[reportAttributeAccessIssue]
    return there and one_thread_does(x.numel(), threads=torch.get_num_threads())


@Loop
def add_rows(x, every, sums, fresh, table, owner):
    """Take ``x`` of shape (n, d): squares, and of every ``every``-th row its sum and that of its direction.

    The latter two are added to ``sums`` of shape (2, d), or with ``fresh`` written there; with (1, d) directions are
    left out, with (0, d) both.
    """
    n, d = x.shape
    if fresh:
        sums[:] = 0
    lanes = np.empty(min(d, _LANES))
    sampled = (n + every - 1) // every if len(sums) else 0
    for i in range(sampled + len(sums)):
        row = x[i * every] if i < sampled else sums[i - sampled]
        lanes[:] = 0.0
        for j in range(0, d, _LANES):
            part = row[j : j + _LANES]
            for k in range(len(part)):
                lanes[k] += np.float64(part[k]) * np.float64(part[k])
        width = len(lanes)
        while width > 1:
            half = (width + 1) // 2
            for k in range(width - half):
                lanes[k] += lanes[half + k]
            width = half
        square = lanes[0]
        if i >= sampled:  # all rows are in the sums
            table[owner, TOTAL + i - sampled] = square
            continue
        table[owner, SQUARE] += square
        table[owner, SAMPLED] += square
        table[owner, NONZERO] += square > 0
        if len(sums) == 1:
            for j in range(d):
                sums[0, j] += row[j]
        else:
            length = np.sqrt(square)
            weight = x.dtype.type(1 / (1e-30 if length < 1e-30 else length))
            for j in range(d):
                sums[0, j] += row[j]
                sums[1, j] += row[j] * weight
    lanes = np.zeros(_LANES)
    for i in range(0, n, every):
        between = x[i + (sampled > 0) : i + every].reshape(-1)
        for j in range(0, len(between), _LANES):
            part = between[j : j + _LANES]
            for k in range(len(part)):
                lanes[k] += np.float64(part[k]) * np.float64(part[k])
    table[owner, SQUARE] += lanes.sum()


@Loop
def add_units(x, seen, fresh, table, owner):
    """Mark in ``seen`` the units that are not zero somewhere in ``x`` of shape (n, units, entries of a unit)."""
    n, _, size = x.shape
    if fresh:
        seen[:] = 0
    resting = np.flatnonzero(seen == 0)
    left = len(resting)
    for i in range(n):
        if not left:
            break
        still = 0
        for k in range(left):
            unit = resting[k]
            moves = False
            for j in range(size):
                if x[i, unit, j] != 0:
                    moves = True
                    break
            if moves:
                seen[unit] = 1
            else:
                resting[still] = unit
                still += 1
        left = still
    table[owner, RESTING] = left


@Loop
def add_flat(x, low, high, table, owner):
    """Count the entries of ``x`` with one axis that are not between ``low`` and ``high``."""
    low, high = x.dtype.type(low), x.dtype.type(high)
    count = np.zeros(_LANES, dtype=x.dtype)
    for i in range(0, len(x), _LANES):
        part = x[i : i + _LANES]
        for k in range(len(part)):
            count[k] += 1 if (part[k] <= low) | (part[k] >= high) else 0
    table[owner, FLAT] += count.sum()
