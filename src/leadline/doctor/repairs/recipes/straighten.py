"""Orthogonal weights, scaled and shifted so that activations work where they are nearly straight."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from torch import Tensor

from leadline._core.repair import Step
from leadline.doctor.repairs.recipe import Patient, Recipe, need
from leadline.doctor.repairs.residual import branch_ends, inside_blocks
from leadline.doctor.repairs.straight import Point, operating_point
from leadline.doctor.repairs.wiring import Link
from leadline.init._passes import Layer, run_once

# Nats by which the squared gradient may grow. Straighter is often farther from zero, with a larger mean common to all
# samples: which of the two harms less is measured.
BUDGETS = (2.0, 4.0)


@dataclass(frozen=True, kw_only=True)
class _Aim:
    """Mean and spread that a map's outputs shall have, and the norm's factor and offset where it has any."""

    shift: float
    spread: float
    gain: float | None = None
    offset: float | None = None


def mend(patient: Patient, *, budget: float) -> list[Step]:
    """Draw; then in one pass centre every output, and give it the spread and shift of its activation's point."""
    links = patient.links()
    need(links, "linear or convolutional layers that run as modules and may be changed")
    steps = [patient.draw()]
    aims = _aims(patient, links, budget)
    for link in links:
        steps += _set_norm(patient, link, aims[link.name])
    steps += _set_maps(patient, {link.name: link for link in links}, aims)
    return steps


def _aims(patient: Patient, links: list[Link], budget: float) -> dict[str, _Aim]:
    """What each map's outputs shall be like."""
    within = inside_blocks(patient.profile, links)
    ends = branch_ends(patient.profile, links)
    depth = max(1, sum(link.phi is not None and link.name not in within for link in links))
    points: dict[tuple[object, ...], Point] = {}

    def point(link: Link) -> Point:
        assert link.phi is not None
        options = {"shifts": _shifts(link), "unit_rms": _divides(link)}
        # Activations alike enough to be printed alike share a point.
        key = (str(link.phi), *options.values())
        if key not in points:
            points[key] = operating_point(link.phi, depth=depth, budget=budget, **options)
        return points[key]

    aims = {}
    for link in links:
        if link.name in ends:
            spread = 1 / math.sqrt(len(ends))
            shift = math.sqrt(1 - spread**2) if _divides(link) and _shifts(link) else 0.0
        elif link.phi is None:
            shift, spread = 0.0, 1.0
        else:
            shift, spread = point(link).shift, point(link).spread
        aims[link.name] = _aim(link, shift, spread)
    return aims


def _shifts(link: Link) -> bool:
    if link.norm_module is None or _divides(link):
        return link.bias is not None
    return link.offset is not None


def _divides(link: Link) -> bool:
    """Whether a norm without a factor of its own stands behind, that only divides."""
    return link.norm_module is not None and link.gain is None and link.keeps_shift


def _aim(link: Link, shift: float, spread: float) -> _Aim:
    if link.norm_module is None:
        return _Aim(shift=shift, spread=spread)
    if link.gain is not None:
        return _Aim(shift=0.0, spread=1.0, gain=spread, offset=shift if link.offset is not None else None)
    return _Aim(shift=shift / spread if _divides(link) and _shifts(link) else 0.0, spread=1.0)


def _set_norm(patient: Patient, link: Link, aim: _Aim) -> Iterator[Step]:
    for key, value in (("weight", aim.gain), ("bias", aim.offset)):
        if value is not None:
            parameter = f"{link.norm}.{key}"
            yield patient.done(
                "fill", f"{parameter} set to {value:.4g}.", layer=link.norm, parameter=parameter, value=value
            )


def _set_maps(patient: Patient, links: dict[str, Link], aims: dict[str, _Aim]) -> list[Step]:
    steps: list[Step] = []

    def adjust(layer: Layer, output: Tensor) -> Tensor:
        link, aim = links[layer.name], aims[layer.name]
        linear = output - layer.bias
        axes = [axis for axis in range(linear.ndim) if axis != (1 if layer.weight.kernel else linear.ndim - 1)]
        mean = linear.mean(axes, keepdim=True) if link.bias is not None else linear.new_zeros(())
        centred = linear - mean
        std = centred.std(correction=0).item()
        factor = aim.spread / std if 0 < std < math.inf else 1.0
        layer.scale(factor)
        weight = f"{layer.name}.weight" if layer.name else "weight"
        text = f"{layer.name}: weights times {factor:.4g}, outputs of spread {aim.spread:.3g}"
        steps.append(
            Step(action="scale", layer=layer.name, text=f"{text}.", data={"parameter": weight, "factor": factor})
        )
        if link.bias is None:
            return linear * factor
        link.bias.copy_(aim.shift - factor * mean.flatten())
        bias = f"{layer.name}.bias" if layer.name else "bias"
        text = f"{bias} set so that every unit's mean over the batch is {aim.shift:.3g}."
        steps.append(Step(action="from-batch", layer=layer.name, text=text, data={"what": bias}))
        return centred * factor + aim.shift

    run_once(patient.model, patient.inputs, where=lambda name, _: name in links, after=adjust)
    return steps


STRAIGHTEN = Recipe(
    name="straighten",
    text="orthogonal weights, scaled and shifted so that activations work where they are nearly straight",
    swaps=False,
    ways={f"budget {budget:g}": partial(mend, budget=budget) for budget in BUDGETS},
)
