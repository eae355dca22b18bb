"""What if, in the terminal: a row a design, the deepest first."""

from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.text import Text

from leadline.reporting.page_tables import what_if_rows
from leadline.reporting.terminal_table import Column, fitted_table
from leadline.reporting.what_if_words import KEY, stood_in, title

if TYPE_CHECKING:
    from leadline.doctor.changes import WhatIf


def what_if_table(found: "WhatIf", *, width: int, stand_in: str = "", unit: str = "block") -> RenderableType:
    """How deep the design goes as it is and changed; beside the best of them what networks of those depths showed.

    Args:
        found: What was tried.
        width: Columns of the terminal; no line is longer.
        stand_in: The design that stood for the model, where the model itself could not be changed.
        unit: What depth is counted in.
    """
    table = what_if_rows(found, stand_in=stand_in, unit=unit)
    rows, more = table.rows[: table.shown], len(table.rows) - table.shown
    columns = [
        Column(
            header=header, cells=list(cells), justify="right" if place else "left", elastic=not place, importance=rank
        )
        for place, (rank, header, cells) in enumerate(
            zip((9, 8, *range(2, len(table.header))), table.header, zip(*rows, strict=True), strict=True)
        )
    ]
    blocks: list[RenderableType] = [Text(title(unit), style="bold")]
    if stand_in:
        blocks.append(Text(stood_in(stand_in), style="dim"))
    styles = ["green" if place in table.better else "" if place else "dim" for place in range(len(rows))]
    blocks.append(fitted_table(columns, width=width, styles=styles))
    blocks.append(Text(f"{KEY}; {more} more, see --json" if more > 0 else KEY, style="dim"))
    return Group(*blocks)
