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
_STACKED = 2**16  # tensors up to this size are measured several at once
_CHUNK = 2**19  # entries measured at once


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
    order, batches = _quick(tensors)
    if not batches:
        return [Moments() for _ in tensors]
    numbers = torch.cat(batches, dim=1).T.tolist()  # the one point at which the device is waited for
    found = dict(zip(order, numbers, strict=True))
    return [_settled(tensor, *found[i]) if i in found else Moments() for i, tensor in enumerate(tensors)]


@torch.no_grad()
def root_mean_square(tensor: Tensor) -> Tensor:
    """Root of the mean of squares of one tensor, as a float64 tensor of no axis: nothing waits for the device."""
    return _norm(_runs(tensor.detach().reshape(1, -1)))[0] / math.sqrt(max(1, tensor.numel()))


def norms(tensors: Sequence[Tensor]) -> list[float]:
    """The root of the sum of squares of each of ``tensors``."""
    return [m.norm for m in moments(tensors)]


def _quick(tensors: Sequence[Tensor]) -> tuple[list[int], list[Tensor]]:
    """Indices, and for each the sum, the norm and the largest magnitude as a column."""
    order: list[int] = []
    batches: list[Tensor] = []
    for group in _grouped(tensors):
        first = tensors[group[0]]
        flat = (first if len(group) == 1 else torch.stack([tensors[i] for i in group])).reshape(len(group), -1)
        order += group
        batches.append(torch.stack(_sums(flat)).to(tensors[0].device))
    return order, batches


def _sums(flat: Float[Tensor, "tensors entries"]) -> list[Float[Tensor, " tensors"]]:
    """Sum, norm and largest magnitude of each row, in float64."""
    runs = _runs(flat)
    largest = torch.maximum(flat.amax(-1), -flat.amin(-1))
    return [runs.sum(-1).double().sum(-1), _norm(runs), largest.double()]


def _runs(flat: Float[Tensor, "tensors entries"]) -> Float[Tensor, "tensors runs run"]:
    if flat.dtype in (torch.float16, torch.bfloat16):
        flat = flat.float()
    run = math.gcd(flat.shape[1], _RUN)
    return flat.unflatten(1, (-1, run if run >= 16 else max(1, flat.shape[1])))


def _norm(runs: Float[Tensor, "tensors runs run"]) -> Float[Tensor, " tensors"]:
    return torch.linalg.vector_norm(torch.linalg.vector_norm(runs, dim=-1).double(), dim=-1)


def _grouped(tensors: Sequence[Tensor]) -> Iterator[list[int]]:
    """Indices of tensors to be measured together: same shape, dtype and device, small."""
    alike: dict[object, list[int]] = defaultdict(list)
    for i, tensor in enumerate(tensors):
        if tensor.numel():
            alike[(tensor.shape, tensor.dtype, tensor.device)].append(i)
    for group in alike.values():
        size = tensors[group[0]].numel()
        step = max(1, _CHUNK // size) if size <= _STACKED else 1
        yield from (group[i : i + step] for i in range(0, len(group), step))


def _settled(tensor: Tensor, total: float, norm: float, largest: float) -> Moments:
    count = tensor.numel()
    if not math.isfinite(largest):
        share = float(tensor.isfinite().double().mean())
        rms = largest  # inf, or nan where there is a nan
        return Moments(norm=rms, rms=rms, max_abs=largest, finite_fraction=share)
    mean, rms = total / count, norm / math.sqrt(count)
    safe = largest == 0 or (largest > 1e-15 and norm < 1e18)
    spread = rms * rms - mean * mean
    if not safe or spread < 1e-2 * rms * rms or not math.isfinite(mean):
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
