"""One pass: forward, backward, at most one more forward, and everything that is read off them."""

import math
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from leadline._core.errors import UsageError
from leadline._core.profile import Profile
from leadline.probe.active import activations
from leadline.probe.again import outputs_again
from leadline.probe.backward import failures_named, gradients
from leadline.probe.cancellation import Contributions
from leadline.probe.capture import Call, nodes_made, watched
from leadline.probe.changes import Changes
from leadline.probe.flow import INPUTS, reads
from leadline.probe.graph import REENTRANT, graph_behind
from leadline.probe.guard import undisturbed
from leadline.probe.inputs import Batch, differentiable
from leadline.probe.loss import Loss, main_output, scalar_loss
from leadline.probe.modules import Anatomy, anatomy, is_lazy
from leadline.probe.outputs import Outputs
from leadline.probe.record import Pass, profile_of
from leadline.probe.refusal import refusals_named
from leadline.probe.select import Layers, layers_of, plan
from leadline.probe.streams import Streams
from leadline.probe.weights import WeightGradients, maps_used_once, weights

# Rows of a spectrum. Its cost goes with their third power and is paid for every layer, while rates along many layers
# need less of each: of more layers than so many, half the rows are taken.
ROWS, MANY_LAYERS = 64, 40
_ASKS_ITSELF = "you can only change requires_grad flags of leaf variables"  # as autograd says it


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a pass is asked for; as in ``profile``."""

    targets: Any
    loss: Loss | None
    layers: Layers
    rows: int | None
    seed: int


def one_pass(model: nn.Module, batch: Batch, settings: Settings) -> Profile:
    """The profile of one forward and backward pass of ``batch`` through ``model``.

    A model that asks gradients of its inputs itself, which only works where nobody else does, is given plain ones.
    """
    parts = anatomy(model)
    _check(parts)
    try:
        return _pass(parts, batch, settings)
    except UsageError as error:
        if not batch.flows or _ASKS_ITSELF not in str(error):
            raise
    return _pass(parts, replace(batch, flows=False), settings)


def _pass(parts: Anatomy, batch: Batch, settings: Settings) -> Profile:
    wanted = plan(parts, settings.layers)
    streams = Streams(units=wanted.composed, kept=wanted.kept, kept_inside=wanted.kept_inside)
    changes, contributions = Changes(parts), Contributions()
    rows = settings.rows or (ROWS if wanted.expected <= MANY_LAYERS else ROWS // 2)
    measured = Outputs(batch=batch, rows=rows, at_once=wanted.at_once)
    listeners = (contributions.ended, streams.ended, measured.ended)
    in_place = any(getattr(module, "inplace", False) for module in parts.modules.values())

    def waits(call: Call) -> bool:
        return in_place and call.path in wanted.kept and not wanted.at_once(call)

    with (
        undisturbed(parts.model),
        watched(parts, copies=waits, units=wanted.composed, listeners=listeners) as tape,
    ):
        for module in parts.unstored.values():
            module.record_weight_grad()
        fed, leaves = differentiable(batch)
        with refusals_named(tape):
            outputs = parts.model(*fed.args, **fed.kwargs)
        tape.recording, made = False, nodes_made()
        loss, loss_kind = scalar_loss(outputs, settings.targets, settings.loss, seed=settings.seed)
        graph = graph_behind(loss, made=made)
        layers, units = layers_of(wanted, tape.calls, streams.is_identity)
        given = Call.of(INPUTS, leaves[0] if fed.first.requires_grad else fed.first)
        met = Call.of("outputs", main_output(outputs))
        measured.take(given, given.output)
        measured.take(met, met.output)
        overwritten = measured.take_rest(layers)
        for call in tape.calls:
            call.output = None
        read = reads(layers, graph, leaves)
        reentrant = any(node.name() == REENTRANT for node in graph.nodes)
        measured.await_grads(tape, {*layers, met}, contributions, reentrant=reentrant)
        learning = {name: p for name, p in parts.parameters.items() if p.requires_grad}
        grads = WeightGradients(summed=maps_used_once(parts, contributions.calls, graph.uses))
        with failures_named():
            active = activations(graph, tape.calls)
            arrived = gradients(loss, learning, [*leaves, *tape.entries], grads.take, reentrant=reentrant)
        grads.take_unstored(parts.unstored)
    if fed.first.requires_grad:
        measured.take_grad(given, arrived[0])
    numbers = weights(parts, grads, contributions)
    value = float(loss.detach())
    first_nonfinite = ""
    diverged = not all(map(math.isfinite, (value, *numbers.norms.values(), *numbers.grad_norms.values())))
    if overwritten or diverged:
        again = outputs_again(parts, batch, overwritten)
        first_nonfinite = again.first_nonfinite
        for call in layers:
            if call.name in again.outputs:
                measured.take(call, again.outputs[call.name])
    done = Pass(
        parts=parts,
        batch=batch,
        calls=tape.calls,
        layers=layers,
        reads=read,
        units=units,
        residuals=streams.found,
        inputs=given,
        outputs=met,
        numbers=measured.numbers(),
        rows=rows,
        tokens=measured.token_metrics(),
        active=active,
        weights=numbers,
        behind=graph.nodes,
        loss=value,
        loss_kind=loss_kind,
        seed=settings.seed,
        repeated=bool(overwritten or diverged),
        first_nonfinite=first_nonfinite,
        late=changes.late,
        written=changes.written,
    )
    return profile_of(done)


def _check(parts: Anatomy) -> None:
    name = type(parts.model).__name__
    if not (parts.parameters or parts.unstored):
        raise UsageError(
            f"The model ({name}) has no parameters, so there is nothing to profile; run a batch through it before, "
            "if it makes them only then."
        )
    for path, parameter in parts.parameters.items():
        if is_lazy(parameter) or parameter.is_meta:
            raise UsageError(
                f"The parameter {path} has no values yet; run a batch through the model or load its weights."
            )
    if any(t.is_inference() for t in (*parts.parameters.values(), *parts.model.buffers())):
        raise UsageError(
            f"The model ({name}) was made under torch.inference_mode, so no gradient can be recorded; make it outside."
        )
