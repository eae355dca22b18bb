"""One forward pass in which layers are changed as they run."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from leadline._core.randomness import kept_rng
from leadline.init._maps import LinearMap, linear_maps


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A layer that runs as a module: linear, convolutional, or the linear layer of transformers.

    Attributes:
        name: Its dotted name.
        module: The layer.
        weight: Its weight as linear maps.
    """

    name: str
    module: nn.Module
    weight: LinearMap

    @property
    def bias(self) -> Tensor | float:
        """The bias in the shape in which it is added, 0 where there is none."""
        bias = getattr(self.module, "bias", None)
        if bias is None:
            return 0.0
        return bias.reshape(-1, *(1 for _ in self.weight.kernel)) if self.weight.kernel else bias

    @property
    def value(self) -> Tensor:
        """The weight as the module uses it."""
        return self.module.weight  # type: ignore[return-value]

    def set(self, value: Tensor) -> None:
        """Give the module this weight."""
        if self.weight.owner is None:
            self.value.copy_(value)
        else:
            setattr(*self.weight.owner, value)

    def scale(self, factor: float) -> None:
        """Multiply the weight."""
        self.set(self.value * factor)


@torch.no_grad()
def run_once(
    model: nn.Module,
    inputs: Any,
    *,
    where: Callable[[str, nn.Module], bool] | None,
    before: Callable[[Layer, Tensor], None] | None = None,
    after: Callable[[Layer, Tensor], Tensor] | None = None,
) -> None:
    """Run ``model`` on ``inputs``; the first time that a layer runs, ``before`` sees its input, ``after`` its output.

    What ``after`` returns takes the place of the output. Hooks, buffers and the global generators are put back.
    """
    handles = []
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    try:
        for layer in layers_of(model, where):
            if before is not None:
                handles.append(layer.module.register_forward_pre_hook(_once(before, layer)))
            if after is not None:
                handles.append(layer.module.register_forward_hook(_once(after, layer)))
        with kept_rng():
            call(model, inputs)
    finally:
        for handle in handles:
            handle.remove()
        for name, buffer in model.named_buffers():
            buffer.copy_(buffers[name])


def layers_of(model: nn.Module, where: Callable[[str, nn.Module], bool] | None) -> list[Layer]:
    modules = dict(model.named_modules())
    found = []
    for weight in linear_maps(model):
        name, _, key = weight.name.rpartition(".")
        module = modules[name]
        runs = isinstance(module, (nn.Linear, _ConvNd)) or type(module).__name__ == "Conv1D"
        if key == "weight" and runs and (where is None or where(name, module)):
            found.append(Layer(name=name, module=module, weight=weight))
    return found


def _once(act: Callable[[Layer, Tensor], Any], layer: Layer) -> Callable[..., Any]:
    """A hook that calls ``act`` on the last tensor it is given, the first time only."""
    pending = [True]

    def hook(_module: nn.Module, *arguments: Any) -> Any:
        if pending:
            pending.clear()
            last = arguments[-1]
            return act(layer, last[0] if isinstance(last, tuple) else last)
        return None

    return hook


def call(model: nn.Module, inputs: Any) -> None:
    if isinstance(inputs, Mapping):
        model(**inputs)
    elif isinstance(inputs, tuple):
        model(*inputs)
    else:
        model(inputs)
