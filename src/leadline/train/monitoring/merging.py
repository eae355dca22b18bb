"""Sums of all processes become numbers, with one look of the host at the device."""

import math
from collections.abc import Mapping, Sequence
from itertools import islice

import torch
import torch.distributed as dist
from torch import Tensor

from leadline.train.monitoring.one_pass import DIRECTIONS, FLAT, NONZERO, RESTING, SAMPLED, SQUARE, TOTAL
from leadline.train.monitoring.sums import Sums


def world_size() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def numbers(
    sums: Sums, others: Mapping[str, Tensor], *, world: int, grad_size: float
) -> tuple[list[dict[str, float]], dict[str, list[float]]]:
    """Numbers of every layer, and ``others`` summed over processes.

    Args:
        sums: Those of this process; owners are the same in every process.
        others: Parts of other sums by name, vectors in float64 whose length is the same in every process.
        world: How many processes train together.
        grad_size: What gradients of outputs are divided by.
    """
    owners, device = len(sums.entries), _device(sums, list(others.values()))
    sums.hand_over(every=world > 1)
    widths, units = _widths(sums, device=device, world=world)
    (own, norms), (rows_own, row_norms, alive) = sums.norms, sums.row_norms
    flat = [owner for owner, parts in sums.saturated.items() for _ in parts]
    table = torch.from_numpy(sums.table).to(device).T.contiguous()
    squares = [_on(torch.stack(_alike(norms, device)), device).square()] if norms else []
    scalars = [
        torch.tensor(sums.entries, dtype=torch.float64, device=device),
        torch.tensor(sums.sampled, dtype=torch.float64, device=device),
        _add_by_owner(table[SQUARE], own, squares),
        _add_by_owner(table[SAMPLED], rows_own, [v.double().square() for v in row_norms]),
        _add_by_owner(table[NONZERO], rows_own, alive),
        _add_by_owner(table[FLAT], flat, [part for parts in sums.saturated.values() for part in parts]),
        *(_on(value, device) for value in others.values()),
    ]
    sides = [(sums.totals, range(owners)), (sums.units, range(sums.cosines))]
    peaks = {owner: _padded(sums.peaks.get(owner), size, device) for owner, size in enumerate(units) if size}
    if world > 1:
        vectors = [_whole(parts, which, widths, device) for parts, which in sides]
        packed = torch.cat([*scalars, *(vector.double() for side in vectors for vector in side)])
        dist.all_reduce(packed)
        split = iter(packed.split([part.numel() for part in (*scalars, *vectors[0], *vectors[1])]))
        scalars = [next(split) for _ in scalars]
        lengths = [torch.stack([torch.linalg.vector_norm(next(split)) for _ in side]).square() for side in vectors]
        if peaks:
            highest = torch.cat([peak.float() for peak in peaks.values()])
            dist.all_reduce(highest, op=dist.ReduceOp.MAX)
            peaks = dict(zip(peaks, highest.split([peak.numel() for peak in peaks.values()]), strict=True))
    else:
        starts = table[TOTAL], table[DIRECTIONS, : sums.cosines]
        lengths = [_lengths(parts, which, widths, start) for (parts, which), start in zip(sides, starts, strict=True)]
    dead = torch.stack([(peak <= 0).sum() for peak in peaks.values()]).double() if peaks else table[0, :0]
    every = [scalars[0], *_figures(*scalars[:5], *lengths), scalars[5] / scalars[0], *scalars[6:], dead]
    read = iter(torch.cat(every).tolist())
    entries, rms, norm, distinction, cosine, flats, *rest, deaths = [list(islice(read, part.numel())) for part in every]
    found: list[dict[str, float]] = [
        {"rms": rms[i], "norm": norm[i], "distinction": distinction[i], "mean_cosine": cosine[i]} if entries[i] else {}
        for i in range(sums.cosines)
    ]
    for owner in sums.saturated:
        found[owner]["saturated_fraction"] = flats[owner]
    for owner, death in zip(peaks, deaths, strict=True):
        found[owner]["dead_fraction"] = death / units[owner]
    for owner, seen in sums.seen.items():
        found[owner]["dead_fraction"] = float(sums.table[owner, RESTING]) / len(seen)
    for row, i in zip(found, range(sums.cosines, owners), strict=True):
        if entries[i]:
            row["grad_rms"], row["grad_norm"] = rms[i] / grad_size, norm[i] / grad_size
            row["grad_distinction"] = distinction[i]
    return found, dict(zip(others, rest, strict=True))


