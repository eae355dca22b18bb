"""Mean, spread, root mean square and largest entry of tensors: quickly, and exactly where that is not exact.

The quick way sums float32 in runs and joins the runs (relative error below 1e-6; a norm over one run of 65,536 entries
loses a digit, over millions two more). Overflowing or vanishing squares, a spread that is small beside the
mean, and non-finite entries are told by its result, and those tensors are done again in float64. A tensor is read
once, while it is in the cache and before anything else is written on it.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

_RUN = 2**16  # entries that are summed in float32
_SQUARES = 2**12  # entries whose squares are: these sums are not made pairwise
_CACHED = 2**16  # entries of a temporary that stays in the cache


class Moments(NamedTuple):
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


def moments(tensor: Tensor) -> Moments:
    """The moments of a tensor that is not empty."""
    if _is_one_run(tensor):
        return _settled(tensor, *numbers_of([tensor.sum(), _quick_norm(tensor), *torch.aminmax(tensor)]))
    runs = _runs(tensor)
    return _settled(tensor, *numbers_of([_joined(runs.sum(-1)).sum(), _quick_norm(tensor), *torch.aminmax(runs)]))


def norm_of(tensor: Tensor) -> float:
    """Root of the sum of squares of one tensor; ``inf`` or ``nan`` where it holds such."""
    return _norm(tensor, _quick_norm(tensor).item())


def norms_of(tensors: Sequence[Tensor]) -> list[float]:
    """``norm_of`` each: of many small ones in one call."""
    short = [i for i, tensor in enumerate(tensors) if _is_one_run(tensor) and tensor.numel() <= _SQUARES]
    together = torch._foreach_norm([tensors[i] for i in short]) if short else []  # pyright: ignore[reportPrivateImportUsage]
    quick = dict(zip(short, numbers_of(together), strict=True))
    return [_norm(tensor, quick[i]) if i in quick else norm_of(tensor) for i, tensor in enumerate(tensors)]


def _norm(tensor: Tensor, quick: float) -> float:
    if 1e-15 < quick < 1e18 or (quick == 0 and not tensor.any()):
        return quick
    if math.isfinite(quick) and tensor.dtype != torch.float64:
        return torch.linalg.vector_norm(tensor.double()).item()  # no square of a narrower dtype leaves its range
    return moments(tensor).norm


def numbers_of(scalars: Sequence[Tensor]) -> list[float]:
    """Tensors of no axis as numbers; of a device that is waited for, all at once."""
    if all(s.is_cpu for s in scalars):
        return [float(s.item()) for s in scalars]
    return torch.stack([s.to(scalars[0].device, torch.float64) for s in scalars]).tolist()


def absolute_sum(tensor: Tensor) -> float:
    """The sum of magnitudes of one tensor."""
    if _is_one_run(tensor):
        return tensor.abs().sum().item()
    return sum(numbers_of([_wide(part).abs().sum() for part in tensor.flatten().split(_CACHED)]))


def _runs(tensor: Tensor) -> Tensor:
    size = tensor.numel()
    run = size if size <= _RUN else math.gcd(size, _RUN)
    if run < 256 and size > _RUN:
        return tensor.double().reshape(1, -1)
    return _wide(tensor).reshape(-1, run)


def _is_one_run(tensor: Tensor) -> bool:
    return tensor.numel() <= _RUN and tensor.dtype in (torch.float32, torch.float64)


def _quick_norm(tensor: Tensor) -> Tensor:
    if tensor.dtype == torch.float64 or tensor.is_complex() or tensor.numel() <= _SQUARES:
        return torch.linalg.vector_norm(_wide(tensor))
    run = math.gcd(tensor.numel(), _SQUARES)
    if run < 256:
        return torch.linalg.vector_norm(tensor, dtype=torch.float64)
    return torch.linalg.vector_norm(torch.linalg.vector_norm(_wide(tensor).reshape(-1, run), dim=-1).double())


def _joined(runs: Tensor) -> Tensor:
    return runs if len(runs) == 1 else runs.double()


def _wide(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


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
