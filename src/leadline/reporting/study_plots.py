"""Figures of papers for plotly: ours as lines with their bands, the published points as open marks of one colour."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

from leadline._core.figures import AxisScale, Curve, FigurePanel
from leadline.reporting import plots
from leadline.reporting.plots import Figure
from leadline.reporting.traces import band, shown

# More lines than a sounding has; the first are its own.
COLOURS = (*plots.COLOURS, "#c0487a", "#8a7a1f", "#5a6b78", "#3fa7a0")
_MARKED = 25
# Depths and their like that an axis tells one by one.
_TOLD = 12


def panel_figure(panel: FigurePanel) -> Figure:
    """Data and layout of a panel, without the colours of the page.

    Example:
        >>> line = Curve(name="gap", x=(1.0, 2.0), y=(0.5, 0.0))
        >>> panel_figure(FigurePanel(title="", x="layer", y="gap", y_scale="log", curves=(line,)))["data"][0]["y"]
        [0.5, None]
    """
    data = [_map(panel)] if panel.cells else list(_curves(panel))
    return {"data": data, "layout": _layout(panel)}


def _curves(panel: FigurePanel) -> Iterator[dict[str, Any]]:
    names = list(dict.fromkeys(curve.name for curve in panel.curves))
    colours = {name: COLOURS[k % len(COLOURS)] for k, name in enumerate(names)}
    for curve in panel.curves:
        if curve.low:
            yield band(curve.x, curve.low, curve.high, colours[curve.name], panel.y_scale, opacity=0.2)
        yield _line(curve, colours[curve.name], panel.y_scale)


def _line(curve: Curve, colour: str, scale: AxisScale) -> dict[str, Any]:
    name = f"{curve.name}, published" if curve.published else curve.name
    few = len(curve.x) <= _MARKED
    return {
        "type": "scatter",
        "mode": "markers" if curve.published else "lines+markers" if few else "lines",
        "name": name,
        "x": list(curve.x),
        "y": [shown(value, scale) for value in curve.y],
        "line": {"color": colour, "width": 2},
        "marker": {
            "symbol": "diamond-open" if curve.published else "circle",
            "size": 10 if curve.published else 5,
            "color": colour,
            "line": {"width": 2 if curve.published else 0},
        },
        "hovertemplate": f"{name} %{{y:.4~g}}<extra></extra>",
    }


def _map(panel: FigurePanel) -> dict[str, Any]:
    finite = [abs(value) for row in panel.cells for value in row if math.isfinite(value)]
    reach = max(finite, default=1.0)
    return {
        "type": "heatmap",
        "z": [[shown(value, "linear") for value in row] for row in panel.cells],
        "zmin": -reach,
        "zmax": reach,
        "colorscale": "RdBu",
        "colorbar": {"thickness": 12, "exponentformat": "power"},
        "hovertemplate": f"{panel.y} %{{y}}, {panel.x} %{{x}}: %{{z:.3~g}}<extra></extra>",
    }


def _layout(panel: FigurePanel) -> dict[str, Any]:
    heights = [] if panel.cells else [value for curve in panel.curves for value in (*curve.y, *curve.low, *curve.high)]
    x, y = (
        {"title": {"text": label, "standoff": 8}, "type": scale, "zeroline": False}
        for label, scale in ((panel.x, panel.x_scale), (panel.y, panel.y_scale))
    )
    if panel.x_scale == "log":
        places = sorted({v for c in panel.curves for v in c.x})
        if len(places) <= _TOLD and all(place == round(place) for place in places):
            x |= {"tickvals": places, "ticktext": [f"{place:g}" for place in places]}
        elif _decades(places) > 1.5:
            x |= {"dtick": 1}
    if panel.y_scale == "log":
        y |= {"exponentformat": "power"} | (
            {"dtick": max(1, round(span / 6))} if (span := _decades(heights)) > 1.5 else {}
        )
    if panel.cells:
        y |= {"autorange": "reversed"}
    return {
        "height": 380,
        "margin": {"l": 64, "r": 18, "t": 8, "b": 44},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"size": 12},
        "hovermode": "closest",
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        "xaxis": x,
        "yaxis": y,
    }


def _decades(values: Sequence[float]) -> float:
    """Between the smallest and the largest of those that have a logarithm."""
    logs = [math.log10(value) for value in values if 0 < value < math.inf]
    return max(logs) - min(logs) if logs else 0.0
