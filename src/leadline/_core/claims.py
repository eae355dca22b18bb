"""Claims of papers and verdicts on them, as records."""

import math
from dataclasses import dataclass
from typing import Any, Literal

from leadline._core.sources import Source

Outcome = Literal["holds", "fails", "undecided"]

PAPERS = {"A": "meterez2023", "B": "daneshmand2021", "C": "daneshmand2020", "D": "bjorck2018"}


@dataclass(frozen=True, kw_only=True)
class Claim:
    """What a paper states, and how it is decided; fixed before anything is drawn.

    Attributes:
        id: Letter of the paper and number.
        statement: The claim in our words.
        source: Where it stands.
        rule: When it holds, with the sample size and the level of the intervals.
        seconds: What the check takes on two cores, about.
        deviations: What is done otherwise than in the paper, and why.
    """

    id: str
    statement: str
    source: Source
    rule: str
    seconds: float
    deviations: str = ""


@dataclass(frozen=True, kw_only=True)
class Part:
    """One number that a claim rests on.

    Attributes:
        name: What it is.
        estimate: The number.
        low: Lower end of its interval; the number itself where it is exact.
        high: Upper end.
        least: It must be at least this for the claim to hold.
        most: It must be at most this.
    """

    name: str
    estimate: float
    low: float
    high: float
    least: float = -math.inf
    most: float = math.inf

    @property
    def outcome(self) -> Outcome:
        """``holds`` with the whole interval inside the limits, ``fails`` with all of it outside."""
        if math.isnan(self.estimate):
            return "undecided"
        if self.least <= self.low and self.high <= self.most:
            return "holds"
        return "fails" if self.high < self.least or self.low > self.most else "undecided"

    @property
    def room(self) -> float:
        """How far the interval lies inside the limits, relative to the estimate; negative outside."""
        size = abs(self.estimate) or 1.0
        inside = min(self.low - self.least, self.most - self.high) / size
        return -math.inf if math.isnan(inside) else inside


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a check of a claim came to.

    Attributes:
        id: Of the claim.
        verdict: ``holds`` if every part does, ``fails`` if one does, otherwise ``undecided``.
        parts: The numbers.
        rows: Rows of data that they were taken from.
        seconds: What it took.
        seed: Of everything random.
        scale: ``"desk"`` or ``"paper"``.
        reason: Why nothing was decided, where nothing was.
    """

    id: str
    verdict: Outcome
    parts: tuple[Part, ...] = ()
    rows: int = 0
    seconds: float = 0.0
    seed: int = 0
    scale: str = "desk"
    reason: str = ""

    @property
    def deciding(self) -> Part | None:
        """The part with the least room."""
        return min(self.parts, key=lambda part: part.room, default=None)

    def to_dict(self) -> dict[str, Any]:
        """As in the file that ``leadline reproduce --json`` writes."""
        part = self.deciding
        return {
            "id": self.id,
            "verdict": self.verdict,
            "estimate": None if part is None else part.estimate,
            "interval": None if part is None else [part.low, part.high],
            "expected": None if part is None else [part.least, part.most],
            "rows": self.rows,
            "seconds": round(self.seconds, 2),
            "seed": self.seed,
            "scale": self.scale,
            "reason": self.reason,
            "parts": self.parts,
        }
