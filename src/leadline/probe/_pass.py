"""One pass: forward, backward, at most one more forward, and everything that is read off them."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import UninitializedParameter

from leadline._core.errors import UsageError
from leadline._core.profile import Profile
from leadline._version import __version__
from leadline.probe.active import activations
from leadline.probe.again import outputs_again
from leadline.probe.backward import failures_named, gradients
from leadline.probe.cancellation import Contributions
from leadline.probe.capture import Call, nodes_made, watched
from leadline.probe.graph import REENTRANT, nodes_behind, number_of, paths_behind
from leadline.probe.guard import undisturbed
from leadline.probe.inputs import Batch, differentiable, repeated_samples
from leadline.probe.loss import Loss, main_output, scalar_loss
from leadline.probe.meter import Meter
from leadline.probe.modules import named_modules, named_parameters
from leadline.probe.record import Pass, dtype_name, records, tensor_record
from leadline.probe.refusal import refusals_named
from leadline.probe.rows import SEQUENCES
from leadline.probe.select import Layers, layers_of, plan
from leadline.probe.streams import Streams
from leadline.probe.tokens import token_metrics
from leadline.probe.usage import small_batch_norms, unused_modules
from leadline.probe.weights import WeightGradients, untied_maps, weights

# Rows of a spectrum: its cost goes with their third power, so that a model of very many layers gets fewer.
ROWS, MANY_LAYERS = 64, 80


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a pass is asked for; as in ``profile``."""

    targets: Any
    loss: Loss | None
    layers: Layers
    rows: int | None
    seed: int


