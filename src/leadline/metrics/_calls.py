"""Calling a model as a function: its state handed in, its main output taken out, nothing of it changed."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from leadline._core.arguments import arguments
from leadline._core.errors import UsageError
from leadline._core.outputs import named_output
from leadline._core.randomness import kept_rng


def call(model: nn.Module, parameters: Mapping[str, Tensor], buffers: Mapping[str, Tensor], inputs: Any) -> Any:
    """``model(inputs)`` with ``parameters``, on copies of ``buffers`` and from the generators as they stand.

    Called twice it draws the same dropout masks; what batch normalisation updates are the copies.
    """
    copies = {name: buffer.clone() for name, buffer in buffers.items()}
    args, kwargs = arguments(inputs)
    with kept_rng():
        return torch.func.functional_call(model, (dict(parameters), copies), args, kwargs)


def main_output(outputs: Any) -> Tensor:
    """The output that meets a loss: the tensor itself, the ``logits``, or the first float tensor in a collection."""
    if isinstance(outputs, Tensor):
        return outputs
    logits = named_output(outputs, "logits")
    if logits is not None:
        return logits
    parts = outputs.values() if isinstance(outputs, Mapping) else outputs if isinstance(outputs, (tuple, list)) else ()
    for part in parts:
        if isinstance(part, Tensor) and part.is_floating_point():
            return part
    raise UsageError(
        f"The model must return a float tensor, `logits` or a collection with one; got {type(outputs).__name__}."
    )
