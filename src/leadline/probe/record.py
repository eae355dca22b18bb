"""The profile, from what a pass noted."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.autograd.graph import Node

from leadline._core.profile import LayerProfile, Profile
from leadline._core.unstored import UnstoredWeight
from leadline._core.wording import listed
from leadline._version import __version__
from leadline.probe.active import Active, ByLayer, activation_metrics, deadest, most_saturated, parts_of
from leadline.probe.capture import Call
from leadline.probe.graph import REENTRANT, paths_behind
from leadline.probe.inputs import Batch, repeated_samples
from leadline.probe.meter import Numbers
from leadline.probe.modules import Anatomy, is_leaf, kind
from leadline.probe.outputs import Side
from leadline.probe.rows import SEQUENCES
from leadline.probe.streams import Residual
from leadline.probe.usage import small_batch_norms, unused_modules, weights_without_layer
from leadline.probe.weights import Weights


@dataclass(frozen=True, kw_only=True)
class Pass:
    """What one pass noted.

    Attributes:
        parts: The model.
        batch: What the model was given.
        calls: All calls in the order in which they ended.
        layers: Those that are layers.
        reads: Names of what each of them reads.
        units: Paths of the layers that are repeated units.
        residuals: Calls with a residual stream.
        inputs: The record of the batch.
        outputs: The record of what met the loss.
        numbers: The numbers of outputs and of their gradients.
        rows: Rows at most that spectra were taken of.
        tokens: Metrics of the positions of sequences.
        active: The activations that ran.
        weights: The numbers of the parameters.
        behind: The autograd nodes behind the loss.
        loss: Its value.
        loss_kind: How it came about.
        seed: As in ``profile``.
        repeated: Whether a second forward pass was made.
        first_nonfinite: Name of the first call with nan or inf in its output.
        late: Names of modules that were made while the model ran.
        written: Names of parameters that were written on while it ran.
    """

    parts: Anatomy
    batch: Batch
    calls: Sequence[Call]
    layers: Sequence[Call]
    reads: Mapping[Call, tuple[str, ...]]
    units: set[str]
    residuals: Mapping[Call, Residual]
    inputs: Call
    outputs: Call
    numbers: Mapping[tuple[Call, Side], Numbers]
    rows: int
    tokens: Mapping[Call, dict[str, float]]
    active: Sequence[Active]
    weights: Weights
    behind: Sequence[Node]
    loss: float
    loss_kind: str
    seed: int
    repeated: bool
    first_nonfinite: str
    late: Sequence[str]
    written: Sequence[str]


def profile_of(done: Pass) -> Profile:
    """The profile of a pass."""
    model, parameters, numbers = done.parts.model, done.parts.parameters, done.weights
    return Profile(
        layers=tuple(_records(done)),
        model=type(model).__name__,
        inputs=_tensor_record(done.inputs, done, role="input"),
        outputs=_tensor_record(done.outputs, done, role="output"),
        loss=done.loss,
        loss_kind=done.loss_kind,
        mode=_mode(model),
        device=str(next(iter(parameters.values())).device) if parameters else str(done.batch.first.device),
        dtype=_dtype(parameters) if parameters else _dtype_name(done.outputs.dtype),
        batch=done.batch.size,
        rows=done.rows,
        seed=done.seed,
        unused=unused_modules(done.parts, paths_behind(done.behind, done.calls), numbers.grad_norms),
        small_batch_norms=small_batch_norms(done.calls),
        nonfinite_parameters=tuple(name for name, share in numbers.finite.items() if share < 1),
        first_nonfinite=done.first_nonfinite,
        weights={name: numbers.grad_norms[name] for name in numbers.shapes if name in numbers.grad_norms},
        weight_norms={name: numbers.norms[name] for name in numbers.shapes},
        weight_shapes=numbers.shapes,
        weight_ranks=numbers.ranks,
        repeated=repeated_samples(done.batch),
        notes=tuple(_notes(done)),
        versions={"leadline": __version__, "torch": str(torch.__version__)},
    )


def _records(done: Pass) -> Iterator[LayerProfile]:
    residuals = _residuals(done)
    streams = _stream_metrics(residuals)
    held = {**done.parts.parameters, **done.parts.unstored}
    names, sizes = {id(own): name for name, own in held.items()}, {name: _entries(own) for name, own in held.items()}
    trained = {name for name, own in held.items() if isinstance(own, UnstoredWeight) or own.requires_grad}
    alike = Counter((call.path in done.units, kind(call.module)) for call in done.layers)
    positions = {call: i for i, call in enumerate(done.calls)}
    activations = ByLayer(done.active)
    for depth, call in enumerate(done.layers):
        is_unit, own_kind = call.path in done.units, kind(call.module)
        active = activations.of(call)
        dead_layer, dead_share = deadest(active)
        saturated_layer, saturated_share = most_saturated(active)
        # Parameters belong to the first call of a module, and their entries count where they were met first.
        held_here = _held(call.module, done.parts) if call.name == call.path else ()
        own = [names[id(p)] for p in held_here if id(p) in names]  # empty parameters have no name
        counted = [name for name in own if name.startswith(f"{call.path}.") or not call.path]
        metrics, view = _numbers(call, done)
        metrics |= done.tokens.get(call, {}) | activation_metrics(active)
        metrics |= done.weights.of_layer({name: sizes[name] for name in own}) | streams.get(call, {})
        yield LayerProfile(
            name=call.name or own_kind,
            kind=own_kind,
            depth=depth,
            role="block" if is_unit else "leaf" if is_leaf(call.module) else "module",
            repeat=own_kind if alike[(is_unit, own_kind)] >= 2 else "",
            shape=call.shape,
            dtype=_dtype_name(call.dtype),
            parts=parts_of(call, done.calls[call.first : positions[call]], active),
            reads=done.reads.get(call, ()),
            residual=call in residuals,
            branches=residuals[call].branches if call in residuals else (),
            parameters=sum(sizes[name] for name in counted),
            trained=sum(sizes[name] for name in counted if name in trained),
            dead_layer=dead_layer,
            dead_share=dead_share,
            saturated_layer=saturated_layer,
            saturated_share=saturated_share,
            metrics=_known(metrics),
            **view,
        )


def _known(metrics: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if value == value}  # nan alone differs from itself


def _held(module: nn.Module, parts: Anatomy) -> Iterator[nn.Parameter | UnstoredWeight]:
    """The parameters of a module, and the modules in it whose weight is none."""
    yield from module.parameters() if module._modules else (p for p in module._parameters.values() if p is not None)
    if parts.unstored:
        yield from (part for part in module.modules() if isinstance(part, UnstoredWeight))


def _entries(held: nn.Parameter | UnstoredWeight) -> int:
    return math.prod(held.weight_shape) if isinstance(held, UnstoredWeight) else held.numel()


def _tensor_record(call: Call, done: Pass, *, role: str) -> LayerProfile:
    """The record of a tensor that is no layer."""
    metrics, view = _numbers(call, done)
    return LayerProfile(
        name=call.name,
        kind="Tensor",
        depth=0,
        role=role,
        shape=call.shape,
        dtype=_dtype_name(call.dtype),
        metrics=_known(metrics),
        **view,
    )


def _numbers(call: Call, done: Pass) -> tuple[dict[str, float], dict[str, Any]]:
    """Metrics of a call's output and its gradient, and how the output became rows."""
    output, grad = done.numbers.get((call, "output")), done.numbers.get((call, "grad"))
    metrics = {} if output is None else output.of_output
    if grad is not None:
        metrics |= grad.of_grad
    return metrics, {} if output is None else {"rows": output.rows, "n": output.n, "d": output.d}


