"""A batch as the arguments of the model's call, and the tensors nested in it."""

from collections.abc import Callable, Iterator, Mapping, MutableMapping
from copy import copy
from dataclasses import fields, is_dataclass
from typing import Any

from torch import Tensor
from torch.nn.utils.rnn import PackedSequence


def arguments(inputs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Positional and keyword arguments: a tuple is the former, a mapping the latter, anything else one argument.

    A packed sequence is one argument, although it is a tuple.
    """
    if isinstance(inputs, Mapping):
        return (), {str(key): value for key, value in inputs.items()}
    if isinstance(inputs, tuple) and not isinstance(inputs, PackedSequence):
        return tuple(inputs), {}
    return (inputs,), {}


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


def mapped(function: Callable[[str, Tensor], Tensor], value: Any, name: str = "") -> Any:
    """``value`` with ``function(keyword, tensor)`` in place of every tensor; the containers keep their types."""
    if isinstance(value, Tensor):
        return function(name, value)
    if isinstance(value, Mapping):
        return _refilled(value, {key: mapped(function, item, str(key)) for key, item in value.items()})
    if isinstance(value, PackedSequence):  # which takes its batch sizes on the CPU only
        kept, parts = value.batch_sizes, (value.data, value.sorted_indices, value.unsorted_indices)
        data, *order = (mapped(function, item, name) for item in parts)
        return PackedSequence(data, kept, *order)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(mapped(function, item, name) for item in value))
    if isinstance(value, (tuple, list)):
        return type(value)(mapped(function, item, name) for item in value)
    if is_dataclass(value) and not isinstance(value, type):
        copied = copy(value)
        for item in fields(value):  # frozen ones too
            object.__setattr__(copied, item.name, mapped(function, getattr(value, item.name), item.name))
        return copied
    return value


def _refilled(value: Mapping[Any, Any], items: dict[Any, Any]) -> Any:
    """A mapping like ``value`` of the same type with ``items``; of one that cannot be written, a dict."""
    if type(value) is dict or not isinstance(value, MutableMapping):
        return items
    copied = copy(value)
    for key, item in items.items():
        copied[key] = item
    return copied
