"""Which recipes are tried, and in which order, from what was measured."""

from leadline.doctor.repairs.recipe import Patient, Recipe
from leadline.doctor.repairs.recipes import RECIPES
from leadline.doctor.repairs.sounding import OF_THE_SCORE, Sounding

# A stream that grows is cured by its branches alone, without drawing anything anew.
_OF_BRANCHES = frozenset({"activation-growth", "gradient-explosion", "saturation"})


def plan(before: Sounding, patient: Patient) -> list[Recipe]:
    """The recipes to try; none for a model in which nothing was found."""
    if not before.findings:
        return []
    names = ["unit-variance", "straighten"]
    if any(finding.code != OF_THE_SCORE for finding in before.findings):
        names += ["shape", "normalise"]
    residual = any(layer.residual for layer in patient.profile.layers)
    if residual and any(finding.code in _OF_BRANCHES for finding in before.findings):
        names.insert(0, "scale-residual")
    return [RECIPES[name] for name in names]
