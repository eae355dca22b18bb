"""The record of each layer, from what a pass noted of it."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from leadline._core.profile import LayerProfile
from leadline.probe.active import Active, activation_metrics, activations_of, parts_of
from leadline.probe.capture import Call
from leadline.probe.inputs import Batch
from leadline.probe.modules import is_leaf, kind
from leadline.probe.numbers import Numbers, numbers_of, token_metrics
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
        active: The activations that ran.
        weights: The numbers of the parameters.
        parameters: The parameters by name, shared ones under the first.
    """

    calls: Sequence[Call]
    layers: Sequence[Call]
    units: set[str]
    residuals: Mapping[Call, Residual]
    active: Sequence[Active]
    weights: Weights
    parameters: Mapping[str, nn.Parameter]


def records(
    done: Pass, batch: Batch, *, extra: Sequence[Call], rows: int
) -> tuple[list[LayerProfile], list[LayerProfile]]:
    """The record of every layer, in order of execution, and of the tensors ``extra`` that are none."""
    watched = [*done.layers, *extra]
    numbers = numbers_of([*(call.output for call in watched), *(call.grad for call in watched)], batch, rows=rows)
    pairs = list(zip(numbers[: len(watched)], numbers[len(watched) :], strict=True))
    tokens = token_metrics(done.layers, batch, rows=rows)
    residuals = _residuals(done)
    streams = _stream_metrics(residuals)
    names = {parameter: name for name, parameter in done.parameters.items()}
    alike = Counter((call.path in done.units, kind(call.module)) for call in done.layers)
    positions = {call: i for i, call in enumerate(done.calls)}
    found = []
    for depth, (call, (output, grad)) in enumerate(zip(done.layers, pairs, strict=False)):
        is_unit = call.path in done.units
        active = activations_of(call, done.active)
        flat, dead_layer = activation_metrics(active)
        # Parameters belong to the first call of a module, and their entries count where they were met first.
        own = {names[p]: p for p in call.module.parameters()} if call.name == call.path else {}
        counted = [p for name, p in own.items() if name.startswith(f"{call.path}.") or not call.path]
        metrics = _of_output(output) | _of_grad(grad) | tokens[depth] | flat | done.weights.of_layer(own)
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
                metrics=_that_apply(metrics | streams.get(call, {})),
            )
        )
    return found, [_tensor_record(call, *pair) for call, pair in zip(extra, pairs[len(found) :], strict=True)]


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


def _tensor_record(call: Call, output: Numbers | None, grad: Numbers | None) -> LayerProfile:
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
