"""Mean, spread, root mean square and largest entry of many tensors: quickly, and exactly where that is not exact.

The quick way sums float32 in short runs and joins the runs in float64 (relative error about 1e-7; one run over
millions of entries would lose two more digits). Overflowing or vanishing squares, a spread that is small beside the
mean, and non-finite entries are told by its result, and those tensors are done again in float64.
"""

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

_RUN = 1024  # entries that are summed in float32
_STACKED = 2**12  # tensors up to this size are measured several at once: a call costs more than their entries


@dataclass(frozen=True, kw_only=True)
class Moments:
    """Of all entries of one tensor.

    Attributes:
        mean: Their mean.
        std: Their standard deviation, about that mean and without correction.
        norm: Root of the sum of their squares.
        rms: Root of the mean of their squares.
        max_abs: The largest magnitude.
        finite_fraction: Share of entries that are neither nan nor infinite.
    """

    mean: float = math.nan
    std: float = math.nan
    norm: float = math.nan
    rms: float = math.nan
    max_abs: float = math.nan
    finite_fraction: float = math.nan


@torch.no_grad()
def moments(tensors: Sequence[Tensor]) -> list[Moments]:
    """The moments of each of ``tensors``."""
    found = [Moments()] * len(tensors)
    order: list[int] = []
    columns: list[Tensor] = []
    for group in _grouped(tensors):
        flat = _flat([tensors[i] for i in group])
        runs = _runs(flat)
        low, high = torch.aminmax(flat, dim=1) if len(group) > 1 else map(torch.atleast_1d, torch.aminmax(flat))
        order += group
        columns.append(torch.stack([runs.sum(-1).double().sum(-1), _norm(runs), low.double(), high.double()]))
    for i, numbers in zip(order, _read(columns), strict=True):
        found[i] = _settled(tensors[i], *numbers)
    return found


@torch.no_grad()
def norms(tensors: Sequence[Tensor]) -> list[float]:
    """The root of the sum of squares of each of ``tensors``; ``inf`` or ``nan`` where one holds such."""
    found = [math.nan] * len(tensors)
    order: list[int] = []
    columns: list[Tensor] = []
    for group in _grouped(tensors):
        order += group
        columns.append(_norm(_runs(_flat([tensors[i] for i in group]))).unsqueeze(0))
    for i, (norm,) in zip(order, _read(columns), strict=True):
        found[i] = norm if 1e-15 < norm < 1e18 else moments([tensors[i]])[0].norm
    return found


@torch.no_grad()
def root_mean_square(tensor: Tensor) -> Tensor:
    """Root of the mean of squares of one tensor, as a float64 tensor of no axis: nothing waits for the device."""
    return _norm(_runs(tensor.detach().reshape(1, -1)))[0] / math.sqrt(max(1, tensor.numel()))


def _grouped(tensors: Sequence[Tensor]) -> Iterator[list[int]]:
    """Indices of tensors to be measured together: small ones of the same shape, dtype and device."""
    alike: dict[object, list[int]] = defaultdict(list)
    for i, tensor in enumerate(tensors):
        size = tensor.numel()
        if size > _STACKED:
            yield [i]
        elif size:
            alike[(tensor.shape, tensor.dtype, tensor.device)].append(i)
    yield from alike.values()


def _flat(group: Sequence[Tensor]) -> Float[Tensor, "tensors entries"]:
    return (group[0] if len(group) == 1 else torch.stack(list(group))).reshape(len(group), -1)


def _runs(flat: Float[Tensor, "tensors entries"]) -> Float[Tensor, "tensors runs run"]:
    if flat.dtype in (torch.float16, torch.bfloat16):
        flat = flat.float()
    run = math.gcd(flat.shape[1], _RUN)
    return flat.unflatten(1, (-1, run if run >= 16 else max(1, flat.shape[1])))


def _norm(runs: Float[Tensor, "tensors runs run"]) -> Float[Tensor, " tensors"]:
    return torch.linalg.vector_norm(torch.linalg.vector_norm(runs, dim=-1).double(), dim=-1)


def _read(columns: Sequence[Float[Tensor, "numbers tensors"]]) -> list[list[float]]:
    """The numbers of every tensor: the one point at which the device is waited for."""
    return torch.cat([c.to(columns[0].device) for c in columns], dim=1).T.tolist() if columns else []


def _settled(tensor: Tensor, total: float, norm: float, low: float, high: float) -> Moments:
    largest = max(abs(low), abs(high)) if not math.isnan(low) else math.nan
    if not math.isfinite(largest):
        share = float(tensor.isfinite().double().mean())
        return Moments(norm=largest, rms=largest, max_abs=largest, finite_fraction=share)
    count = tensor.numel()
    mean, rms = total / count, norm / math.sqrt(count)
    spread = rms * rms - mean * mean
    vanishing_or_overflowing = largest < 1e-15 or norm > 1e18 or not math.isfinite(mean)
    if vanishing_or_overflowing or spread < 1e-2 * rms * rms:
        return _exact(tensor, largest)
    return Moments(mean=mean, std=math.sqrt(spread), norm=norm, rms=rms, max_abs=largest, finite_fraction=1.0)


def _exact(tensor: Tensor, largest: float) -> Moments:
    if largest == 0:
        return Moments(mean=0.0, std=0.0, norm=0.0, rms=0.0, max_abs=0.0, finite_fraction=1.0)
    x = tensor.double() / largest
    mean = x.mean()
    std, norm = (x - mean).square().mean().sqrt(), torch.linalg.vector_norm(x)
    return Moments(
        mean=float(mean) * largest,
        std=float(std) * largest,
        norm=float(norm) * largest,
        rms=float(norm) / math.sqrt(tensor.numel()) * largest,
        max_abs=largest,
        finite_fraction=1.0,
    )
