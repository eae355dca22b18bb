"""Figures of papers as records: what was drawn here, and the published points beside it."""

from dataclasses import dataclass
from typing import Literal

from leadline._core.sources import Source

AxisScale = Literal["linear", "log"]


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One line of a panel.

    Attributes:
        name: What it shows; a published curve has the name of the one it is to be compared with.
        x: Abscissae.
        y: Ordinates; where several draws were made, their middle.
        low: Lower ends of the band around it, or none.
        high: Upper ends.
        published: Whether these are points of the paper's figure.
    """

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    published: bool = False


@dataclass(frozen=True, kw_only=True)
class FigurePanel:
    """Curves on the same axes, or a map of colours.

    Attributes:
        title: What it shows.
        x: What the horizontal axis is.
        y: What the vertical axis is.
        curves: The lines.
        x_scale: Of the horizontal axis.
        y_scale: Of the vertical axis.
        cells: A value for each place of a map, row by row from the top; empty for lines.
    """

    title: str
    x: str
    y: str
    curves: tuple[Curve, ...] = ()
    x_scale: AxisScale = "linear"
    y_scale: AxisScale = "linear"
    cells: tuple[tuple[float, ...], ...] = ()


@dataclass(frozen=True, kw_only=True)
class StudyFigure:
    """A figure or table of a paper, drawn again.

    Attributes:
        id: Letter of the paper and its name there, such as ``"A.fig1"``.
        title: What it shows.
        source: Where it stands.
        panels: Its parts.
        deviations: What is done otherwise than in the paper, and why.
        bands: What the bands around its lines are.
        seed: Of everything random.
        seconds: What it took.
    """

    id: str
    title: str
    source: Source
    panels: tuple[FigurePanel, ...] = ()
    deviations: str = ""
    bands: str = "95\u00a0% intervals of the mean over draws"
    seed: int = 0
    seconds: float = 0.0
