"""What one check came to, as data and as a page for the terminal. Loads torch; the command imports it when it runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rich.console import RenderableType

from leadline._core.diagnosis import Diagnosis
from leadline._core.errors import UsageError
from leadline._core.profile import Profile
from leadline._core.randomness import seeded
from leadline._core.records import encode
from leadline._core.weights import WeightSpectrum
from leadline.doctor.changes import WhatIf
from leadline.doctor.coordinates import CoordinateCheck, coordinate_check
from leadline.metrics import LargestStep, largest_step
from leadline.metrics.largest_step import DIRECTIONS
from leadline.probe import profile
from leadline.reporting.page_tables import PageTable, step_rows, what_if_rows
from leadline.reporting.terminal import summary
from leadline.reporting.terminal_coordinates import coordinate_table
from leadline.reporting.terminal_steps import step_table
from leadline.reporting.terminal_weights import weight_table
from leadline.reporting.terminal_what_if import what_if_table
from leadline.targets import Target
from leadline.targets.foreign import model_told

SCHEMA = 1


@dataclass(frozen=True, kw_only=True)
class Sounding:
    """Everything that a check measured.

    Attributes:
        title: What was checked, in a line.
        diagnosis: What the profile means, and the profile.
        weights: Name of each weight -> its spectrum, where asked for.
        coordinates: The coordinate check, where asked for.
        changes: What other designs would do, where asked for, and the design that stood for the model.
        steps: The largest steps along the gradient and its sign, where asked for.
    """

    title: str
    diagnosis: Diagnosis
    weights: Mapping[str, WeightSpectrum] | None = None
    coordinates: CoordinateCheck | None = None
    changes: tuple[WhatIf, str] | None = None
    steps: Sequence[LargestStep] | None = None

    def document(self) -> dict[str, Any]:
        """What ``--json`` writes: the schema, the profile, the diagnosis, and what else was asked for."""
        diagnosis = encode(self.diagnosis)
        more = {
            "weights": encode(self.weights),
            "coordinates": encode(self.coordinates),
            "learning_rates": encode(self.steps),
        }
        if self.changes:
            more["what_if"] = {**encode(self.changes[0]), "of": self.changes[1]}
        asked = {name: data for name, data in more.items() if data is not None}
        return {"schema": SCHEMA, "profile": diagnosis.pop("profile"), "diagnosis": diagnosis, **asked}

    def page(self, *, width: int) -> RenderableType:
        """What is printed."""
        also = [weight_table(self.weights, width=width)] if self.weights else []
        also += [coordinate_table(self.coordinates, width=width)] if self.coordinates else []
        also += [what_if_table(self.changes[0], width=width, **self._about())] if self.changes else []
        also += [step_table(self.steps, width=width)] if self.steps else []
        return summary(self.diagnosis, width=width, title=self.title, also=also)

    def tables(self) -> tuple[PageTable, ...]:
        """What the page of ``--html`` shows beside the diagnosis."""
        found = [what_if_rows(self.changes[0], **self._about())] if self.changes else []
        found += [step_rows(self.steps)] if self.steps else []
        return tuple(found)

    def _about(self) -> dict[str, str]:
        """Which design stood for the model, if one did, and what its depth is counted in."""
        design = self.changes[1] if self.changes else ""
        stand_in = "" if self.title.startswith(design) else design
        return {"stand_in": stand_in, "unit": "layer" if stand_in else self.diagnosis.profile.unit}


def measured(target: Target, *, draws: int, seed: int, **how: Any) -> Profile:
    """The profile of the one model, or of as many draws of its weights as are asked for; its notes name the target.

    What the model draws as it runs, such as dropout, comes from the seed too.
    """
    seeds = iter(range(seed, seed + draws))
    model = target.model if draws == 1 else lambda: target.build(next(seeds))
    with model_told(), seeded(seed):
        found = profile(model, target.inputs, target.targets, loss=target.loss, draws=draws, seed=seed, **how)
    return replace(found, notes=(f"Checked: {target.description}.", *found.notes))


def largest_steps(target: Target, *, seed: int) -> tuple[LargestStep, ...]:
    """The largest steps of descent, and of its sign, that the batch stands, with dropout from the seed."""
    if target.targets is None and target.loss is None:
        raise UsageError(
            "--learning-rates needs a loss: a batch with targets, such as --data digits, or a factory that returns "
            "(module, inputs, targets)."
        )
    batch = target.model, target.inputs, target.targets
    with seeded(seed):
        return tuple(largest_step(*batch, direction=direction, loss=target.loss) for direction in DIRECTIONS)


def compared(
    target: Target, *, widths: tuple[int, ...] | None = None, depths: tuple[int, ...] | None = None
) -> CoordinateCheck:
    """The coordinate check over the option ``width`` or ``depth`` of the target."""
    option = "width" if widths else "depth"
    with model_told():
        return coordinate_check(
            lambda size, seed: target.build(seed, **{option: size}),
            target.inputs,
            target.targets,
            widths=widths,
            depths=depths,
            loss=target.loss,
        )
