"""The page of a repair: the verdict, before and after, what was changed, and how to have it again."""

import math

from leadline._core.losses import settled
from leadline._core.repair import Curve, Repair
from leadline.reporting import repair_words, words
from leadline.reporting.comparison import Comparison, folded
from leadline.reporting.html import page, rendered
from leadline.reporting.repair_plots import PANELS, repair_figures


@page.register
def _(record: Repair) -> str:
    found = Comparison.of(record)
    figures = repair_figures(found)
    panels = [panel for panel in PANELS if panel.key in figures]
    return rendered(
        "repair.html",
        figures=figures,
        profile=record.before,
        diagnosis=found.before,
        repair=record,
        found=found,
        panels=panels,
        columns=[metric for panel in panels for metric in panel.metrics],
        groups=folded(record.steps),
        outcome=_outcome,
        say=repair_words,
    )


def _outcome(curve: Curve) -> str:
    """The loss that a run came to, or where it diverged."""
    last = settled(curve.losses)
    return words.number(last) if math.isfinite(last) else f"diverged at step {len(curve.losses)}"