def _figures(
    entries: Tensor, n: Tensor, square: Tensor, sampled: Tensor, nonzero: Tensor, total: Tensor, directions: Tensor
) -> list[Tensor]:
    """Root mean square, norm, distinction and mean cosine, of squares."""
    cosines = len(directions)
    alone = (n < 2) | ~(sampled > 0)
    pairs = nonzero[:cosines] * (nonzero[:cosines] - 1)
    return [
        (square / entries).sqrt(),
        square.sqrt(),
        (1 - total / (n * sampled)).masked_fill(alone, math.nan),
        ((directions - nonzero[:cosines]) / pairs).masked_fill(pairs <= 0, math.nan),
    ]


def _device(sums: Sums, others: Sequence[Tensor]) -> torch.device:
    seen = sums.norms[1][:1] + list(others)
    if seen:
        return seen[0].device
    nccl = dist.is_available() and dist.is_initialized() and dist.get_backend() == "nccl"
    return torch.device("cuda" if nccl else "cpu")


def _widths(sums: Sums, *, device: torch.device, world: int) -> tuple[list[int], list[int]]:
    """Columns and units of each owner: those of the process that has most, as a layer may rest in one of them."""
    units = [sums.peaks[owner].numel() if owner in sums.peaks else 0 for owner in range(len(sums.widths))]
    if world == 1:
        return sums.widths, units
    widest = torch.tensor([sums.widths, units], device=device)
    dist.all_reduce(widest, op=dist.ReduceOp.MAX)
    columns, units = widest.tolist()
    return columns, units


_Parts = Sequence[tuple[Sequence[int], Tensor]]


def _lengths(parts: _Parts, which: range, widths: Sequence[int], start: Tensor) -> Tensor:
    """Squared norm of the sum of each owner, in ``start`` where it is known."""
    owners = [owner for own, _ in parts for owner in own]
    if len(set(owners)) < len(owners):  # micro-batches: their sums are added first
        whole = _whole(parts, which, widths, start.device)
        return start + torch.stack([torch.linalg.vector_norm(v) for v in whole]).double().square()
    return _add_by_owner(start, owners, [torch.linalg.vector_norm(v, dim=1).double().square() for _, v in parts])


def _whole(parts: _Parts, which: range, widths: Sequence[int], device: torch.device) -> list[Tensor]:
    """The sum of each owner, as wide as that of any process."""
    found: dict[int, Tensor] = {}
    for owners, values in parts:
        for owner, value in zip(owners, values, strict=True):
            found[owner] = found[owner] + value if owner in found else value
    return [_padded(found.get(owner), widths[owner], device) for owner in which]


def _padded(vector: Tensor | None, width: int, device: torch.device) -> Tensor:
    if vector is None:
        return torch.zeros(width, device=device)
    return torch.nn.functional.pad(_on(vector, device), (0, width - vector.numel()))


def _on(value: Tensor, device: torch.device) -> Tensor:
    return value.to(device, torch.float64)


def _alike(values: Sequence[Tensor], device: torch.device) -> list[Tensor]:
    same = {(v.dtype, v.device) for v in values} == {(values[0].dtype, device)}
    return list(values) if same else [_on(value, device) for value in values]


def _add_by_owner(total: Tensor, owners: Sequence[int], values: Sequence[Tensor]) -> Tensor:
    """``total`` with the values added to those of their owners."""
    if not owners:
        return total
    device = total.device
    return total.index_add_(0, torch.tensor(owners, device=device), _on(torch.cat(_alike(values, device)), device))
