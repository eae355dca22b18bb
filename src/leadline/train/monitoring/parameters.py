"""Norms of parameters and of their gradients, sharded ones included."""

from collections.abc import Sequence

import torch
from torch import Tensor


def squared_norms(tensors: Sequence[Tensor | None], *, world: int) -> list[Tensor | None]:
    """This process's part of each tensor's squared norm, so that the parts of all processes add up to it.

    A tensor that every process holds whole is counted to one part in ``world``; of a sharded one each has its own entries.
    """
    local: list[Tensor] = []
    shares: list[float] = []
    for tensor in tensors:
        if tensor is not None:
            own, share = _own(tensor.detach(), world)
            local.append(own)
            shares.append(share)
    if not local:
        return [None] * len(tensors)
    half = any(own.dtype in (torch.float16, torch.bfloat16) for own in local)
    norms = iter(torch._foreach_norm([own.float() for own in local] if half else local))
    parts = iter(shares)
    return [None if tensor is None else next(norms).double().square() * next(parts) for tensor in tensors]


def _own(tensor: Tensor, world: int) -> tuple[Tensor, float]:
    if not hasattr(tensor, "to_local"):
        return tensor.coalesce().values() if tensor.is_sparse else tensor, 1.0 / world
    copies = 1
    placements, mesh = tensor.placements, tensor.device_mesh  # pyright: ignore[reportAttributeAccessIssue]
    for axis, placement in enumerate(placements):
        if not placement.is_shard():
            copies *= mesh.size(axis)
    return tensor.to_local(), 1.0 / copies  # pyright: ignore[reportAttributeAccessIssue]
