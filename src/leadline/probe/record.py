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
    layers = done.layers
    watched = [*layers, *extra]
    numbers = numbers_of([*(call.output for call in watched), *(call.grad for call in watched)], batch, rows=rows)
    pairs = list(zip(numbers[: len(watched)], numbers[len(watched) :], strict=True))
    tokens = token_metrics(layers, batch, rows=rows)
    residual_classes = {type(call.module) for call, found in done.residuals.items() if found.identity}
    residuals = {
        call: found
        for call, found in done.residuals.items()
        if type(call.module) in residual_classes and call in layers
    }
    streams = _stream_metrics(residuals)
    alike = Counter((call.path in done.units, kind(call.module)) for call in layers)
    positions = {call: i for i, call in enumerate(done.calls)}
    found = []
    for depth, call in enumerate(layers):
        output, grad = pairs[depth]
        active = activations_of(call, done.active)
        flat, dead_layer = activation_metrics(active)
        metrics = {
            **(output.of_output if output is not None else {}),
            **(grad.of_grad if grad is not None else {}),
            **tokens[depth],
            **flat,
            **_weight_metrics(call, done),
            **streams.get(call, {}),
        }
        is_unit = call.path in done.units
        found.append(
            LayerProfile(
                name=call.name or kind(call.module),
                kind=kind(call.module),
                depth=depth,
                role="block" if is_unit else "leaf" if is_leaf(call.module) else "module",
                repeat=kind(call.module) if alike[(is_unit, kind(call.module))] >= 2 else "",
                shape=call.shape,
                dtype=dtype_name(call.dtype),
                parts=parts_of(call, done.calls[call.first : positions[call]], active),
                residual=call in residuals,
                branches=residuals[call].branches if call in residuals else (),
                dead_layer=dead_layer,
                metrics={name: value for name, value in metrics.items() if not math.isnan(value)},
                **_view(output),
                **_counts(call, done),
            )
        )
    return found, [_tensor_record(call, *pair) for call, pair in zip(extra, pairs[len(layers) :], strict=True)]


def _tensor_record(call: Call, output: Numbers | None, grad: Numbers | None) -> LayerProfile:
    metrics = (output.of_output if output is not None else {}) | (grad.of_grad if grad is not None else {})
    return LayerProfile(
        name=call.name,
        kind="Tensor",
        depth=0,
        role="input" if call.name == "inputs" else "output",
        shape=call.shape,
        dtype=dtype_name(call.dtype),
        metrics={name: value for name, value in metrics.items() if not math.isnan(value)},
        **_view(output),
    )


def dtype_name(dtype: torch.dtype) -> str:
    """Such as ``"float32"``."""
    return str(dtype).removeprefix("torch.")


def _view(output: Numbers | None) -> dict[str, object]:
    return {} if output is None else {"rows": output.rows, "n": output.n, "d": output.d}


def _weight_metrics(call: Call, done: Pass) -> dict[str, float]:
    """On the first call of a module only; shared parameters count in every layer that holds them."""
    if call.name != call.path:
        return {}
    names = {p: n for n, p in done.parameters.items()}
    return done.weights.of_layer({names[p]: p for p in call.module.parameters()})


def _counts(call: Call, done: Pass) -> dict[str, int]:
    """Entries of the parameters, shared ones only where they were met first."""
    if call.name != call.path:
        return {}
    inside = f"{call.path}." if call.path else ""
    own = [p for n, p in done.parameters.items() if n.startswith(inside)]
    return {"parameters": sum(p.numel() for p in own), "trained": sum(p.numel() for p in own if p.requires_grad)}


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
