"""The traces of a depth plot: measured lines, other draws, theory, and marks for findings and for what has no place."""

import html
import math
import statistics
from collections.abc import Iterator, Sequence
from typing import Any

from leadline._core.diagnosis import Finding, Prediction
from leadline._core.profile import LayerProfile
from leadline.doctor.ranges import floor_of

Trace = dict[str, Any]
SEVERITY_COLOURS = {"error": "#d1453b", "warning": "#b98a12", "note": "#7b8b97"}
# Deeper networks are drawn without a marker per layer.
MARKED_DEPTH = 60
LONGEST_NAME = 40
# Broad and beneath the measured lines, so that both are seen where they agree; on white and on dark.
THEORY_COLOUR = "#76838c"


def shown(value: float, axis: str) -> float | None:
    """The value where its axis has a place for it, otherwise a gap."""
    return value if math.isfinite(value) and (axis != "log" or value > 0) else None


def applicable(layers: Sequence[LayerProfile], metric: str) -> list[LayerProfile]:
    """The layers that the metric speaks of: a line is not broken at a kind that never has it."""
    kinds = {layer.kind for layer in layers if not math.isnan(getattr(layer, metric))}
    return [layer for layer in layers if layer.kind in kinds or layer.finite_fraction < 1]


def _headline(layer: LayerProfile) -> str:
    """Name and kind in the width of a plot; of a long name the end tells more."""
    name = layer.name if len(layer.name) <= LONGEST_NAME else f"…{layer.name[1 - LONGEST_NAME :]}"
    return html.escape(f"{name} ({layer.kind})", quote=False)


def names(layers: Sequence[LayerProfile], height: float) -> Trace:
    """An unseen line whose hover heads the box with the name of the layer."""
    return {
        "type": "scatter",
        "mode": "lines",
        "x": [layer.depth for layer in layers],
        "y": [height] * len(layers),
        "text": [_headline(layer) for layer in layers],
        "hovertemplate": "<b>%{text}</b><extra></extra>",
        "line": {"width": 0, "color": "rgba(0,0,0,0)"},
        "showlegend": False,
    }


def line(name: str, layers: Sequence[LayerProfile], colour: str, symbol: str, axis: str, *, of: str = "") -> Trace:
    """What was measured of the metric ``of``, otherwise ``name``, with a gap where it has no place on the axis."""
    metric = of or name
    return {
        "type": "scatter",
        "mode": "lines+markers" if len(layers) <= MARKED_DEPTH else "lines",
        "name": name,
        "x": [layer.depth for layer in layers],
        "y": [shown(getattr(layer, metric), axis) for layer in layers],
        "hovertemplate": f"{name} %{{y:.3~g}}<extra></extra>",
        "line": {"color": colour, "width": 2},
        "marker": {"symbol": symbol, "size": 5, "color": colour},
    }


def band(
    x: Sequence[float], low: Sequence[float], high: Sequence[float], colour: str, axis: str, *, opacity: float
) -> Trace:
    """What lies between two lines, where both have a place on the axis, without a word of its own."""
    ends = zip(x, low, high, strict=True)
    there = [(at, a, b) for at, a, b in ends if None not in (shown(a, axis), shown(b, axis))]
    red, green, blue = (int(colour[k : k + 2], 16) for k in (1, 3, 5))
    return {
        "type": "scatter",
        "mode": "lines",
        "x": [at for at, _, _ in there] + [at for at, _, _ in reversed(there)],
        "y": [b for _, _, b in there] + [a for _, a, _ in reversed(there)],
        "fill": "toself",
        "line": {"width": 0},
        "fillcolor": f"rgba({red},{green},{blue},{opacity})",
        "hoverinfo": "skip",
        "showlegend": False,
    }


def draw(metric: str, layers: Sequence[LayerProfile], colour: str, axis: str) -> Trace:
    """The same metric in another draw of the weights, thin and silent."""
    there = applicable(layers, metric)
    return {
        "type": "scatter",
        "mode": "lines",
        "x": [layer.depth for layer in there],
        "y": [shown(getattr(layer, metric), axis) for layer in there],
        "line": {"color": colour, "width": 1},
        "opacity": 0.35,
        "hoverinfo": "skip",
        "showlegend": False,
    }


def edge_markers(
    metric: str, layers: Sequence[LayerProfile], axis: str, edges: tuple[float, float], *, name: str = ""
) -> Iterator[Trace]:
    """What has no place on the axis, under ``name`` or the metric's: infinities at the top, zeros at the bottom."""
    for word, value, edge, symbol, side in (
        ("∞", math.inf, edges[1], "triangle-up", "bottom"),
        ("0", 0.0, edges[0], "triangle-down", "top"),
    ):
        there = [layer.depth for layer in layers if getattr(layer, metric) == value]
        if there and (value or axis == "log"):
            yield {
                "type": "scatter",
                "mode": "markers+text" if len(there) <= 12 else "markers",
                "name": f"{name or metric} is {word}",
                "x": there,
                "y": [edge] * len(there),
                "text": [word] * len(there),
                "textposition": f"{side} center",
                "marker": {"symbol": symbol, "size": 9, "color": SEVERITY_COLOURS["error"]},
                "hovertemplate": f"{name or metric} {word}<extra></extra>",
                "cliponaxis": False,
            }


def theory(prediction: Prediction, chain: Sequence[LayerProfile]) -> Trace | None:
    """The predicted rate as a line through the median of what was measured along the chain, above rounding."""
    measured = [getattr(layer, prediction.metric) for layer in chain]
    floor = floor_of(prediction.metric, chain)
    offsets = [math.log10(v) - prediction.rate * k for k, v in enumerate(measured) if floor < v < math.inf]
    if not offsets or not math.isfinite(prediction.rate):
        return None
    decades = [statistics.median(offsets) + prediction.rate * k for k in range(len(chain))]
    return {
        "type": "scatter",
        "mode": "lines",
        "name": f"theory for {prediction.metric}",
        "x": [layer.depth for layer in chain],
        "y": [10**d if abs(d) < 300 else None for d in decades],
        "line": {"color": THEORY_COLOUR, "width": 7, "dash": "9px,4px"},
        "opacity": 0.5,
        "legendrank": 2000,
        "hovertemplate": "theory %{y:.3~g}<extra></extra>",
    }


def mark(finding: Finding, layer: LayerProfile, metrics: Sequence[str], axis: str, edges: tuple[float, float]) -> Trace:
    """A ring around the layer where a finding shows."""
    there = [getattr(layer, metric) for metric in metrics if shown(getattr(layer, metric), axis) is not None]
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [layer.depth],
        "y": [there[0] if there else edges[1]],
        "marker": {
            "symbol": "circle-open",
            "size": 15,
            "color": SEVERITY_COLOURS[finding.severity],
            "line": {"width": 2.5},
        },
        "hovertemplate": f"{finding.severity}: {html.escape(finding.code, quote=False)}<extra></extra>",
        "showlegend": False,
        "cliponaxis": False,
    }
