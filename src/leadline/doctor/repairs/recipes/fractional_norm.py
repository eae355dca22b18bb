"""Fractional batch normalisation: batch normalisations are converted or, where there are none, it is inserted."""

from torch.nn.modules.batchnorm import _BatchNorm

from leadline._core.repair import Step
from leadline.doctor.repairs.recipe import Patient, Recipe
from leadline.doctor.repairs.recipes.normalise import inserted
from leadline.doctor.repairs.recipes.unit_variance import scaled
from leadline.nn import alpha_for_depth


def mend(patient: Patient) -> list[Step]:
    """Convert or insert, with the exponent for that many layers, then draw and scale."""
    count = sum(isinstance(module, _BatchNorm) for module in patient.model.modules())
    if count:
        alpha = alpha_for_depth(count)
        text = f"{count} batch normalisations made fractional, exponent {alpha:.3g}."
        steps = [patient.done("fractional", text, swaps=True, alpha=alpha)]
    else:
        depth = sum(link.phi is not None for link in patient.links())
        steps = inserted(patient, kind="fractional", alpha=alpha_for_depth(max(depth, 1)))
    return [*steps, patient.draw(), *scaled(patient)]


FRACTIONAL_NORM = Recipe(
    name="fractional-norm",
    text="batch normalisations made fractional, or fractional ones inserted, with orthogonal weights",
    swaps=True,
    ways={"": mend},
)
