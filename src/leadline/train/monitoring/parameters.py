"""Norms of parameters and of their gradients, sharded ones included."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def squared_norms(tensors: Sequence[Tensor], *, world: int) -> Tensor | None:
    """This process's parts of the squared norms, so that those of all processes add up; ``None`` without tensors.

    A tensor that every process holds whole is counted to one part in ``world``; of a sharded one each has its
    own entries.
    """
    if not tensors:
        return None
    local, shares = zip(*[_own(tensor, world) for tensor in tensors], strict=True)
    half = not {own.dtype for own in local}.isdisjoint((torch.float16, torch.bfloat16))
    norms = torch._foreach_norm([own.float() for own in local] if half else list(local))  # pyright: ignore[reportPrivateImportUsage]
    device = norms[0].device
    squares = torch.stack([norm if norm.device == device else norm.to(device) for norm in norms]).double().square()
    return squares if set(shares) == {1.0} else squares * torch.tensor(shares, dtype=torch.float64).to(squares.device)


def local_copies(tensors: Sequence[Tensor]) -> list[Tensor]:
    """What this process holds of the tensors, copied."""
    return [_own(tensor.detach(), 1)[0].clone() for tensor in tensors]


def squared_changes(tensors: Sequence[Tensor], before: Sequence[Tensor], *, world: int) -> Tensor | None:
    """As ``squared_norms``, of the change since ``local_copies`` made ``before``, which is overwritten."""
    if not tensors:
        return None
    local, shares = zip(*(_own(tensor.detach(), world) for tensor in tensors), strict=True)
    for old, new in zip(before, local, strict=True):
        old.sub_(new)
    squares = squared_norms(before, world=1)
    assert squares is not None
    return squares * torch.tensor(shares, dtype=torch.float64).to(squares.device)


def _own(tensor: Tensor, world: int) -> tuple[Tensor, float]:
    if type(tensor) in (Tensor, nn.Parameter) and tensor.layout is torch.strided:  # of hundreds nearly all
        return tensor, 1.0 / world
    if not hasattr(tensor, "to_local"):
        return tensor.coalesce().values() if tensor.is_sparse else tensor, 1.0 / world
    copies = 1
    placements, mesh = tensor.placements, tensor.device_mesh  # pyright: ignore[reportAttributeAccessIssue]
    for axis, placement in enumerate(placements):
        if not placement.is_shard():
            copies *= mesh.size(axis)
    return tensor.to_local(), 1.0 / copies  # pyright: ignore[reportAttributeAccessIssue]
