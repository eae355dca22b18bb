"""Claims and verdicts in the terminal."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from leadline._core.claims import Claim, Verdict
from leadline._core.wording import number
from leadline.reporting.study_words import estimate, limits, tally
from leadline.reporting.terminal_table import Column, fitted_table

_STYLES = {"holds": "green", "fails": "bold red", "undecided": "yellow"}


def claim_list(claims: Sequence[Claim], *, width: int) -> RenderableType:
    """Every claim with its place in the paper and what it states."""
    columns = [
        Column(header="claim", cells=[claim.id for claim in claims], justify="left", importance=9),
        Column(
            header="states", cells=[claim.statement for claim in claims], justify="left", wrapped=True, importance=8
        ),
        Column(header="where", cells=[claim.source.locator for claim in claims], justify="left", wrapped=True),
        Column(header="seconds", cells=[number(claim.seconds) for claim in claims], importance=7),
    ]
    return fitted_table(columns, width=width)


def verdict_table(verdicts: Sequence[Verdict], claims: Sequence[Claim], *, width: int) -> RenderableType:
    """A row a claim with the number that decides it; what fails or stays open in sentences below.

    Args:
        verdicts: What was found.
        claims: The claims, in the same order.
        width: Columns of the terminal; no line is longer.
    """
    deciding = [verdict.deciding for verdict in verdicts]
    columns = [
        Column(header="claim", cells=[verdict.id for verdict in verdicts], justify="left", importance=9),
        Column(header="verdict", cells=[verdict.verdict for verdict in verdicts], justify="left", importance=8),
        Column(
            header="what decides", cells=[part.name if part else "" for part in deciding], justify="left", elastic=True
        ),
        Column(header="estimate", cells=[estimate(part) for part in deciding], importance=7),
        Column(header="expected", cells=[limits(part) for part in deciding], importance=6),
        Column(header="s", cells=[number(verdict.seconds) for verdict in verdicts], importance=5),
    ]
    styles = [_STYLES[verdict.verdict] for verdict in verdicts]
    return Group(
        fitted_table(columns, width=width, styles=styles),
        *(Text(line) for line in _sentences(verdicts, claims)),
        Text(f"{tally(verdicts)}.", style="bold"),
    )


def _sentences(verdicts: Sequence[Verdict], claims: Sequence[Claim]) -> list[str]:
    lines = []
    for verdict, claim in zip(verdicts, claims, strict=True):
        if verdict.verdict != "holds":
            parts = [part for part in verdict.parts if part.outcome == verdict.verdict]
            found = "; ".join(f"{part.name} {estimate(part)}, expected {limits(part)}" for part in parts)
            lines.append(f"{claim.id} {verdict.verdict}: {claim.statement} {verdict.reason or found}")
    return lines