def _residuals(done: Pass) -> dict[Call, Residual]:
    """The residual layers. A projected shortcut counts where others of the class pass their input on unchanged."""
    classes = {type(call.module) for call, found in done.residuals.items() if found.identity}
    return {c: done.residuals[c] for c in done.layers if c in done.residuals and type(c.module) in classes}


def _stream_metrics(residuals: Mapping[Call, Residual]) -> dict[Call, dict[str, float]]:
    found: dict[Call, dict[str, float]] = {call: {} for call in residuals}
    for call, residual in residuals.items():
        if residual.stream is not None:
            found[call]["stream_rms"] = residual.stream
        if residual.added:
            found[call]["branch_rms"] = math.hypot(*residual.added)
    return found


def _mode(model: nn.Module) -> str:
    modes = {module.training for module in model.modules()}
    return "mixed" if len(modes) == 2 else "train" if modes.pop() else "eval"


def _dtype(parameters: Mapping[str, nn.Parameter]) -> str:
    """That of most entries."""
    entries: Counter[torch.dtype] = Counter()
    for parameter in parameters.values():
        entries[parameter.dtype] += parameter.numel()
    return _dtype_name(entries.most_common(1)[0][0])


def _dtype_name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _notes(done: Pass) -> Iterator[str]:
    size = done.batch.size
    if size > done.rows:
        yield f"Spectra were taken of {done.rows} of {size} samples, evenly spaced."
    if any(layer in done.tokens for layer in done.layers) and size > SEQUENCES:
        yield f"Metrics of tokens are means over {SEQUENCES} of {size} sequences, evenly spaced."
    unread = dict.fromkeys(call.path or kind(call.module) for call in done.calls if call.unread)
    if unread:
        named = f"{', '.join(list(unread)[:3])}{f' and {len(unread) - 3} more' if len(unread) > 3 else ''}"
        yield f"Outputs that are complex, or inside a transform of torch.func, were not measured: {named}."
    functional = weights_without_layer(done.parts, done.calls, done.layers, done.behind)
    if functional:
        yield (
            f"Functions outside every layer use the weights {listed(functional)}, and what they do was not measured; "
            "put each into a module of its own."
        )
    if done.late:
        yield f"Modules that the model made while it ran were not measured: {', '.join(done.late)}; profile it again."
    if done.written:
        yield f"The model writes on its own parameters, and that is not undone: {', '.join(done.written)}."
    if any(not call.stored for call in done.calls) or any(node.name() == REENTRANT for node in done.behind):
        yield "Activations behind checkpoints were not read: their values are not kept."
    if done.parts.unstored:
        yield "Weights that are not stored were measured by products; norms of large ones are known to within 3 %."
    if done.repeated:
        yield "A second forward pass was made, for outputs that the model overwrites or to find where nan begins."
