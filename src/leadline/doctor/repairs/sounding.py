"""A model measured and diagnosed during a repair, and how two such soundings compare."""

import math
from dataclasses import dataclass

from leadline._core.diagnosis import Diagnosis, Finding
from leadline._core.profile import Profile
from leadline._core.wording import figure
from leadline.doctor._diagnose import diagnose

# Faults of the batch, of the code or of the precision: no recipe touches them.
BEYOND = frozenset({"degenerate-batch", "small-batch-norm", "unused-layer", "overflow-risk"})
# Where no single figure is at fault it says, as a note, that a network will probably not train.
OF_THE_SCORE = "hard-to-train"
# Below it that is said of a network in which nothing else is found: of 66 small ones that did not train, the three
# without a finding have .42 to .73.
DOUBTFUL = 0.75
# From here on no module is swapped: of 400 small networks that were trained, those above failed in 1 %.
GOOD = 0.9
# Behind a recipe with a score like this no other is tried.
SURE = 0.98


@dataclass(frozen=True, kw_only=True)
class Sounding:
    """What was found of the model at one moment."""

    diagnosis: Diagnosis

    @staticmethod
    def of(profile: Profile) -> "Sounding":
        """The diagnosis of ``profile``."""
        return Sounding(diagnosis=diagnose(profile))

    @property
    def profile(self) -> Profile:
        """What was measured."""
        return self.diagnosis.profile

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Errors and warnings that a recipe may cure, and the note of the score alone, here from ``DOUBTFUL`` down."""
        every = self.diagnosis.findings
        found = tuple(f for f in every if (f.severity != "note" or f.code == OF_THE_SCORE) and f.code not in BEYOND)
        if found or not self.trainable < DOUBTFUL:
            return found
        said = f"It may not train: the probability is {figure(self.trainable)}."
        return (Finding(code=OF_THE_SCORE, layer="", severity="note", message=said),)

    @property
    def words(self) -> tuple[str, ...]:
        """Those, as ``"severity: code"``."""
        return tuple(f"{f.severity}: {f.code}" for f in self.findings)

    @property
    def clean(self) -> bool:
        """Whether there is nothing to cure: no finding, and the score is good."""
        return not self.findings and not self.trainable < GOOD

    @property
    def sure(self) -> bool:
        """Whether no other recipe is worth its time."""
        return not self.findings and not self.trainable < SURE

    @property
    def trainable(self) -> float:
        """The score; ``nan`` where there is none."""
        return self.diagnosis.trainable

    @property
    def harm(self) -> tuple[int, int, float]:
        """What is compared: errors, then other findings, then how far the score is from 1."""
        errors = sum(f.severity == "error" for f in self.findings)
        score = 0.0 if math.isnan(self.trainable) else self.trainable
        return errors, len(self.findings) - errors, 1 - score
