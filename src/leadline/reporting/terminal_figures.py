"""Figures of papers in the terminal: which there are, and published points against ours."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from leadline._core.figures import StudyFigure
from leadline._core.wording import number
from leadline.reporting.study_words import comparison
from leadline.reporting.terminal_table import Column, fitted_table


def figure_list(figures: Sequence[tuple[StudyFigure, float]], *, width: int) -> RenderableType:
    """Every figure with what it shows and how long it takes."""
    columns = [
        Column(header="figure", cells=[each.id for each, _ in figures], justify="left", importance=9),
        Column(header="shows", cells=[each.title for each, _ in figures], justify="left", wrapped=True, importance=8),
        Column(header="seconds", cells=[number(seconds) for _, seconds in figures], importance=7),
    ]
    return fitted_table(columns, width=width)


def figure_table(figure: StudyFigure, *, width: int) -> RenderableType:
    """What it shows, published points against ours, and what was done otherwise."""
    rows = comparison(figure)
    headers = list(rows[0]) if rows else []
    columns = [
        Column(
            header=header,
            cells=[row[header] for row in rows],
            justify="left" if header in ("panel", "curve") else "right",
            elastic=header in ("panel", "curve"),
            importance=1 if header == "panel" else 9,
        )
        for header in headers
        if header != "panel" or len(figure.panels) > 1
    ]
    lines: list[RenderableType] = [Text(f"{figure.id}: {figure.title} ({figure.source})", style="bold")]
    if columns:
        lines.append(fitted_table(columns, width=width))
    if figure.deviations:
        lines.append(Text(figure.deviations))
    return Group(*lines)
