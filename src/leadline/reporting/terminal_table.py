"""Tables that fit a terminal: columns of text that are elided in the middle or left out until they fit.

Text from a model is data: it is never read as markup, and what cannot be printed is escaped.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from rich.cells import cell_len, set_cell_size
from rich.table import Table
from rich.text import Text

GAP = 2
# A column of names may shrink to this many characters, and no further than tells them apart, before a column of numbers
# is left out for it.
SHORTEST = 16


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of a table: its cells as text, and what may happen to it where the terminal is narrow.

    Attributes:
        header: Its title.
        cells: One text a row.
        justify: ``"left"`` for words, ``"right"`` for numbers.
        elastic: Whether its cells may be elided in the middle.
        wrapped: Whether its cells go on in further lines.
        importance: The least important columns are left out first.
    """

    header: str
    cells: Sequence[str]
    justify: Literal["left", "right"] = "right"
    elastic: bool = False
    wrapped: bool = False
    importance: int = 0

    @property
    def width(self) -> int:
        """Characters that the longest cell takes."""
        return max(cell_len(text) for text in (self.header, *self.cells))

    @property
    def least(self) -> int:
        """Characters below which it is better left out."""
        if self.wrapped:
            return min(self.width, SHORTEST)
        if not self.elastic:
            return self.width
        different = len(set(self.cells))
        widths = range(min(self.width, SHORTEST), self.width)
        return next((w for w in widths if len({elided(c, w) for c in self.cells}) == different), self.width)


def fitted_table(columns: Sequence[Column], *, width: int, styles: Sequence[str] = ()) -> Table:
    """A table of ``columns`` that is no wider than ``width``; empty columns are left out.

    Args:
        columns: From left to right, all with the same number of cells.
        width: Characters that a line may take.
        styles: One style of ``rich`` a row, where rows are coloured.
    """
    columns = _shrunk(_chosen([column for column in columns if any(column.cells)], width), width)
    table = Table(box=None, padding=(0, GAP, 0, 0), pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(Text(column.header), justify=column.justify, no_wrap=not column.wrapped)
    for i, row in enumerate(zip(*(column.cells for column in columns), strict=True)):
        table.add_row(*map(Text, row), style=styles[i] if styles else "")
    return table


def _chosen(columns: list[Column], width: int) -> list[Column]:
    while len(columns) > 1 and _taken(columns, [column.least for column in columns]) > width:
        columns.remove(min(columns, key=lambda column: column.importance))
    return columns


def _shrunk(columns: list[Column], width: int) -> list[Column]:
    """The elastic columns elided, the widest first, until the table fits."""
    widths = [column.least if column.wrapped else column.width for column in columns]
    while (excess := _taken(columns, widths) - width) > 0:
        elastic = [i for i, column in enumerate(columns) if column.elastic and widths[i] > 1]
        if not elastic:
            break
        widest = max(elastic, key=lambda i: widths[i])
        others = [widths[i] for i in elastic if i != widest]
        widths[widest] -= min(excess, max(1, widths[widest] - max(others, default=1)))
    return [
        c if c.wrapped else replace(c, header=elided(c.header, w), cells=[elided(cell, w) for cell in c.cells])
        for c, w in zip(columns, widths, strict=True)
    ]


def _taken(columns: Sequence[Column], widths: Sequence[int]) -> int:
    return sum(widths) + GAP * (len(columns) - 1)


def elided(text: str, width: int) -> str:
    """``text`` in at most ``width`` characters, its middle left out where it is longer.

    >>> elided("transformer.h.11.attn.c_proj", 16)
    'transfo…n.c_proj'
    """
    if cell_len(text) <= width:
        return text
    right = width // 2
    head, tail = set_cell_size(text, width - 1 - right), set_cell_size(text[::-1], right)[::-1]
    return f"{head}…{tail}"


def printable(text: str) -> str:
    r"""``text`` on one line, with what cannot be printed escaped.

    >>> printable("conv\x1b[31m\n1")
    'conv\\x1b[31m 1'
    """
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in " ".join(text.split()))
