"""The page of a simulation: its design, every quantity against depth with theory overlaid, and a table of both."""

import math
from typing import Any

import numpy as np

from leadline._core.simulation import Expectation, Simulation
from leadline.reporting import traces
from leadline.reporting.html import page, rendered
from leadline.reporting.plots import COLOURS, Figure, Panel, layout, limits, single
from leadline.reporting.simulation_words import headline, summary

_OUTER = 10, 90  # percentiles of the band over draws


PANELS = (
    single("forward", "Forward: the size of the signal", "rms", "log"),
    single("backward", "Backward: the size of the gradient", "log_grad_norm", "linear"),
    single("weights", "Backward: the gradient of the weights", "log_weight_grad_norm", "linear"),
    single("isometry", "Isometry: how far from orthogonal samples are", "isometry_gap", "log"),
    single("orthogonality", "Orthogonality: the same, bounded", "orthogonality_gap", "log"),
    single("rank", "Rank: directions that carry the batch", "participation_ratio", "linear"),
    single("likeness", "Likeness: how alike samples have become", "mean_square_cosine", "log"),
)


@page.register
def _(record: Simulation) -> str:
    panels = [panel for panel in PANELS if panel.metrics[0] in record.values]
    return rendered(
        "simulation.html",
        figures={panel.key: _figure(panel, record) for panel in panels},
        found=record,
        headline=headline(record),
        panels=panels,
        rows=summary(record),
        expected={one.quantity: one for one in record.expected},
        percentiles=_OUTER,
    )


def _figure(panel: Panel, found: Simulation) -> Figure:
    (name,) = panel.metrics
    values = found.array(name)
    first = found.depth + 1 - values.shape[1]
    layers = list(range(first, found.depth + 1))
    with np.errstate(invalid="ignore"):
        middle, low, high = (np.percentile(values, q, axis=0) for q in (50, *_OUTER))
    span = _span(panel, np.concatenate([low, high]))
    data = []
    expected = next((one for one in found.expected if one.quantity == name), None)
    if expected is not None:
        data.append(_theory(expected, layers, middle, panel))
    if found.draws > 1:
        data.append(traces.band(layers, low.tolist(), high.tolist(), COLOURS[0], panel.axis, opacity=0.25))
    data.append(_line(name, layers, middle, panel.axis))
    drawn = layout(panel, span, found.depth, [])
    drawn["xaxis"]["title"]["text"] = "layer (0 is the input)"
    return {"data": data, "layout": drawn}


def _span(panel: Panel, shown: np.ndarray) -> tuple[float, float]:
    finite = shown[np.isfinite(shown)]
    if panel.axis == "linear" and len(finite) and finite.min() < 0:
        room = 0.08 * max(float(np.ptp(finite)), 0.1)
        return float(finite.min()) - room, float(finite.max()) + room
    return limits(panel.axis, shown.tolist())


def _line(name: str, layers: list[int], values: np.ndarray, axis: str) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": layers,
        "y": [traces.shown(float(value), axis) for value in values],
        "line": {"color": COLOURS[0], "width": 2},
        "hovertemplate": f"{name} %{{y:.4~g}}<extra></extra>",
    }


def _theory(expected: Expectation, layers: list[int], middle: np.ndarray, panel: Panel) -> dict[str, Any]:
    """A level, or a rate as a line through the median of what was measured."""
    depth, logarithmic = np.array(layers, dtype=float), expected.quantity.startswith("log_")
    if expected.kind == "level":
        y = np.full(len(layers), expected.value)
    else:
        with np.errstate(divide="ignore", invalid="ignore"):
            logs = middle if logarithmic else np.log(middle)
        offsets = (logs - expected.value * depth)[np.isfinite(logs)]
        y = expected.value * depth + (float(np.median(offsets)) if len(offsets) else math.nan)
        y = y if logarithmic else np.exp(y)
    return {
        "type": "scatter",
        "mode": "lines",
        "name": "theory",
        "x": layers,
        "y": [traces.shown(value, panel.axis) for value in y.tolist()],
        "line": {"color": traces.THEORY_COLOUR, "width": 7, "dash": "9px,4px"},
        "opacity": 0.5,
        "legendrank": 2000,
        "hovertemplate": "theory %{y:.4~g}<extra></extra>",
    }
