"""Claims of papers and verdicts on them, as records."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from leadline._core.errors import UsageError
from leadline._core.records import decode
from leadline._core.sources import Source

SCHEMA = 1

Outcome = Literal["holds", "fails", "undecided"]
Scale = Literal["desk", "paper"]
SCALES: tuple[Scale, ...] = ("desk", "paper")

PAPERS = {"A": "meterez2023", "B": "daneshmand2021", "C": "daneshmand2020", "D": "bjorck2018"}


@dataclass(frozen=True, kw_only=True)
class Published:
    """How a claim is checked at the published size, where its check at the desk is smaller.

    Attributes:
        rule: When it holds there.
        data: Name of the data set of the paper; empty where it needs none.
    """

    rule: str
    data: str = ""


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
        images: Whether the check looks at images, which may be those of another data set.
        published: The check at the published size; ``None`` where the one of the desk is no smaller.
    """

    id: str
    statement: str
    source: Source
    rule: str
    seconds: float
    deviations: str = ""
    images: bool = False
    published: Published | None = None

    def rule_at(self, scale: Scale) -> str:
        """The rule of a scale."""
        return self.rule if scale == "desk" or self.published is None else self.published.rule


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
        data: Name of the data set that the images were taken from; empty for those that the claim itself names.
        reason: Why nothing was decided, where nothing was.
    """

    id: str
    verdict: Outcome
    parts: tuple[Part, ...] = ()
    rows: int = 0
    seconds: float = 0.0
    seed: int = 0
    scale: Scale = "desk"
    data: str = ""
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
            "data": self.data,
            "reason": self.reason,
            "parts": self.parts,
        }


@dataclass(frozen=True, kw_only=True)
class Reproduction:
    """Verdicts on some claims, from one run.

    Attributes:
        claims: The claims.
        verdicts: What their checks came to, in the same order.
        seed: Of everything random.
        scale: ``"desk"`` or ``"paper"``.
    """

    claims: tuple[Claim, ...]
    verdicts: tuple[Verdict, ...]
    seed: int = 0
    scale: Scale = "desk"

    def to_dict(self) -> dict[str, Any]:
        """As in the file that ``leadline reproduce --json`` writes."""
        rules = {claim.id: claim.rule_at(self.scale) for claim in self.claims}
        return {
            "schema": SCHEMA,
            "claims": [verdict.to_dict() | {"rule": rules[verdict.id]} for verdict in self.verdicts],
        }


def saved_verdicts(
    path: str | Path, claims: Sequence[Claim], *, seed: int, scale: Scale = "desk", data: str = ""
) -> list[Verdict]:
    """Verdicts of an earlier run out of the file that ``leadline reproduce --json`` wrote.

    Args:
        path: The file; where there is none, nothing has been saved.
        claims: The claims; a verdict by another rule than a claim has now is left out.
        seed: Those of other seeds are left out.
        scale: And those of another scale.
        data: And those from images of another data set.

    Raises:
        UsageError: If the file is no such file.
    """
    path = Path(path)
    if not path.exists():
        return []
    rules = {claim.id: claim.rule_at(scale) for claim in claims}
    given = {claim.id: data if claim.images else "" for claim in claims}
    names = {field.name for field in fields(Verdict)}
    try:
        saved = json.loads(path.read_text(encoding="utf-8"))
        if saved["schema"] != SCHEMA:
            raise ValueError(f"its schema is {saved['schema']}, not {SCHEMA}")
        return [
            decode(Verdict, {name: value for name, value in each.items() if name in names})
            for each in saved["claims"]
            if (each["seed"], each["scale"], each["rule"], each["data"])
            == (seed, scale, rules.get(each["id"]), given.get(each["id"]))
        ]
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise UsageError(f"{path} holds no verdicts to go on from: {error}.") from error
