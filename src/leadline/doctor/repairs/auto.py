"""Which recipes are tried, and in which order, from what was measured."""

from leadline.doctor.repairs.recipe import Patient, Recipe
from leadline.doctor.repairs.recipes import RECIPES
from leadline.doctor.repairs.sounding import Sounding


def plan(before: Sounding, patient: Patient) -> list[Recipe]:
    """The recipes to try; none for a model without findings whose score is good."""
    if before.clean:
        return []
    numbers = ["unit-variance", "straighten"]
    return [RECIPES[name] for name in numbers]
