"""The registry of claims, and the run of one."""

import importlib
import inspect
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from leadline._core.claims import PAPERS, SCALES, Claim, Part, Published, Scale, Verdict
from leadline._core.errors import UsageError
from leadline._core.names import check_choice, nearest
from leadline._core.sources import Source
from leadline.studies.images import labelled_images
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


Check = Callable[..., Evidence]
C = TypeVar("C", bound=Check)

_DIED = "A process that checked a claim died, perhaps for lack of memory; take fewer jobs."


@dataclass(frozen=True, kw_only=True)
class _Registered:
    claim: Claim
    check: Check
    sizes: dict[str, Any]


_CLAIMS: dict[str, _Registered] = {}


def claim(
    name: str,
    statement: str,
    *,
    where: str,
    rule: str,
    seconds: float,
    deviations: str = "",
    published: Published | None = None,
    sizes: dict[str, Any] | None = None,
) -> Callable[[C], C]:
    """Register the check of a claim: a function of a seed.

    A check that has an argument ``images`` looks at images: ``None`` are those that its rule names, otherwise
    ``leadline.studies.images.Images`` of another data set.

    Args:
        name: Letter of the paper and number.
        statement: The claim in our words.
        where: Its place in the paper.
        rule: When it holds, with the sample size and the level of the intervals.
        seconds: What the check takes on two cores, about.
        deviations: What is done otherwise than in the paper, and why.
        published: Rule and data at the published size, where the check as it stands is smaller.
        sizes: The arguments of the check at that size.
    """

    def register(check: C) -> C:
        record = Claim(
            id=name,
            statement=statement,
            source=Source(key=PAPERS[name[0]], locator=where),
            rule=rule,
            seconds=seconds,
            deviations=deviations,
            images="images" in inspect.signature(check).parameters,
            published=published,
        )
        _CLAIMS[name] = _Registered(claim=record, check=check, sizes=sizes or {})
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
    return tuple(_CLAIMS[name].claim for name in sorted(_CLAIMS, key=lambda name: (name[0], int(name[1:]))))


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


def check(wanted: Claim | str, *, seed: int = 0, scale: Scale = "desk", data: str = "", device: str = "cpu") -> Verdict:
    """Run the check of a claim.

    Args:
        wanted: The claim or its id.
        seed: Of everything random; each claim draws numbers of its own from it.
        scale: ``"desk"``, what two cores do in minutes, or ``"paper"``, the published size and data set.
        data: Name of the data set that images are taken from, in place of the one that the claim's rule names; it
            changes nothing where a claim looks at no images.
        device: Where the images are, and with them whatever looks at them.

    Returns:
        The verdict: ``holds`` only if every part's interval lies within its limits. A claim whose published data set is
        not on this machine is undecided, and says so.

    Raises:
        UsageError: If there is no such claim, scale or data set, or the files of ``data`` are missing.

    Example:
        >>> from leadline import studies
        >>> studies.check("B1").verdict
        'holds'
    """
    check_choice("scale", scale, SCALES)
    (record,) = selected([wanted if isinstance(wanted, str) else wanted.id])
    own = np.random.SeedSequence(seed, spawn_key=(ord(record.id[0]), int(record.id[1:]))).generate_state(1)[0]
    given = data if record.images else ""
    start = time.perf_counter()
    evidence = _evidence(_CLAIMS[record.id], int(own), scale, given, device)
    outcomes = {part.outcome for part in evidence.parts}
    undecided = not outcomes or bool(evidence.reason) or "undecided" in outcomes
    return Verdict(
        id=record.id,
        verdict="fails" if "fails" in outcomes else "undecided" if undecided else "holds",
        parts=evidence.parts,
        rows=len(evidence.data),
        seconds=time.perf_counter() - start,
        seed=seed,
        scale=scale,
        data=given,
        reason=evidence.reason,
    )


def _evidence(registered: _Registered, seed: int, scale: Scale, data: str, device: str) -> Evidence:
    published = registered.claim.published if scale == "paper" else None
    arguments = registered.sizes if published else {}
    if data:
        arguments = arguments | {"images": labelled_images(data, device=device)}
    elif published and published.data:
        try:
            arguments = arguments | {"images": labelled_images(published.data, device=device)}
        except UsageError as missing:
            return Evidence(reason=str(missing))
    return registered.check(seed, **arguments)


def check_all(
    wanted: Iterable[Claim],
    *,
    seed: int = 0,
    scale: Scale = "desk",
    data: str = "",
    device: str = "cpu",
    jobs: int = 1,
) -> Iterator[Verdict]:
    """Run the checks of claims, each verdict as it comes.

    Args:
        wanted: The claims.
        seed: Of everything random; a verdict does not depend on the other claims, nor on ``jobs``.
        scale: As for ``check``.
        data: As for ``check``.
        device: As for ``check``.
        jobs: Processes that check at the same time; with one, all happens here and in order.

    Example:
        >>> from leadline import studies
        >>> [verdict.id for verdict in studies.check_all(studies.selected(["B1", "B2"]))]
        ['B1', 'B2']
    """
    # The longest first, so that no process is left alone with one at the end.
    ordered = wanted if jobs == 1 else sorted(wanted, key=lambda claim: -claim.seconds)
    checked = partial(check, seed=seed, scale=scale, data=data, device=device)
    with outcomes_of(checked, ordered, jobs=jobs, died=_DIED) as verdicts:
        yield from verdicts
