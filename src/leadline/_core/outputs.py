"""What a model returned under a name."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor


def named_output(outputs: Any, name: str) -> Tensor | None:
    """The tensor that ``outputs`` have as the attribute ``name`` or, of a mapping, under that key.

    >>> import torch
    >>> named_output({"hidden": torch.zeros(2), "logits": torch.ones(1)}, "logits")
    tensor([1.])
    """
    found = getattr(outputs, name, None)
    if not isinstance(found, Tensor) and isinstance(outputs, Mapping):
        found = outputs.get(name)
    return found if isinstance(found, Tensor) else None
