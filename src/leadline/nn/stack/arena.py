"""Memory of a pass, taken once and used again at every step."""

from functools import cached_property
from typing import Any

import torch
from torch import Tensor


class Arena:
    """Places for what each of some layers keeps between forward and backward.

    A thousand tensors a kind that are made and freed at every step would be handed back to the system and cleared by it
    each time; here they are parts of one tensor.

    Args:
        depth: Layers whose moments it has room for.
        maps: Layers whose maps it has room for.
        like: A batch ``(n, width)``; its shape, dtype and device.
        spare: Whether a third map is needed, where an activation's derivative needs its input.
    """

    def __init__(self, depth: int, maps: int, like: Tensor, *, spare: bool):
        self.key = (depth, maps, tuple(like.shape), like.dtype, like.device, spare)
        self.depth = depth
        whole = torch.empty(3 if spare else 2, maps, *like.shape, dtype=like.dtype, device=like.device)
        self.maps, self.normalised = whole[0].unbind(), whole[1].unbind()
        self.outputs = whole[-1].unbind()
        moments = torch.empty(3, depth, like.shape[1], dtype=like.dtype, device=like.device)
        self.means, self.inverses = moments[0].unbind(), moments[1].unbind()
        self._whole = *whole[:2], *moments

    def slot(self, layer: int) -> int:
        """Which of the maps are those of a layer."""
        return layer % len(self.maps)

    def place(self, layer: int) -> int:
        """Which of the moments are."""
        return layer % self.depth

    @cached_property
    def arrays(self) -> tuple[Any, ...]:
        """Maps, normalised maps, means, inverse scales and variances of all layers on the same memory, for NumPy."""
        return tuple(each.numpy() for each in self._whole)


class Pool:
    """What waits for the next pass: one arena, the gradient of the weights, and views of single layers."""

    def __init__(self) -> None:
        self._free: Arena | None = None
        self._grad: Tensor | None = None
        self._views: dict[str, tuple[Tensor, tuple[Tensor, ...]]] = {}

    def take(self, depth: int, maps: int, like: Tensor, *, spare: bool) -> Arena:
        """The one that waits, where it fits, or a new one."""
        found, self._free = self._free, None
        key = (depth, maps, tuple(like.shape), like.dtype, like.device, spare)
        return found if found is not None and found.key == key else Arena(depth, maps, like, spare=spare)

    def give(self, arena: Arena) -> None:
        """Back for the next pass."""
        self._free = arena

    def grad(self, like: Tensor) -> Tensor:
        """Uninitialised memory in the shape of ``like``: that of the last step, where nobody holds it any more.

        Clearing a gradient with ``zero_grad`` gives it back. To take it fresh costs as much as a tenth of a step, which
        the system spends on clearing pages.
        """
        held = self._grad
        if held is None or not _alike(held, like) or _holders(held) > 1:
            held = self._grad = torch.empty_like(like)
        return held

    def parts(self, name: str, tensor: Tensor) -> tuple[Tensor, ...]:
        """``tensor.unbind()`` without a graph; kept as long as the tensor lies where it lay."""
        found = self._views.get(name)
        if found is None or found[0].data_ptr() != tensor.data_ptr() or not _alike(found[0], tensor):
            flat = tensor.detach()
            found = self._views[name] = (flat, flat.unbind())
        return found[1]

    def __deepcopy__(self, memo: object) -> "Pool":
        return Pool()

    def __reduce__(self) -> tuple[type["Pool"], tuple[()]]:
        return Pool, ()


def _alike(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and a.dtype == b.dtype and a.device == b.device


def _holders(tensor: Tensor) -> int:
    """How many tensors share its memory; more than one where this torch cannot tell."""
    count = getattr(torch._C, "_storage_Use_Count", None)
    # The storage that is asked for holds itself once.
    return 2 if count is None else count(tensor.untyped_storage()._cdata) - 1
