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
    sides: Mapping[str, Mapping[str, Sums]], others: Mapping[str, Tensor], *, world: int
) -> tuple[dict[str, dict[str, dict[str, float]]], dict[str, list[float]]]:
    """Numbers of every side and layer, and ``others`` summed over processes.

    Args:
        sides: Side -> layer -> its sums; the same layers in the same order in every process.
        others: Parts of other sums by name, vectors in float64 whose length is the same in every process.
        world: How many processes train together.
    """
    flat = [(side, path, sums) for side, layers in sides.items() for path, sums in layers.items()]
    every = [sums for *_, sums in flat]
    device = _device(every, list(others.values()))
    widths = _widths(every, device=device, world=world)
    counts = torch.tensor([(s.entries, s.sampled) for s in every], dtype=torch.float64, device=device).flatten()
    norms, sampled_norms = [s.norms for s in every], [s.sampled_norms for s in every]
    lengths_of_rows = _summed(sampled_norms, device)
    scalars = [
        counts,
        _by_layer(_summed(norms, device).square_(), norms),
        _by_layer(lengths_of_rows.square(), sampled_norms),
        _by_layer((lengths_of_rows > 0).double(), sampled_norms),
        _by_layer(_summed([s.saturated for s in every], device), [s.saturated for s in every]),
        *(value.to(device) for value in others.values()),
    ]
    vectors = [
        _padded(vector, width, device)
        for sums, (width, _) in zip(every, widths, strict=True)
        for vector in ([sums.rows_total, sums.units_total] if sums.cosine else [sums.rows_total])
    ]
    peaks = [_padded(s.peak, width, device) for s, (_, width) in zip(every, widths, strict=True) if width]
    if world > 1:
        parts = [*scalars, *(vector.double() for vector in vectors)]
        packed = torch.cat(parts)
        dist.all_reduce(packed)
        split = packed.split([part.numel() for part in parts])
        scalars, vectors = list(split[: len(scalars)]), list(split[len(scalars) :])
        if peaks:
            highest = torch.cat([peak.float() for peak in peaks])
            dist.all_reduce(highest, op=dist.ReduceOp.MAX)
            peaks = list(highest.split([peak.numel() for peak in peaks]))
    none = counts[:0]
    lengths = torch.stack(torch._foreach_norm(vectors)).double() if vectors else none  # pyright: ignore[reportPrivateImportUsage]
    dead = torch.stack([(peak <= 0).sum() for peak in peaks]).double() if peaks else none
    sizes = [part.numel() for part in (*scalars, lengths, dead)]
    read = iter(torch.cat([*scalars, lengths, dead]).tolist())
    counted, squares, sampled, alive, flats, *rest, length, deaths = [[next(read) for _ in range(k)] for k in sizes]
    found: dict[str, dict[str, dict[str, float]]] = {side: {} for side in sides}
    norm, death = iter(length), iter(deaths)
    for i, ((side, path, sums), (_, units)) in enumerate(zip(flat, widths, strict=True)):
        total, directions = next(norm), next(norm) if sums.cosine else math.nan
        row = _row(
            entries=counted[2 * i], n=counted[2 * i + 1], nonzero=alive[i], square=squares[i], sampled=sampled[i],
            total=total, directions=directions,
        )  # fmt: skip
        if row and sums.saturates:
            row["saturated_fraction"] = flats[i] / counted[2 * i]
        if units:
            row["dead_fraction"] = next(death) / units
        if row:
            found[side][path] = row
    return found, dict(zip(others, rest, strict=True))


def _row(
    *, entries: float, n: float, nonzero: float, square: float, sampled: float, total: float, directions: float
) -> dict[str, float]:
    if not entries:
        return {}
    row = {"rms": math.sqrt(square / entries), "norm": math.sqrt(square)}
    row["distinction"] = 1 - total**2 / (n * sampled) if n > 1 and sampled > 0 else math.nan
    if not math.isnan(directions):
        row["mean_cosine"] = (directions**2 - nonzero) / (nonzero * (nonzero - 1)) if nonzero > 1 else math.nan
    return row


def _device(sums: Sequence[Sums], others: Sequence[Tensor]) -> torch.device:
    seen = [norm for own in sums for norm in own.norms[:1]] + list(others)
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
    vector = vector if vector.device == device else vector.to(device)
    return vector if vector.numel() == width else torch.nn.functional.pad(vector, (0, width - vector.numel()))


def _summed(values: Sequence[Sequence[Tensor]], device: torch.device) -> Tensor:
    """All values of all layers as one vector."""
    flat = [v if v.device == device else v.to(device) for own in values for v in own]
    return torch.cat(flat).double() if flat else torch.zeros(0, dtype=torch.float64, device=device)


def _by_layer(vector: Tensor, values: Sequence[Sequence[Tensor]]) -> Tensor:
    """The sums over each layer of what ``_summed`` put in a row."""
    sizes = torch.tensor([sum(v.numel() for v in own) for own in values])
    index = torch.repeat_interleave(torch.arange(len(values)), sizes).to(vector.device)
    return torch.zeros(len(values), dtype=torch.float64, device=vector.device).index_add_(0, index, vector)
