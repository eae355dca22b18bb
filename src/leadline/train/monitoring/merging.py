"""Sums of all processes become numbers, with one look of the host at the device."""

import math
from collections.abc import Mapping, Sequence

import torch
import torch.distributed as dist
from torch import Tensor

from leadline.train.monitoring.sums import Sums


def world_size() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def numbers(
    sides: Mapping[str, Mapping[str, Sums]], squares: Mapping[str, Tensor | None], *, world: int
) -> tuple[dict[str, dict[str, dict[str, float]]], dict[str, float]]:
    """Numbers of every side and layer, and the totals of ``squares`` (``nan`` for what no process has).

    Args:
        sides: Side -> layer -> its sums; the same layers in the same order in every process.
        squares: Parts of squared norms by name.
        world: How many processes train together.
    """
    flat = [(side, path, sums) for side, layers in sides.items() for path, sums in layers.items()]
    device = _device([sums for *_, sums in flat], list(squares.values()))
    widths = _widths([sums for *_, sums in flat], device=device, world=world)
    counts = [[sums.entries, sums.sampled] for *_, sums in flat]
    count = torch.tensor(counts or [[0, 0]], dtype=torch.float64, device=device)
    norms = torch.stack(
        [torch.stack([_squares(s.norms, device), _squares(s.sampled_norms, device), _total(s.saturated, device)])
         for *_, s in flat] or [torch.zeros(3, dtype=torch.float64, device=device)]
    )  # fmt: skip
    own = torch.stack([_zero(device) if v is None else v.to(device) for v in squares.values()] or [_zero(device)])
    there = torch.tensor([float(v is not None) for v in squares.values()] or [0.0], dtype=torch.float64, device=device)
    vectors = [
        _padded(vector, width, device)
        for (*_, sums), (width, _) in zip(flat, widths, strict=True)
        for vector in ([sums.rows_total, sums.units_total] if sums.cosine else [sums.rows_total])
    ]
    peaks = [_padded(sums.peak, width, device) for (*_, sums), (_, width) in zip(flat, widths, strict=True) if width]
    if world > 1:
        packed = torch.cat([count.flatten(), norms.flatten(), own, there, *(v.double() for v in vectors)])
        dist.all_reduce(packed)
        sizes = [count.numel(), norms.numel(), own.numel(), there.numel(), *(v.numel() for v in vectors)]
        a, b, own, there, *vectors = packed.split(sizes)
        count, norms = a.view_as(count), b.view_as(norms)
        if peaks:
            highest = torch.cat(peaks)
            dist.all_reduce(highest, op=dist.ReduceOp.MAX)
            peaks = list(highest.split([p.numel() for p in peaks]))
    lengths = torch.stack([v.double() for v in torch._foreach_norm(vectors)]) if vectors else own[:0]
    dead = torch.stack([(p <= 0).double().mean() for p in peaks]) if peaks else own[:0]
    read = iter(torch.cat([count.flatten(), norms.flatten(), own, there, lengths, dead]).tolist())
    counted = [[next(read), next(read)] for _ in range(len(count))]
    normed = [[next(read), next(read), next(read)] for _ in range(len(norms))]
    values, present = [next(read) for _ in own], [next(read) for _ in there]
    found: dict[str, dict[str, dict[str, float]]] = {side: {} for side in sides}
    measured = []
    for (side, path, sums), (entries, n), (square, sampled, flat_entries) in zip(flat, counted, normed, strict=False):
        total, directions = next(read), next(read) if sums.cosine else math.nan
        row = _row(entries=entries, n=n, square=square, sampled=sampled, total=total, directions=directions)
        if sums.cosine and sums.saturated and entries:
            row["saturated_fraction"] = flat_entries / entries
        measured.append((side, path, row))
    for (side, path, row), (_, width) in zip(measured, widths, strict=True):
        if width:
            row["dead_fraction"] = next(read)
        if row:
            found[side][path] = row
    return found, {
        key: value if here else math.nan for key, value, here in zip(squares, values, present, strict=False)
    }


def _row(
    *, entries: float, n: float, square: float, sampled: float, total: float, directions: float
) -> dict[str, float]:
    if not entries:
        return {}
    row = {"rms": math.sqrt(square / entries), "norm": math.sqrt(square)}
    row["distinction"] = 1 - total**2 / (n * sampled) if n > 1 and sampled > 0 else math.nan
    if n > 1 and not math.isnan(directions):
        row["mean_cosine"] = (directions**2 - n) / (n * (n - 1))
    return row


def _device(sums: Sequence[Sums], others: Sequence[Tensor | None]) -> torch.device:
    seen = [norm for own in sums for norm in own.norms[:1]] + [value for value in others if value is not None]
    if seen:
        return seen[0].device
    nccl = dist.is_available() and dist.is_initialized() and dist.get_backend() == "nccl"
    return torch.device("cuda" if nccl else "cpu")


def _widths(sums: Sequence[Sums], *, device: torch.device, world: int) -> list[list[int]]:
    """Columns and units of each layer: those of the process that has most, as a layer may rest in one of them."""
    own = [[0 if v is None else v.numel() for v in (s.rows_total, s.peak)] for s in sums]
    if world == 1 or not own:
        return own
    widest = torch.tensor(own, device=device)
    dist.all_reduce(widest, op=dist.ReduceOp.MAX)
    return widest.tolist()


def _padded(vector: Tensor | None, width: int, device: torch.device) -> Tensor:
    if vector is None:
        return torch.zeros(width, device=device)
    vector = vector.to(device).float() if vector.dtype != torch.float64 else vector.to(device)
    return vector if vector.numel() == width else torch.nn.functional.pad(vector, (0, width - vector.numel()))


def _squares(norms: Sequence[Tensor], device: torch.device) -> Tensor:
    if len(norms) == 1:
        return norms[0].to(device).double().square()
    return torch.stack([n.to(device).double() for n in norms]).square().sum() if norms else _zero(device)


def _total(values: Sequence[Tensor], device: torch.device) -> Tensor:
    return torch.stack([v.to(device).double() for v in values]).sum() if values else _zero(device)


def _zero(device: torch.device) -> Tensor:
    return torch.zeros((), dtype=torch.float64, device=device)
