"""What a check was asked for beside the diagnosis, as tables that its page shows below the findings."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from leadline.reporting import what_if_words as say
from leadline.reporting.words import number

if TYPE_CHECKING:
    from leadline.doctor.changes import WhatIf
    from leadline.metrics import LargestStep

TRAINERS = {"gradient": "plain descent", "sign": "Adam"}
STEPS = "the largest first step that does not raise the loss of this batch"


@dataclass(frozen=True, kw_only=True)
class PageTable:
    """A table of words.

    Attributes:
        key: Where a link finds it.
        title: What it is of, in short.
        hint: The same at length.
        header: Of the columns; all but the first hold numbers.
        rows: The cells.
        better: Numbers of the rows, from 0, whose first number is set off.
        shown: Rows that are seen at once; the others unfold.
    """

    key: str
    title: str
    hint: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    better: frozenset[int] = frozenset()
    shown: int = 1 + say.SHOWN


def what_if_rows(found: "WhatIf", *, stand_in: str = "", unit: str = "block") -> PageTable:
    """How deep the design goes as it is and changed: every alternative, the deepest first.

    Args:
        found: What was tried.
        stand_in: The design that stood for the model, where the model itself could not be changed.
        unit: What depth is counted in.
    """
    tried = (found.now, *found.alternatives)
    head, _, told = say.title(unit).partition(": ")
    sentences = [f"{told.capitalize()}.", say.stood_in(stand_in) if stand_in else "", f"{say.KEY}."]
    return PageTable(
        key="what-if",
        title=head,
        hint=" ".join(filter(None, sentences)),
        header=("design", f"{unit}s", *(f"at {depth}" for depth in found.depths)),
        rows=tuple(
            (say.changed(each.changes), say.carried(each), *(say.chance(each, depth) for depth in found.depths))
            for each in tried
        ),
        better=frozenset(k for k, each in enumerate(tried) if each.limit.estimate > found.now.limit.estimate),
    )


def step_rows(steps: "Sequence[LargestStep]") -> PageTable:
    """The largest step of each trainer that does not raise the loss of the batch, and the same by curvature.

    Example:
        >>> from leadline.metrics import LargestStep
        >>> step = LargestStep(direction="sign", step=0.5, quadratic=0.25, curvature=1.0, slope=1.0)
        >>> step_rows([step]).rows
        (('Adam', '0.500', '0.250'),)
    """
    return PageTable(
        key="learning-rates",
        title="Learning rates",
        hint=f"{STEPS.capitalize()}.",
        header=("trainer", "first step", "by curvature"),
        rows=tuple((TRAINERS[each.direction], number(each.step), number(each.quadratic)) for each in steps),
    )
