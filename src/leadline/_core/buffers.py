"""The buffers of a model as they are, to be put back."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.nn.utils.parametrize import ParametrizationList


@dataclass(frozen=True)
class _Held:
    module: nn.Module
    own: dict[str, Tensor | None]
    values: dict[str, Tensor]
    of_weight: bool


class Buffers:
    """What ``model`` holds now: the tensors themselves, since it may put others in their place, and their values."""

    def __init__(self, model: nn.Module):
        modules = list(model.modules())
        made = (part for part in modules if isinstance(part, ParametrizationList))
        of_weights = {part for each in made for part in each.modules()}
        self._held = [
            _Held(
                module=module,
                own=dict(module._buffers),
                values={n: b.clone() for n, b in module._buffers.items() if b is not None and not is_lazy(b)},
                of_weight=module in of_weights,
            )
            for module in modules
            if module._buffers
        ]

    @torch.no_grad()
    def put_back(self, *, of_weights: bool = True) -> None:
        """The same tensors, with the same values.

        Args:
            of_weights: Whether also where a parametrisation holds others since its weight was set.
        """
        for held in self._held:
            if of_weights or not held.of_weight:
                held.module._buffers.clear()
                held.module._buffers.update(held.own)
            for name, value in held.values.items():
                _write(held.own[name], value)


def _write(buffer: Tensor | None, value: Tensor) -> None:
    # Batch norm writes without counting it as a write, and so does this: graphs that the caller holds stay valid.
    if buffer is None or torch.equal(buffer, value):
        return
    if buffer.shape != value.shape:
        buffer.data = value
    else:
        buffer.data.copy_(value)
