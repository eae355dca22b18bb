"""What was concluded: findings with numbers, the way out of each, and how far the design carries."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from leadline._core.profile import Profile
from leadline._core.rates import Rate
from leadline._core.records import encode, read_record, write_json
from leadline._core.sources import Source
from leadline._core.wording import reach

SCHEMA = 1
Severity = Literal["error", "warning", "note"]

# Code of a finding -> what it says, in a phrase.
CODES = {
    "nonfinite": "a value is nan or infinite",
    "gradient-explosion": "gradients grow geometrically towards the input",
    "gradient-vanishing": "gradients shrink geometrically towards the input",
    "activation-growth": "activations grow geometrically with depth",
    "activation-decay": "activations shrink geometrically with depth",
    "rank-collapse": "representations of different samples lose rank and become alike",
    "aligned-gradients": "every sample gives nearly the same gradient",
    "dead-units": "units that give zero for every sample",
    "saturation": "activations sit where their slope is nearly zero",
    "constant-output": "the output does not depend on the sample",
    "token-collapse": "positions of one sequence become alike",
    "degenerate-batch": "the batch holds repeated or dependent samples",
    "small-batch-norm": "batch statistics are taken over few values",
    "unused-layer": "a layer never ran, or no gradient reached it",
    "hard-to-train": "networks with such figures seldom train, though no other rule is broken",
    "overflow-risk": "values come near the end of the range of the dtype",
}


@dataclass(frozen=True, kw_only=True)
class Remedy:
    """A way out: what to do, in words, and the recipe or command that does it where there is one."""

    text: str
    recipe: str = ""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A fact with numbers.

    Attributes:
        code: One of ``CODES``.
        layer: The first layer where it shows; of a backward finding the layer whose backward causes it, the
            first met from the loss. Empty where it concerns the batch or the whole.
        severity: ``"error"``: training will fail or the numbers are invalid; ``"warning"``: likely harm;
            ``"note"``: for information.
        message: A sentence with the layer and the numbers.
        evidence: The numbers by name.
        expected: What theory says for this design, where it says something.
        remedies: What to do, most promising first.
        source: Where the rule comes from.
    """

    code: str
    layer: str
    severity: Severity
    message: str
    evidence: Mapping[str, Any] = field(default_factory=dict)
    expected: str = ""
    remedies: tuple[Remedy, ...] = ()
    source: Source | None = None


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What theory says of a metric along the chain of blocks.

    Attributes:
        metric: Name of the metric, as in a layer's profile.
        rate: Decades per block in order of execution (a gradient that grows towards the input has a negative one).
        statement: The law in a sentence, with its numbers.
        source: Where it comes from.
    """

    metric: str
    rate: float
    statement: str
    source: Source | None = None


@dataclass(frozen=True, kw_only=True)
class DepthLimit:
    """How many repeats of the block the design carries, with an interval, and what ends it.

    Attributes:
        estimate: Blocks; ``inf`` only where theory gives rate 0 and the measured interval contains 0.
        low: Lower end of the interval.
        high: Upper end of the interval.
        mechanism: What gives out first, in a phrase.
    """

    estimate: float
    low: float
    high: float
    mechanism: str


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """What a profile means.

    Attributes:
        profile: What it explains.
        findings: Errors first, then warnings, then notes; within each in order of depth.
        trainable: Probability in [0, 1] that the declared training run passes its rule.
        trainable_rule: The trainer, rates, steps, task and rule that ``trainable`` speaks of.
        trainable_evidence: What moved the probability: mechanism -> its contribution to the log odds, in nats. Above 0
            it speaks for training, below 0 against it, beside a network whose figures are all usual.
        depth_limit: How deep this design can go.
        rates: Measured rates along the chain in decades per block, by metric.
        predictions: What theory says of them.
    """

    profile: Profile
    findings: tuple[Finding, ...] = ()
    trainable: float = 0.0
    trainable_rule: str = ""
    trainable_evidence: Mapping[str, float] = field(default_factory=dict)
    depth_limit: DepthLimit
    rates: Mapping[str, Rate] = field(default_factory=dict)
    predictions: tuple[Prediction, ...] = ()

    @property
    def healthy(self) -> bool:
        """Whether no finding is an error."""
        return not any(finding.severity == "error" for finding in self.findings)

    def save(self, path: str | Path) -> Path:
        """Write the diagnosis and its profile as strict JSON."""
        return write_json({"schema": SCHEMA, **encode(self)}, path)

    @staticmethod
    def load(path: str | Path) -> "Diagnosis":
        """Read what ``save`` wrote.

        Raises:
            UsageError: If the file is missing, is no diagnosis, or is of another version.
        """
        return read_record(Diagnosis, path, schema=SCHEMA)

    def __str__(self) -> str:
        limit = reach(self.depth_limit.estimate)
        verdict = f"{self.profile.model}: trainable {self.trainable:.2f}, depth limit {limit}"
        lines = [f"{f.severity}: {f.code}{f' at {f.layer}' if f.layer else ''}: {f.message}" for f in self.findings]
        return "\n".join([verdict, *(lines or ["no findings"])])
