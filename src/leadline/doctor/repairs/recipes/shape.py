"""Activations swapped for shaped ones, with orthogonal weights and unit variance."""

from leadline._core.repair import Step
from leadline.doctor.repairs.recipe import Patient, Recipe, need
from leadline.doctor.repairs.recipes.unit_variance import scaled
from leadline.doctor.repairs.wiring import Link

BUDGET = 1.0


def mend(patient: Patient) -> list[Step]:
    """Shape every activation module for the number of activated maps, then draw and scale."""
    links = [link for link in patient.links() if link.activation]
    need(links, "activation modules to swap (functions that forward calls, such as F.relu, cannot be)")
    first = {link.activation: link for link in reversed(links)}
    depth = sum(link.phi is not None for link in patient.links())
    steps = [_step(patient, link, depth) for link in first.values()]
    return [*steps, patient.draw(), *scaled(patient)]


def _step(patient: Patient, link: Link, depth: int) -> Step:
    normalised = link.norm_module is not None
    return patient.done(
        "shape",
        f"{link.activation} shaped for {depth} layers, {'behind norms' if normalised else 'without norms'}.",
        layer=link.activation,
        swaps=True,
        module=link.activation,
        depth=depth,
        budget=BUDGET,
        normalised=normalised,
    )


SHAPE = Recipe(
    name="shape",
    text="activations swapped for forms shaped for the depth, with orthogonal weights of unit variance",
    swaps=True,
    ways={"": mend},
)
