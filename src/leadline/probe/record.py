"""The record of each layer, from what a pass noted of it."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from leadline._core.profile import LayerProfile
from leadline.probe.active import Active, activation_metrics, activations_of, deadest, parts_of
from leadline.probe.capture import Call
from leadline.probe.meter import Numbers
from leadline.probe.modules import is_leaf, kind
from leadline.probe.streams import Residual
from leadline.probe.weights import Weights


@dataclass(frozen=True, kw_only=True)
class Pass:
    """What one pass noted.

    Attributes:
        calls: All calls in the order in which they ended.
        layers: Those that are layers.
        units: Paths of the layers that are repeated units.
        residuals: Calls with a residual stream.
        outputs: The numbers of the outputs of the layers, and of the batch and what met the loss.
        grads: Those of their gradients.
        tokens: Metrics of the positions of sequences.
        active: The activations that ran.
        weights: The numbers of the parameters.
        parameters: The parameters by name, shared ones under the first.
    """

    calls: Sequence[Call]
    layers: Sequence[Call]
    units: set[str]
    residuals: Mapping[Call, Residual]
    outputs: Mapping[Call, Numbers]
    grads: Mapping[Call, Numbers]
    tokens: Mapping[Call, dict[str, float]]
    active: Sequence[Active]
    weights: Weights
    parameters: Mapping[str, nn.Parameter]


def records(done: Pass) -> list[LayerProfile]:
    """The record of every layer, in order of execution."""
    residuals = _residuals(done)
    streams = _stream_metrics(residuals)
    names = {id(parameter): name for name, parameter in done.parameters.items()}  # hashing a tensor is slow
    alike = Counter((call.path in done.units, kind(call.module)) for call in done.layers)
    positions = {call: i for i, call in enumerate(done.calls)}
    found = []
    for depth, call in enumerate(done.layers):
        output, grad = done.outputs.get(call), done.grads.get(call)
        is_unit = call.path in done.units
        active = activations_of(call, done.active)
        dead_layer, dead_share = deadest(active)
        # Parameters belong to the first call of a module, and their entries count where they were met first.
        own = {names[id(p)]: p for p in call.module.parameters()} if call.name == call.path else {}
        counted = [p for name, p in own.items() if name.startswith(f"{call.path}.") or not call.path]
        metrics = _of_output(output) | _of_grad(grad) | done.tokens.get(call, {})
        metrics |= activation_metrics(active) | done.weights.of_layer(own) | streams.get(call, {})
        found.append(
            LayerProfile(
                name=call.name or kind(call.module),
                kind=kind(call.module),
                depth=depth,
                role="block" if is_unit else "leaf" if is_leaf(call.module) else "module",
                repeat=kind(call.module) if alike[(is_unit, kind(call.module))] >= 2 else "",
                shape=call.shape,
                dtype=dtype_name(call.dtype),
                rows=output.rows if output is not None else "samples",
                n=output.n if output is not None else 0,
                d=output.d if output is not None else 0,
                parts=parts_of(call, done.calls[call.first : positions[call]], active),
                residual=call in residuals,
                branches=residuals[call].branches if call in residuals else (),
                parameters=sum(p.numel() for p in counted),
                trained=sum(p.numel() for p in counted if p.requires_grad),
                dead_layer=dead_layer,
                dead_share=dead_share,
                metrics=_that_apply(metrics),
            )
        )
    return found


def _residuals(done: Pass) -> dict[Call, Residual]:
    """The residual layers. A projected shortcut counts where others of the class pass their input on unchanged."""
    classes = {type(call.module) for call, found in done.residuals.items() if found.identity}
    return {c: done.residuals[c] for c in done.layers if c in done.residuals and type(c.module) in classes}


def _of_output(numbers: Numbers | None) -> dict[str, float]:
    return {} if numbers is None else numbers.of_output


def _of_grad(numbers: Numbers | None) -> dict[str, float]:
    return {} if numbers is None else numbers.of_grad


def _that_apply(metrics: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if not math.isnan(value)}


def tensor_record(call: Call, done: Pass) -> LayerProfile:
    """The record of a tensor that is no layer: the batch, or what met the loss."""
    output, grad = done.outputs.get(call), done.grads.get(call)
    return LayerProfile(
        name=call.name,
        kind="Tensor",
        depth=0,
        role="input" if call.name == "inputs" else "output",
        shape=call.shape,
        dtype=dtype_name(call.dtype),
        rows=output.rows if output is not None else "samples",
        n=output.n if output is not None else 0,
        d=output.d if output is not None else 0,
        metrics=_that_apply(_of_output(output) | _of_grad(grad)),
    )


def dtype_name(dtype: torch.dtype) -> str:
    """Such as ``"float32"``."""
    return str(dtype).removeprefix("torch.")


def _stream_metrics(residuals: Mapping[Call, Residual]) -> dict[Call, dict[str, float]]:
    pairs = []
    for call, residual in residuals.items():
        if residual.stream is not None:
            pairs.append((call, "stream_rms", residual.stream))
        if residual.added:
            pairs.append((call, "branch_rms", torch.stack(residual.added).square().sum().sqrt()))
    found: dict[Call, dict[str, float]] = {}
    values = torch.stack([value.to(pairs[0][2].device) for *_, value in pairs]).tolist() if pairs else []
    for (call, name, _), value in zip(pairs, values, strict=True):
        found.setdefault(call, {})[name] = value
    return found
