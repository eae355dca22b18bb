"""A model measured and diagnosed during a repair, and how two such soundings compare."""

import math
from dataclasses import dataclass

from leadline._core.diagnosis import Diagnosis, Finding
from leadline._core.profile import Profile
from leadline.doctor._diagnose import diagnose

# Faults of the batch, of the code or of the precision: no recipe touches them.
BEYOND = frozenset({"degenerate-batch", "small-batch-norm", "unused-layer", "overflow-risk"})
# From here on a network is left alone: of 400 small networks that were trained, those above failed in 1 %.
GOOD = 0.9
# Without a finding, a score that rises by less is no reason to change a model.
GAIN = 0.2
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
        """Errors and warnings that a recipe may cure."""
        return tuple(f for f in self.diagnosis.findings if f.severity != "note" and f.code not in BEYOND)

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
        """What is compared: errors, then warnings, then how far the score is from 1."""
        errors = sum(f.severity == "error" for f in self.findings)
        score = 0.0 if math.isnan(self.trainable) else self.trainable
        return errors, len(self.findings) - errors, 1 - score
