"""Residual branches scaled so that all of them together are as large as the stream."""

import math

from leadline._core.profile import LayerProfile
from leadline._core.repair import Step
from leadline.doctor.repairs.recipe import Patient, Recipe, need
from leadline.doctor.repairs.residual import branch_ends
from leadline.doctor.repairs.wiring import Link


def mend(patient: Patient) -> list[Step]:
    """Multiply the end of each of N branches by stream / (branch · √N), where that is below 1."""
    links = patient.links()
    ends = branch_ends(patient.profile, links)
    need(ends, "residual branches that end in a map which may be changed")
    by_name = {link.name: link for link in links}
    steps = []
    for name, branch in ends.items():
        ratio = _ratio(patient, branch)
        factor = 1 / (ratio * math.sqrt(len(ends))) if 0 < ratio < math.inf else 1 / math.sqrt(len(ends))
        if factor < 1:
            steps += _scaled(patient, by_name[name], factor)
    need(steps, "residual branch that is larger than its share of the stream")
    return steps


def _ratio(patient: Patient, branch: str) -> float:
    """Branch over stream, as measured in the layer that adds the branch."""
    layer = next((each for each in patient.profile.layers if branch in each.branches), None)
    return _of(layer) if layer is not None else math.nan


def _of(layer: LayerProfile) -> float:
    return layer.branch_rms / layer.stream_rms if layer.stream_rms > 0 else math.nan


def _scaled(patient: Patient, link: Link, factor: float) -> list[Step]:
    """Where a norm stands behind the map its factor and offset are scaled, otherwise weight and bias."""
    if link.norm_module is not None and link.gain is None:
        return []  # It would undo the factor.
    where = link.name if link.norm_module is None else link.norm
    keys = ["weight"]
    if (link.bias if link.norm_module is None else link.offset) is not None:
        keys.append("bias")
    return [
        patient.done(
            "scale",
            f"{where}.{key} times {factor:.4g}, so that its branch adds its share.",
            layer=where,
            parameter=f"{where}.{key}",
            factor=factor,
        )
        for key in keys
    ]


SCALE_RESIDUAL = Recipe(
    name="scale-residual",
    text="residual branches scaled to their share of the stream, 1/√(number of branches)",
    swaps=False,
    ways={"": mend},
)
