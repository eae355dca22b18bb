"""Plots of a repair: each quantity before and after against depth, and the losses of its proof against steps."""

import math
from collections.abc import Sequence
from typing import Any

from leadline._core.profile import LayerProfile
from leadline._core.repair import Curve, Proof
from leadline.reporting import traces
from leadline.reporting.comparison import Comparison
from leadline.reporting.plots import COLOURS, Figure, Panel, layout, limits, place, single

# Before is behind: dashed, in the colour that warns.
_SIDES = (("before", COLOURS[1], "diamond", "dash"), ("after", COLOURS[0], "circle", "solid"))
_DASHES = ("solid", "dash", "dot", "dashdot")


PANELS = (
    single("forward", "Forward: the size of the signal", "rms", "log"),
    single("backward", "Backward: the size of the gradient", "grad_norm", "log"),
    single("weights", "Backward: the gradient of the weights", "weight_grad_norm", "log"),
    single("rank", "Rank: directions that carry the batch", "participation_ratio", "linear"),
    single("distinction", "Distinction: what still tells samples apart", "distinction", "log"),
)


def repair_figures(found: Comparison) -> dict[str, Figure]:
    """The panels that have something to show, by key, and the training curves where there is a proof."""
    sides = found.before.profile.layers, found.after.profile.layers
    drawn = {panel.key: _figure(panel, sides) for panel in PANELS if _told(panel, sides)}
    if found.repair.proof:
        drawn["training"] = training_figure(found.repair.proof)
    return drawn


def _told(panel: Panel, sides: Sequence[Sequence[LayerProfile]]) -> bool:
    (metric,) = panel.metrics
    return any(not math.isnan(getattr(layer, metric)) for side in sides for layer in side)


def _figure(panel: Panel, sides: Sequence[Sequence[LayerProfile]]) -> Figure:
    (metric,) = panel.metrics
    span = limits(panel.axis, [getattr(layer, metric) for side in sides for layer in side])
    edges = place(panel.axis, span[0]), place(panel.axis, span[1])
    data: list[dict[str, Any]] = []
    for (name, colour, symbol, dash), layers in zip(_SIDES, sides, strict=True):
        line = traces.line(name, traces.applicable(layers, metric), colour, symbol, panel.axis, of=metric)
        line["line"]["dash"] = dash
        data += [line, *traces.edge_markers(metric, layers, panel.axis, edges, name=name)]
    names = traces.names(max(sides, key=len), place(panel.axis, sum(span) / 2))
    deepest = max(layer.depth for side in sides for layer in side)
    return {"data": [names, *data], "layout": layout(panel, span, deepest, [])}


def training_figure(proof: Proof) -> Figure:
    """Every run's losses against its steps; a run that diverged ends in a mark."""
    panel = single("training", "", "loss", "log")
    shown = [loss for curve in proof.curves for loss in curve.losses]
    span = limits(panel.axis, shown)
    rates = sorted({curve.learning_rate for curve in proof.curves}, reverse=True)
    data = []
    for curve in proof.curves:
        data += _course(curve, _DASHES[rates.index(curve.learning_rate) % len(_DASHES)], place(panel.axis, span[1]))
    drawn = layout(panel, span, max(len(curve.losses) for curve in proof.curves), [])
    drawn["xaxis"]["title"]["text"] = "step"
    drawn["height"] = 360
    return {"data": data, "layout": drawn}


def _course(curve: Curve, dash: str, top: float) -> list[Figure]:
    colour = next(colour for side, colour, *_ in _SIDES if side == curve.model)
    name = f"{curve.model}, rate {curve.learning_rate:g}"
    line = {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": list(range(1, len(curve.losses) + 1)),
        "y": [traces.shown(loss, "log") for loss in curve.losses],
        "line": {"color": colour, "width": 2, "dash": dash},
        "hovertemplate": f"{name}: %{{y:.3~g}}<extra></extra>",
    }
    if all(map(math.isfinite, curve.losses)):
        return [line]
    mark = {
        "type": "scatter",
        "mode": "markers",
        "name": f"{name} diverged",
        "x": [len(curve.losses)],
        "y": [top],
        "marker": {"symbol": "triangle-up", "size": 9, "color": traces.SEVERITY_COLOURS["error"]},
        "hovertemplate": f"{name} diverged<extra></extra>",
        "cliponaxis": False,
        "showlegend": False,
    }
    return [line, mark]
