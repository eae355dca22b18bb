"""A repair beside what its two profiles mean: what went, what remains, and which layers belong together."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from leadline._core.diagnosis import Diagnosis, Finding
from leadline._core.profile import LayerProfile
from leadline._core.repair import Repair, Step
from leadline.doctor import diagnose

_NUMBER = re.compile(r"[-−]?\d+(\.\d+)?(e[-+−]?\d+)?")


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Both diagnoses of a repair.

    Attributes:
        repair: The record.
        before: What the profile of the model as it was means.
        after: What the one of the repaired model does.
    """

    repair: Repair
    before: Diagnosis
    after: Diagnosis

    @staticmethod
    def of(repair: Repair) -> "Comparison":
        """Diagnose both profiles."""
        return Comparison(repair=repair, before=diagnose(repair.before), after=diagnose(repair.after))

    @property
    def gone(self) -> tuple[Finding, ...]:
        """Errors and warnings whose code is no longer among the errors and warnings."""
        codes = {finding.code for finding in self.remaining}
        return tuple(f for f in self.before.findings if f.severity != "note" and f.code not in codes)

    @property
    def remaining(self) -> tuple[Finding, ...]:
        """Errors and warnings of the model as it was left, new ones included."""
        return tuple(f for f in self.after.findings if f.severity != "note")

    def is_new(self, finding: Finding) -> bool:
        """Whether there was no error or warning of that code before."""
        return not any(f.code == finding.code and f.severity != "note" for f in self.before.findings)

    @property
    def layers(self) -> list[tuple[LayerProfile | None, LayerProfile | None]]:
        """Layers of the same name side by side, in order of execution; ``None`` where one side has no such layer."""
        before, after = self.before.profile.layers, self.after.profile.layers
        names = [layer.name for layer in before], [layer.name for layer in after]
        pairs: list[tuple[LayerProfile | None, LayerProfile | None]] = []
        for kind, i, j, k, m in SequenceMatcher(None, *names, autojunk=False).get_opcodes():
            if kind == "equal":
                pairs += zip(before[i:j], after[k:m], strict=True)
            else:
                pairs += [(layer, None) for layer in before[i:j]]
                pairs += [(None, layer) for layer in after[k:m]]
        return pairs


def folded(steps: Sequence[Step]) -> list[tuple[Step, ...]]:
    """Steps of one kind together: those whose sentences differ in names and numbers alone.

    Example:
        >>> a = Step(action="scale", layer="fc1", text="fc1: weights times 2.")
        >>> b = Step(action="fill", layer="fc1", text="fc1.bias set to 0.")
        >>> c = Step(action="scale", layer="fc2", text="fc2: weights times 3.1e-05.")
        >>> folded([a, b, c]) == [(a, c), (b,)]
        True
    """
    groups: dict[tuple[str, str], list[Step]] = {}
    for step in steps:
        sentence = re.sub(rf"(?<![\w.]){re.escape(step.layer)}(?!\w)", "", step.text, count=1)
        groups.setdefault((step.action, _NUMBER.sub("#", sentence)), []).append(step)
    return [tuple(group) for group in groups.values()]
