"""The largest steps of descent in the terminal."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.text import Text

from leadline.reporting.page_tables import STEPS, step_rows
from leadline.reporting.terminal_table import Column, fitted_table

if TYPE_CHECKING:
    from leadline.metrics import LargestStep


def step_table(steps: "Sequence[LargestStep]", *, width: int) -> RenderableType:
    """The largest step of each trainer that does not raise the loss of this batch, and the same by curvature.

    Args:
        steps: Along the gradient and along its sign.
        width: Columns of the terminal; no line is longer.
    """
    table = step_rows(steps)
    columns = [
        Column(header=header, cells=list(cells), justify="right" if place else "left", importance=3 - place)
        for place, (header, cells) in enumerate(zip(table.header, zip(*table.rows, strict=True), strict=True))
    ]
    head = Text(f"{table.title}: {STEPS}", style="bold")
    return Group(head, fitted_table(columns, width=width))
