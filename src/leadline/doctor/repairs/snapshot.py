"""A model as it is, kept so that it can be put back to the bit: modules, parameters, buffers."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class _Held:
    module: nn.Module
    modules: dict[str, nn.Module | None]
    parameters: dict[str, nn.Parameter | None]
    buffers: dict[str, Tensor | None]
    training: bool


class Snapshot:
    """What ``model`` holds now. Frozen parameters are not copied: nothing here changes them."""

    def __init__(self, model: nn.Module):
        self._held = [
            _Held(m, dict(m._modules), dict(m._parameters), dict(m._buffers), m.training) for m in model.modules()
        ]
        tensors = [p for p in model.parameters() if p.requires_grad] + list(model.buffers())
        self._values = [(tensor, tensor.detach().clone()) for tensor in tensors]

    @torch.no_grad()
    def restore(self) -> None:
        """Put everything back: the same objects, with the same values."""
        for held in self._held:
            for there, own in (
                (held.module._modules, held.modules),
                (held.module._parameters, held.parameters),
                (held.module._buffers, held.buffers),
            ):
                there.clear()
                there.update(own)  # type: ignore[arg-type]
            held.module.training = held.training
        for tensor, value in self._values:
            tensor.copy_(value)
