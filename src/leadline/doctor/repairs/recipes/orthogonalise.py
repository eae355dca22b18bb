"""Weights from the singular vectors of their own input, so that samples leave each layer orthogonal."""

import torch

from leadline._core.repair import Step
from leadline.doctor.repairs.recipe import Patient, Recipe, need
from leadline.init import Orthogonalised, orthogonalise


def mend(patient: Patient) -> list[Step]:
    """Draw, then set layer by layer from the batch."""
    drawn = patient.draw("delta_orthogonal")
    others = {name: p.detach().clone() for name, p in patient.model.named_parameters() if name in drawn.data["kept"]}
    device = next(patient.model.parameters()).device
    done = orthogonalise(
        patient.model,
        patient.inputs,
        where=patient.chosen,
        generator=torch.Generator(device).manual_seed(patient.seed),
    )
    with torch.no_grad():
        for name, value in others.items():
            patient.model.get_parameter(name).copy_(value)
    need(done, "linear or convolutional layers that run as modules and may be changed")
    return [drawn, *(_step(each) for each in done)]


def _step(each: Orthogonalised) -> Step:
    how = "set from the batch" if each.kept == "svd" else "scaled as drawn"
    gaps = f"orthogonality gap of held-out samples {each.gap_before:.3g} in front, {each.gap_after:.3g} behind"
    data = {"what": f"{each.name}.weight"}
    return Step(action="from-batch", layer=each.name, text=f"{each.name}: {how}; {gaps}.", data=data)


ORTHOGONALISE = Recipe(
    name="orthogonalise",
    text="weights from the singular vectors of their input on the batch, so that samples leave orthogonal",
    swaps=False,
    ways={"": mend},
)
