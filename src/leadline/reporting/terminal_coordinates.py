"""The coordinate check in the terminal: a row a module, and the verdict."""

import math
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.text import Text

from leadline.reporting.terminal_table import Column, fitted_table, printable

if TYPE_CHECKING:
    from leadline.doctor.coordinates import CoordinateCheck, Trend

_STYLES = {"grows": "bold red", "shrinks": "yellow", "stable": "bold green", "undecided": "cyan"}


def coordinate_table(check: "CoordinateCheck", *, width: int) -> RenderableType:
    """How the size of each module's output, and of its change by training, depends on the width or depth.

    Args:
        check: What training networks of several sizes showed.
        width: Columns of the terminal; no line is longer.
    """
    start = {trend.module: trend for trend in check.trends if trend.metric == "mean_abs"}
    change = {trend.module: trend for trend in check.trends if trend.metric == "mean_abs_change"}
    columns = [Column(header="module", cells=[printable(m) for m in start], justify="left", elastic=True, importance=5)]
    for header, trends, importance in (("output at start", start, 1), (f"change in {check.steps} steps", change, 3)):
        columns += [
            Column(header=header, cells=[_power(check.over, trends[m]) for m in start], importance=importance),
            Column(header="", cells=[trends[m].verdict for m in start], justify="left", importance=importance - 1),
        ]
    sizes = ", ".join(map(str, check.sizes))
    head = (
        f"Coordinate check: {check.over}s {sizes}, {check.steps} steps of {check.optimiser}, {check.seeds} seeds each"
    )
    verdict = Text(f"Coordinates: {check.verdict}.", style=_STYLES[check.verdict.split()[0]])
    return Group(Text(head, style="bold"), fitted_table(columns, width=width), verdict)


def _power(over: str, trend: "Trend") -> str:
    slope = trend.slope.estimate
    return "" if math.isnan(slope) else f"{over}^{round(slope, 2) + 0.0:+.2f}".replace("-", "−")
