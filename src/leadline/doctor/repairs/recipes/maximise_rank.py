"""Pre-training without labels that spreads the last hidden representation over many directions."""

import torch

from leadline._core.repair import Step
from leadline.doctor.repairs.recipe import Patient, Recipe
from leadline.init import maximise_rank


def mend(patient: Patient) -> list[Step]:
    """Descend on the inverse participation ratio; the weights that are there are the start."""
    frozen = [
        p for name, m in patient.model.named_modules() if not patient.chosen(name, m) for p in m.parameters(False)
    ]
    frozen = [p for p in frozen if p.requires_grad]
    try:
        for parameter in frozen:
            parameter.requires_grad_(False)
        done = maximise_rank(patient.model, patient.inputs, generator=torch.Generator().manual_seed(patient.seed))
    finally:
        for parameter in frozen:
            parameter.requires_grad_(True)
    text = (
        f"{done.steps} steps of Adam took the participation ratio of the last hidden representation from "
        f"{done.before:.3g} to {done.after:.3g}."
    )
    return [Step(action="from-batch", layer="", text=text, data={"what": "the weights"})]


MAXIMISE_RANK = Recipe(
    name="maximise-rank",
    text="pre-training without labels that spreads the last hidden representation over many directions",
    swaps=False,
    ways={"": mend},
)
