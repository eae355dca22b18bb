"""Orthogonal weights with the gain of the activation in front of them."""

import itertools

from leadline._core.errors import AssumptionError
from leadline._core.repair import Step
from leadline.doctor.repairs.recipe import Patient, Recipe, need
from leadline.doctor.repairs.wiring import Elementwise, Link
from leadline.init import gain


def mend(patient: Patient) -> list[Step]:
    """Draw, then scale by what the activation of the map in front takes away."""
    links = patient.links()
    need(links, "linear or convolutional layers that run as modules and may be changed")
    steps = [patient.draw()]
    for front, link in itertools.pairwise(links):
        factor = _gain(front.phi)
        if factor != 1.0:
            steps.append(_scaled(patient, link, factor))
    return steps


def _scaled(patient: Patient, link: Link, factor: float) -> Step:
    return patient.done(
        "scale",
        f"{link.name}: weights times {factor:.4g}, the gain of the activation in front.",
        layer=link.name,
        parameter=f"{link.name}.weight" if link.name else "weight",
        factor=factor,
    )


def _gain(phi: Elementwise | None) -> float:
    try:
        return 1.0 if phi is None else round(gain(phi), 12)
    except AssumptionError:
        return 1.0


ORTHOGONAL = Recipe(
    name="orthogonal",
    text="orthogonal weights with the gain of the activation in front of them",
    swaps=False,
    ways={"": mend},
)
