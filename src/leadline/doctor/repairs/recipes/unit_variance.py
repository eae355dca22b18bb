"""Orthogonal weights, then unit variance of every layer's output on the batch."""

from leadline._core.repair import Step
from leadline.doctor.repairs.recipe import Patient, Recipe, need
from leadline.init import Scaled, lsuv


def mend(patient: Patient) -> list[Step]:
    """Draw, and scale layer by layer in one pass."""
    return [patient.draw(), *scaled(patient)]


def scaled(patient: Patient) -> list[Step]:
    """Scale each layer to outputs of unit variance."""
    done = lsuv(patient.model, patient.inputs, draw=None, where=patient.chosen)
    need(done, "linear or convolutional layers that run as modules and may be changed")
    return [_step(each) for each in done]


def _step(each: Scaled) -> Step:
    text = f"{each.name}: weights times {each.factor:.4g}, for outputs of unit variance ({each.std**2:.3g} before)."
    data = {"parameter": each.parameter, "factor": each.factor}
    if each.part is not None:
        data["part"] = each.part
    return Step(action="scale", layer=each.name, text=text, data=data)


UNIT_VARIANCE = Recipe(
    name="unit-variance",
    text="orthogonal weights, scaled layer by layer to outputs of unit variance on the batch",
    swaps=False,
    ways={"": mend},
)
