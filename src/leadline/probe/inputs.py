"""A batch as the model's call: positional and keyword arguments, from a tensor, a tuple or a mapping."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from leadline._core.arguments import arguments, mapped, tensors
from leadline._core.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Batch:
    """The arguments of one call of the model.

    Attributes:
        args: Positional arguments.
        kwargs: Keyword arguments.
        size: Samples in the batch.
        axis: Axis of the first tensor along which they lie: 0, and 1 where time comes first.
        packed: Positions of all samples together, where they are one packed sequence; 0 otherwise.
        flows: Whether gradients are asked of the float tensors.
    """

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    size: int
    axis: int = 0
    packed: int = 0
    flows: bool = True

    @property
    def first(self) -> Tensor:
        """The first tensor of the call that has an axis."""
        return _first(list(tensors((self.args, self.kwargs))))

    @cached_property
    def token_mask(self) -> Tensor | None:
        """Which positions are real, ``(n, t)``: of a packed sequence, or by an integer ``attention_mask`` so shaped."""
        if self.packed:
            packed = _packed((*self.args, *self.kwargs.values()))
            assert packed is not None
            lengths = pad_packed_sequence(packed)[1]
            return torch.arange(int(lengths.max())) < lengths.unsqueeze(1)
        mask = self.kwargs.get("attention_mask")
        return mask.bool() if isinstance(mask, Tensor) and mask.ndim == 2 and not mask.is_floating_point() else None


def as_batch(inputs: Any, targets: Any = None, model: Any = None) -> Batch:
    """The call that ``inputs`` stands for: a tensor, a tuple of positional or a mapping of keyword arguments.

    A packed sequence is one argument. Samples lie along the first axis of the first tensor;
    along the second where time comes first: for torch's own recurrent and transformer modules that are not
    ``batch_first``, or if the targets are as many as only that.

    Raises:
        UsageError: If there is no tensor in it that a model could be run on, or it holds no sample.
    """
    args, kwargs = arguments(inputs)
    found = list(tensors((args, kwargs)))
    if not found:
        raise UsageError(_no_tensor(inputs, [*args, *kwargs.values()]))
    if any(t.is_meta for t in found):
        raise UsageError("inputs must hold values; got a tensor on the meta device: make it on the model's.")
    if any(t.is_nested or t.layout != torch.strided for t in found):
        raise UsageError("inputs must be dense tensors; got a nested or sparse one: pad it, or use to_dense().")
    first = _first(found)
    shape = tuple(first.shape)
    if 0 in shape:
        raise UsageError(f"The batch is empty: its first tensor has shape {shape}.")
    packed = _packed((*args, *kwargs.values()))
    if packed is not None and first is packed.data:
        return Batch(args=args, kwargs=kwargs, size=int(packed.batch_sizes[0]), packed=len(packed.data))
    axis = 1 if len(shape) >= 2 and _time_first(shape, targets, model) else 0
    return Batch(args=args, kwargs=kwargs, size=shape[axis] if shape else 1, axis=axis)


def _packed(values: Iterable[Any]) -> PackedSequence | None:
    return next((value for value in values if isinstance(value, PackedSequence)), None)


def _first(found: list[Tensor]) -> Tensor:
    return next((t for t in found if t.ndim), found[0])


def _no_tensor(inputs: Any, values: list[Any]) -> str:
    expected = "inputs must be a tensor, a tuple of positional arguments or a dict of keywords"
    array = next((value for value in values if hasattr(value, "__array__")), None)
    if array is not None:
        return f"{expected}; got an array ({type(array).__name__}): convert it with torch.as_tensor."
    hint = ": pass one batch of it" if hasattr(inputs, "__iter__") and not hasattr(inputs, "__getitem__") else ""
    return f"{expected}; got {type(inputs).__name__} without any tensor{hint}."


def _time_first(shape: tuple[int, ...], targets: Any, model: Any) -> bool:
    if isinstance(targets, Tensor) and targets.ndim and shape[0] != shape[1]:
        return targets.shape[0] == shape[1]
    torch_own = type(model).__module__.startswith(("torch.nn.modules.rnn", "torch.nn.modules.transformer"))
    if not torch_own or len(shape) != 3:
        return False
    return any(getattr(module, "batch_first", None) is False for module in model.modules())


def repeated_samples(batch: Batch) -> int:
    """How many samples equal an earlier one in every tensor of the call.

    Of packed sequences that is not told, and single numbers, as classes or indices, may well repeat.
    """
    if batch.packed:
        return 0
    seen: set[tuple[bytes, ...]] = set()
    given = [t for t in tensors((batch.args, batch.kwargs)) if t.ndim > batch.axis]
    given = [t for t in given if t.shape[batch.axis] == batch.size]
    if not any(t.is_floating_point() or t.numel() > batch.size for t in given):
        return 0
    seen.update(zip(*(_bytes(t.movedim(batch.axis, 0)) for t in given), strict=True))
    return batch.size - len(seen)


def _bytes(tensor: Tensor) -> list[bytes]:
    rows = tensor.detach().cpu().reshape(len(tensor), -1).contiguous().view(torch.uint8).numpy()
    return [row.tobytes() for row in rows]


def first_float(value: Any) -> Tensor | None:
    """The first floating-point tensor in ``value``."""
    if isinstance(value, Tensor):
        return value if value.is_floating_point() else None
    if isinstance(value, tuple) and value and isinstance(value[0], Tensor) and value[0].is_floating_point():
        return value[0]  # nearly always: this runs in hooks
    return next((t for t in tensors(value) if t.is_floating_point()), None)


def differentiable(batch: Batch) -> tuple[Batch, list[Tensor]]:
    """A copy of ``batch`` through which gradients flow, and the leaves they arrive at, that of ``first`` first.

    Every float tensor becomes a copy of a leaf that requires a gradient, so that frozen models and first layers
    have gradients and a first layer may work in place. Masks do not: with a gradient asked of its mask,
    attention takes another kernel and its outputs other last digits.
    """
    entry: list[Tensor] = []
    leaves: list[Tensor] = []
    first = batch.first

    def feed(name: str, tensor: Tensor) -> Tensor:
        own = tensor.detach().clone()
        if not (batch.flows and own.is_floating_point()) or "mask" in name or not own.isfinite().all():
            return own
        (entry if tensor is first and not entry else leaves).append(own.requires_grad_())
        return own.clone()

    args, kwargs = mapped(feed, batch.args), mapped(feed, batch.kwargs)
    return replace(batch, args=args, kwargs=kwargs), [*entry, *leaves]
