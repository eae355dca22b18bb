"""A batch as the model's call: positional and keyword arguments, from a tensor, a tuple or a mapping."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import torch
from torch import Tensor

from leadline._core.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Batch:
    """The arguments of one call of the model.

    Attributes:
        args: Positional arguments.
        kwargs: Keyword arguments.
        size: Samples in the batch: the length of the first tensor's first axis.
    """

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    size: int

    @property
    def first(self) -> Tensor:
        """The first tensor of the call."""
        return next(tensors((self.args, self.kwargs)))

    @property
    def token_mask(self) -> Tensor | None:
        """Which positions are real, ``(n, t)``, where the call has an integer ``attention_mask`` of that shape."""
        mask = self.kwargs.get("attention_mask")
        return mask.bool() if isinstance(mask, Tensor) and mask.ndim == 2 and not mask.is_floating_point() else None


def as_batch(inputs: Any) -> Batch:
    """The call that ``inputs`` stands for: a tensor, a tuple of positional or a mapping of keyword arguments.

    Raises:
        UsageError: If there is no tensor in it, or it holds no sample.
    """
    args = inputs if isinstance(inputs, tuple) else () if isinstance(inputs, Mapping) else (inputs,)
    kwargs = dict(inputs) if isinstance(inputs, Mapping) else {}
    found = list(tensors((args, kwargs)))
    if not found:
        raise UsageError(
            f"inputs must be a tensor, a tuple of positional arguments or a dict of keywords; "
            f"got {type(inputs).__name__} without any tensor."
        )
    if found[0].numel() == 0:
        raise UsageError(f"The batch is empty: its first tensor has shape {tuple(found[0].shape)}.")
    return Batch(args=args, kwargs=kwargs, size=found[0].shape[0] if found[0].ndim else 1)


def repeated_samples(batch: Batch) -> int:
    """How many samples equal an earlier one in every tensor of the call."""
    seen: set[tuple[bytes, ...]] = set()
    parts = [_bytes(t) for t in tensors((batch.args, batch.kwargs)) if t.ndim and len(t) == batch.size]
    seen.update(zip(*parts, strict=True))
    return batch.size - len(seen) if parts else 0


def _bytes(tensor: Tensor) -> list[bytes]:
    rows = tensor.detach().cpu().reshape(len(tensor), -1).contiguous().view(torch.uint8).numpy()
    return [row.tobytes() for row in rows]


def tensors(value: Any) -> Iterator[Tensor]:
    """Every tensor in nested tuples, lists, mappings and dataclasses, in order."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from tensors(item)
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from tensors(item)
    elif is_dataclass(value) and not isinstance(value, type):
        for item in fields(value):
            yield from tensors(getattr(value, item.name))


def first_float(value: Any) -> Tensor | None:
    """The first floating-point tensor in ``value``."""
    if isinstance(value, Tensor):
        return value if value.is_floating_point() else None
    if isinstance(value, tuple) and value and isinstance(value[0], Tensor) and value[0].is_floating_point():
        return value[0]  # nearly always: this runs in hooks
    return next((t for t in tensors(value) if t.is_floating_point()), None)


def mapped(function: Callable[[str, Tensor], Tensor], value: Any, name: str = "") -> Any:
    """``value`` with ``function(keyword, tensor)`` in place of every tensor; the containers keep their types."""
    if isinstance(value, Tensor):
        return function(name, value)
    if isinstance(value, dict):
        return {key: mapped(function, item, str(key)) for key, item in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(mapped(function, item, name) for item in value))
    if isinstance(value, (tuple, list)):
        return type(value)(mapped(function, item, name) for item in value)
    return value


def differentiable(batch: Batch) -> tuple[Batch, list[Tensor]]:
    """A copy of ``batch`` through which gradients flow, and the leaves they arrive at.

    Every float tensor becomes a copy of a leaf that requires a gradient, so that frozen models and first layers
    have gradients and a first layer may work in place. Masks do not: with a gradient asked of its mask,
    attention takes another kernel and its outputs other last digits.
    """
    leaves: list[Tensor] = []

    def feed(name: str, tensor: Tensor) -> Tensor:
        own = tensor.detach().clone()
        if not own.is_floating_point() or "mask" in name or not own.isfinite().all():
            return own
        leaves.append(own.requires_grad_())
        return own.clone()

    args, kwargs = mapped(feed, batch.args), mapped(feed, batch.kwargs)
    return Batch(args=args, kwargs=kwargs, size=batch.size), leaves
