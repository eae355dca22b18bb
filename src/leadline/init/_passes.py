"""One forward pass in which layers are changed as they run."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.parameter import is_lazy

from leadline._core.arguments import arguments, tensors
from leadline._core.buffers import Buffers
from leadline._core.errors import UsageError
from leadline._core.randomness import kept_rng
from leadline._core.refusals import reason
from leadline.init._attention import given_to, heads, projections, samples_first
from leadline.init._layer import Layer
from leadline.init._maps import linear_maps

Before = Callable[[Layer, Tensor], object]
After = Callable[[Layer, Tensor], Tensor]
Where = Callable[[str, nn.Module], bool]


@torch.no_grad()
def run_once(
    model: nn.Module,
    inputs: Any,
    *,
    where: Where | None,
    before: Before | None = None,
    after: After | None = None,
) -> None:
    """Run ``model`` on ``inputs``; the first time that a layer runs, ``before`` sees its input, ``after`` its output.

    What ``after`` returns takes the place of the output. Projections inside torch's attention count as layers. Hooks,
    buffers and the global generators are put back.
    """
    handles = []
    buffers = Buffers(model)
    try:
        for layer in layers_of(model, where):
            if before is not None:
                handles.append(layer.module.register_forward_pre_hook(_once(before, layer)))
            if after is not None:
                handles.append(layer.module.register_forward_hook(_once(after, layer)))
        for attention, layers in projections(model, where):
            handles += _of_attention(attention, layers, before, after)
        with kept_rng():
            call(model, inputs)
    finally:
        for handle in handles:
            handle.remove()
        buffers.put_back(of_weights=False)


@contextmanager
def unchanged_on_error(model: nn.Module) -> Iterator[None]:
    """Parameters and buffers are put back where something fails inside.

    Raises:
        UsageError: In place of an error by which torch refuses what the model is called with.
    """
    kept = [(own, own.detach().clone()) for own in model.parameters() if not is_lazy(own)]
    buffers = Buffers(model)
    try:
        yield
    except BaseException as error:
        with torch.no_grad():
            for own, values in kept:
                own.copy_(values)
        buffers.put_back()
        why = None if not isinstance(error, Exception) or isinstance(error, UsageError) else reason(error)
        if why is None:
            raise
        raise UsageError(f"The model refused `inputs`, so it was left as it is: {why}.") from error


def check_samples(inputs: Any) -> None:
    """Nothing if every tensor in ``inputs`` holds a sample.

    Raises:
        UsageError: If one is empty.
    """
    for tensor in tensors(inputs):
        if tensor.numel() == 0:
            raise UsageError(f"`inputs` must hold samples; got a tensor of shape {tuple(tensor.shape)}.")


def layers_of(model: nn.Module, where: Where | None) -> list[Layer]:
    """The layers that run as modules."""
    modules = dict(model.named_modules())
    # Torch's attention uses the weight of its output projection without running it.
    within = {id(module.out_proj) for module in model.modules() if isinstance(module, nn.MultiheadAttention)}
    found = []
    for weight in linear_maps(model):
        name, _, key = weight.name.rpartition(".")
        module = modules[name]
        runs = isinstance(module, (nn.Linear, _ConvNd)) or type(module).__name__ == "Conv1D"
        if key == "weight" and runs and id(module) not in within and (where is None or where(name, module)):
            found.append(Layer(name=name, module=module, weight=weight, parameter=weight.name))
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


def _of_attention(
    attention: nn.MultiheadAttention, layers: dict[str, Layer], before: Before | None, after: After | None
) -> list[Any]:
    """Hooks that show the projections what they would see as layers, the first time that the attention runs."""
    pending = [True]
    out = layers.pop("heads", None)

    def ahead(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if not pending:
            return
        read = given_to(attention, args, kwargs)
        for key, layer in layers.items():
            if before is not None:
                before(layer, read[key])
            if after is not None:
                after(layer, layer.module(read[key]))
        if before is not None and out is not None:
            before(out, heads(attention, args, kwargs))

    def behind(_module: nn.Module, _args: Any, output: tuple[Any, ...]) -> tuple[Any, ...] | None:
        if not pending:
            return None
        pending.clear()
        if after is None or out is None:
            return None
        return (samples_first(attention, after(out, samples_first(attention, output[0]))), *output[1:])

    return [
        attention.register_forward_pre_hook(ahead, with_kwargs=True),
        attention.register_forward_hook(behind),
    ]


def call(model: nn.Module, inputs: Any) -> None:
    """The model on a tensor, a tuple of positional or a mapping of keyword arguments."""
    args, kwargs = arguments(inputs)
    model(*args, **kwargs)
