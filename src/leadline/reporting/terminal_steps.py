"""The largest steps of descent in the terminal."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.text import Text

from leadline.reporting.terminal_table import Column, fitted_table
from leadline.reporting.words import number

if TYPE_CHECKING:
    from leadline.metrics import LargestStep

_TRAINERS = {"gradient": "plain descent", "sign": "Adam"}


def step_table(steps: "Sequence[LargestStep]", *, width: int) -> RenderableType:
    """The largest step of each trainer that does not raise the loss of this batch, and the same by curvature.

    Args:
        steps: Along the gradient and along its sign.
        width: Columns of the terminal; no line is longer.
    """
    columns = [
        Column(header="trainer", cells=[_TRAINERS[each.direction] for each in steps], justify="left", importance=3),
        Column(header="first step", cells=[number(each.step) for each in steps], importance=2),
        Column(header="by curvature", cells=[number(each.quadratic) for each in steps], importance=1),
    ]
    head = Text("Learning rates: the largest first step that does not raise the loss of this batch", style="bold")
    return Group(head, fitted_table(columns, width=width))