def one_pass(model: nn.Module, batch: Batch, settings: Settings) -> Profile:
    """The profile of one forward and backward pass of ``batch`` through ``model``."""
    modules, parameters = named_modules(model), named_parameters(model)
    model = modules[""]
    _check(model, parameters)
    wanted = plan(modules, settings.layers)
    streams = Streams(units=wanted.composed, kept=wanted.kept, kept_inside=wanted.kept_inside)
    contributions = Contributions()
    in_place = any(getattr(module, "inplace", False) for module in modules.values())
    with undisturbed(model), watched(modules, wanted.kept, copying=in_place) as tape:
        tape.listeners = (contributions.ended, streams.ended)
        fed, leaves = differentiable(batch)
        with refusals_named(tape):
            outputs = model(*fed.args, **fed.kwargs)
        tape.recording, made = False, nodes_made()
        loss, loss_kind = scalar_loss(outputs, settings.targets, settings.loss, seed=settings.seed)
        layers, units = layers_of(wanted, tape.calls, streams.is_identity)
        given = Call.of("inputs", leaves[0] if leaves and fed.first.is_floating_point() else fed.first)
        met = tape.watch("outputs", main_output(outputs))
        behind = list(nodes_behind([loss]))
        with failures_named():
            active = activations([node for node in behind if number_of(node) < made], tape.calls)
        rows = settings.rows or (ROWS if len(layers) <= MANY_LAYERS else ROWS // 2)
        tokens = token_metrics(layers, batch, rows=rows)
        outside, inside = (Meter[Call](batch=batch, rows=rows) for _ in range(2))
        for call in (given, *layers, met):
            outside.take(call, call.output if call.intact else None)
        overwritten = {call.name for call in layers if not call.intact}
        for call in tape.calls:
            call.output = None
        awaited = {*layers, met}
        tape.arrived = lambda call, grad: inside.take(call, grad if call in awaited else None)
        learning = {name: p for name, p in parameters.items() if p.requires_grad}
        grads = WeightGradients(summed=untied_maps(modules, learning, contributions.counts))
        reentrant = any(node.name() == REENTRANT for node in behind)
        for call in layers if reentrant else ():
            if call.node is None:
                tape.replays.setdefault(call.path, []).append(call)
        with failures_named():
            arrived = gradients(loss, learning, [*leaves, *tape.entries], grads.take, reentrant=reentrant)
    reached = {id(parameters[name]) for name in grads.norms}
    if leaves and given.dtype.is_floating_point:
        inside.take(given, arrived[0])
    numbers = weights(modules, parameters, grads, contributions)
    diverged = not all(
        map(math.isfinite, [float(loss.detach()), *numbers.norms.values(), *numbers.grad_norms.values()])
    )
    first_nonfinite = ""
    if overwritten or diverged:
        again = outputs_again(modules, batch, overwritten)
        first_nonfinite = again.first_nonfinite
        repeated = [call for call in layers if call.name in again.outputs]
        for call in repeated:
            call.output = again.outputs[call.name]
            outside.take(call, call.output)
        tokens |= token_metrics(repeated, batch, rows=rows)
    done = Pass(
        calls=tape.calls,
        layers=layers,
        units=units,
        residuals=streams.found,
        outputs=outside.numbers(),
        grads=inside.numbers(),
        tokens=tokens,
        active=active,
        weights=numbers,
        parameters=parameters,
    )
    own = records(done)
    return Profile(
        layers=tuple(own),
        model=type(model).__name__,
        inputs=tensor_record(given, done),
        outputs=tensor_record(met, done),
        loss=float(loss.detach()),
        loss_kind=loss_kind,
        mode=_mode(model),
        device=str(next(iter(parameters.values())).device),
        dtype=_dtype(parameters),
        batch=batch.size,
        rows=rows,
        seed=settings.seed,
        unused=unused_modules(modules, paths_behind(behind, tape.calls), reached),
        small_batch_norms=small_batch_norms(tape.calls),
        nonfinite_parameters=tuple(name for name, share in numbers.finite.items() if share < 1),
        first_nonfinite=first_nonfinite,
        weights={name: numbers.grad_norms[name] for name in numbers.shapes if name in numbers.grad_norms},
        weight_norms={name: numbers.norms[name] for name in numbers.shapes},
        weight_shapes=numbers.shapes,
        weight_ranks=numbers.ranks,
        repeated=repeated_samples(batch),
        notes=tuple(_notes(batch, rows, own, tape.calls, again=bool(overwritten or diverged))),
        versions={"leadline": __version__, "torch": str(torch.__version__)},
    )


def _check(model: nn.Module, parameters: Mapping[str, nn.Parameter]) -> None:
    name = type(model).__name__
    if not parameters:
        raise UsageError(f"The model ({name}) has no parameters, so there is nothing to profile.")
    for path, parameter in parameters.items():
        if isinstance(parameter, UninitializedParameter) or parameter.is_meta:
            raise UsageError(
                f"The parameter {path} has no values yet; run a batch through the model or load its weights."
            )
    if any(t.is_inference() for t in (*parameters.values(), *model.buffers())):
        raise UsageError(
            f"The model ({name}) was made under torch.inference_mode, so no gradient can be recorded; make it outside."
        )


def _mode(model: nn.Module) -> str:
    modes = {module.training for module in model.modules()}
    return "mixed" if len(modes) == 2 else "train" if modes.pop() else "eval"


def _dtype(parameters: Mapping[str, nn.Parameter]) -> str:
    entries: Counter[torch.dtype] = Counter()
    for parameter in parameters.values():
        entries[parameter.dtype] += parameter.numel()
    return dtype_name(entries.most_common(1)[0][0])


def _notes(batch: Batch, rows: int, layers, calls: Sequence[Call], *, again: bool):
    if batch.size > rows:
        yield f"Spectra were taken of {rows} of {batch.size} samples, evenly spaced."
    if any(layer.metrics.keys() & {"token_participation_ratio"} for layer in layers) and batch.size > SEQUENCES:
        yield f"Metrics of tokens are means over {SEQUENCES} of {batch.size} sequences, evenly spaced."
    if any(not call.stored for call in calls):
        yield "Activations behind checkpoints were not read: their values are not kept."
    if again:
        yield "A second forward pass was made, for outputs that the model overwrites or to find where nan begins."
