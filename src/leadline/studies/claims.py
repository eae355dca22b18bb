"""The registry of claims, and the run of one."""

import importlib
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

import numpy as np
import pandas as pd

from leadline._core.claims import PAPERS, Claim, Part, Verdict
from leadline._core.errors import UsageError
from leadline._core.names import nearest
from leadline._core.sources import Source
from leadline.studies.processes import outcomes_of


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What a check found.

    Attributes:
        parts: The numbers that decide; none where nothing can be decided.
        data: The rows behind them.
        reason: Why the check decides nothing, where it does not: too small a scale, or a bound that says nothing.
    """

    parts: tuple[Part, ...] = ()
    data: pd.DataFrame = field(default_factory=pd.DataFrame)
    reason: str = ""


Check = Callable[[int], Evidence]
C = TypeVar("C", bound=Check)

_DIED = "A process that checked a claim died, perhaps for lack of memory; take fewer jobs."
_CLAIMS: dict[str, tuple[Claim, Check]] = {}


def claim(
    name: str, statement: str, *, where: str, rule: str, seconds: float, deviations: str = ""
) -> Callable[[C], C]:
    """Register the check of a claim: a function of a seed.

    Args:
        name: Letter of the paper and number.
        statement: The claim in our words.
        where: Its place in the paper.
        rule: When it holds, with the sample size and the level of the intervals.
        seconds: What the check takes on two cores, about.
        deviations: What is done otherwise than in the paper, and why.
    """

    def register(check: C) -> C:
        source = Source(key=PAPERS[name[0]], locator=where)
        record = Claim(id=name, statement=statement, source=source, rule=rule, seconds=seconds, deviations=deviations)
        _CLAIMS[name] = (record, check)
        return check

    return register


def claims() -> tuple[Claim, ...]:
    """Every claim, by paper and number.

    Example:
        >>> from leadline import studies
        >>> [each.id for each in studies.claims()][:3]
        ['A1', 'A2', 'A3']
    """
    for key in PAPERS.values():
        importlib.import_module(f"leadline.studies.{key}")
    return tuple(_CLAIMS[name][0] for name in sorted(_CLAIMS, key=lambda name: (name[0], int(name[1:]))))


def selected(wanted: Sequence[str]) -> tuple[Claim, ...]:
    """The claims of these ids, papers (letters or keys such as ``"meterez2023"``); all without any.

    Raises:
        UsageError: If there is no such claim or paper.

    Example:
        >>> from leadline import studies
        >>> [each.id for each in studies.selected(["B12", "A1"])]
        ['A1', 'B12']
    """
    every = claims()
    letters = {key: letter for letter, key in PAPERS.items()}
    found: set[str] = set()
    for word in wanted:
        letter = letters.get(word.lower(), word.upper())
        of_word = {each.id for each in every if letter in (each.id, each.id[0])}
        if not of_word:
            known = [*PAPERS, *letters, *(each.id for each in every)]
            guess = nearest(word, known) if not re.fullmatch(r"[A-Da-d]\d+", word) else None
            hint = f"; did you mean {guess}?" if guess else "; `leadline reproduce --list` names them."
            raise UsageError(f"There is no claim or paper {word!r}{hint}")
        found |= of_word
    return tuple(each for each in every if each.id in found) if wanted else every


def check(wanted: Claim | str, *, seed: int = 0) -> Verdict:
    """Run the check of a claim.

    Args:
        wanted: The claim or its id.
        seed: Of everything random; each claim draws numbers of its own from it.

    Returns:
        The verdict: ``holds`` only if every part's interval lies within its limits.

    Example:
        >>> from leadline import studies
        >>> studies.check("B1").verdict
        'holds'
    """
    (record,) = selected([wanted if isinstance(wanted, str) else wanted.id])
    own = np.random.SeedSequence(seed, spawn_key=(ord(record.id[0]), int(record.id[1:]))).generate_state(1)[0]
    start = time.perf_counter()
    evidence = _CLAIMS[record.id][1](int(own))
    outcomes = {part.outcome for part in evidence.parts}
    undecided = not outcomes or bool(evidence.reason) or "undecided" in outcomes
    return Verdict(
        id=record.id,
        verdict="fails" if "fails" in outcomes else "undecided" if undecided else "holds",
        parts=evidence.parts,
        rows=len(evidence.data),
        seconds=time.perf_counter() - start,
        seed=seed,
        reason=evidence.reason,
    )


def check_all(wanted: Iterable[Claim], *, seed: int = 0, jobs: int = 1) -> Iterator[Verdict]:
    """Run the checks of claims, each verdict as it comes.

    Args:
        wanted: The claims.
        seed: Of everything random; a verdict does not depend on the other claims, nor on ``jobs``.
        jobs: Processes that check at the same time; with one, all happens here and in order.

    Example:
        >>> from leadline import studies
        >>> [verdict.id for verdict in studies.check_all(studies.selected(["B1", "B2"]))]
        ['B1', 'B2']
    """
    # The longest first, so that no process is left alone with one at the end.
    ordered = wanted if jobs == 1 else sorted(wanted, key=lambda claim: -claim.seconds)
    with outcomes_of(partial(check, seed=seed), ordered, jobs=jobs, died=_DIED) as verdicts:
        yield from verdicts
