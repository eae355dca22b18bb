"""Depth plots out of records: each panel as plain data for plotly, theory overlaid and findings marked."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from leadline._core.diagnosis import Finding, Prediction
from leadline._core.profile import LayerProfile, Profile
from leadline.reporting import traces, words

Figure = dict[str, Any]
# Readable on white and on the dark page alike (contrast 3.4 to 5.2), and apart for the colour-blind.
COLOURS = ("#1580b8", "#d2691e", "#2a9d6f", "#9b6bd3")
# Steps between the ticks of a logarithmic axis of more than two decades.
DECADES = (1, 2, 3, 4, 5, 10, 20, 50, 100, 200)
SYMBOLS = ("circle", "square", "diamond", "cross")


@dataclass(frozen=True, kw_only=True)
class Panel:
    """Some metrics against depth on one axis.

    Attributes:
        key: Name of the panel in the page.
        title: What is looked at.
        metrics: Names of the metrics, most telling first.
        axis: ``"log"`` for what moves by factors, ``"linear"`` from 0, ``"share"`` from 0 to 1.
        codes: Findings that are marked here.
    """

    key: str
    title: str
    metrics: tuple[str, ...]
    axis: Literal["log", "linear", "share"]
    codes: frozenset[str]


def single(key: str, title: str, metric: str, axis: Literal["log", "linear", "share"]) -> Panel:
    """A panel of one metric in which no findings are marked."""
    return Panel(key=key, title=title, metrics=(metric,), axis=axis, codes=frozenset())


PANELS = (
    Panel(
        key="forward",
        title="Forward: the size of the signal",
        metrics=("rms", "branch_rms"),
        axis="log",
        codes=frozenset({"nonfinite", "activation-growth", "activation-decay", "overflow-risk", "small-batch-norm"}),
    ),
    Panel(
        key="backward",
        title="Backward: the size of the gradient",
        metrics=("grad_norm", "weight_grad_norm"),
        axis="log",
        codes=frozenset({"gradient-explosion", "gradient-vanishing", "unused-layer", "hard-to-train"}),
    ),
    Panel(
        key="rank",
        title="Rank: directions that carry the batch",
        metrics=("participation_ratio", "centred_participation_ratio"),
        axis="linear",
        codes=frozenset({"rank-collapse"}),
    ),
    Panel(
        key="likeness",
        title="Likeness: how alike samples have become",
        metrics=("mean_square_cosine", "grad_mean_square_cosine"),
        axis="share",
        codes=frozenset({"aligned-gradients"}),
    ),
    Panel(
        key="distinction",
        title="Distinction: what still tells samples apart",
        metrics=("distinction",),
        axis="log",
        codes=frozenset({"constant-output"}),
    ),
    Panel(
        key="isometry",
        title="Isometry: how far from orthogonal samples are",
        metrics=("isometry_gap",),
        axis="linear",
        codes=frozenset({"degenerate-batch"}),
    ),
    Panel(
        key="tokens",
        title="Tokens: how alike positions of one sequence have become",
        metrics=("token_mean_square_cosine", "token_distinction"),
        axis="share",
        codes=frozenset({"token-collapse"}),
    ),
    Panel(
        key="units",
        title="Units: dead and saturated ones",
        metrics=("dead_fraction", "saturated_fraction"),
        axis="share",
        codes=frozenset({"dead-units", "saturation"}),
    ),
)


def figures(
    profile: Profile, *, findings: Sequence[Finding] = (), predictions: Sequence[Prediction] = ()
) -> dict[str, Figure]:
    """The panels that have something to show, by key, as the data and layout that plotly takes.

    Args:
        profile: What was measured.
        findings: Marked in the panel of their code, at their layer.
        predictions: Drawn as straight lines in the logarithm along the chain of blocks.

    Returns:
        Plain lists, mappings, numbers and words; what is not finite is ``None`` (a gap) in the line and a marker at
        the edge. Names are escaped, since plotly reads its words as markup.

    Example:
        >>> layer = LayerProfile(name="fc", kind="Linear", depth=0, metrics={"rms": 0.5})
        >>> drawn = figures(Profile(layers=(layer,)))
        >>> list(drawn), drawn["forward"]["data"][1]["y"]
        (['forward'], [0.5])
    """
    drawn = {}
    for panel in PANELS:
        metrics = [m for m in panel.metrics if any(not math.isnan(getattr(layer, m)) for layer in profile.layers)]
        if metrics:
            drawn[panel.key] = _figure(panel, metrics, profile, findings, predictions)
    return drawn


def _figure(
    panel: Panel,
    metrics: Sequence[str],
    profile: Profile,
    findings: Sequence[Finding],
    predictions: Sequence[Prediction],
) -> Figure:
    low, high = limits(panel.axis, [v for m in metrics for v in _seen(profile, m)])
    colours = dict(zip(metrics, COLOURS, strict=False))
    marked = [
        (f, layer) for f in findings for layer in profile.layers if f.code in panel.codes and f.layer == layer.name
    ]
    edges = (place(panel.axis, low), place(panel.axis, high))
    data = [traces.names(profile.layers, place(panel.axis, (low + high) / 2))]
    data += [traces.theory(p, profile.chain) for p in predictions if p.metric in metrics]
    for symbol, metric in zip(SYMBOLS, metrics, strict=False):
        data.append(traces.line(metric, traces.applicable(profile.layers, metric), colours[metric], symbol, panel.axis))
    for metric in metrics:
        data += [traces.draw(metric, draw.layers, colours[metric], panel.axis) for draw in profile.draws]
        data += traces.edge_markers(metric, profile.layers, panel.axis, edges)
    data += [traces.mark(finding, layer, metrics, panel.axis, edges) for finding, layer in marked]
    return {
        "data": [trace for trace in data if trace],
        "layout": layout(panel, (low, high), max(layer.depth for layer in profile.layers), marked),
    }


def _seen(profile: Profile, metric: str) -> Iterator[float]:
    for one in (profile, *profile.draws):
        yield from (getattr(layer, metric) for layer in one.layers)


def limits(axis: str, values: Sequence[float]) -> tuple[float, float]:
    """Range of the axis, in decades on a logarithmic one, with room for the markers at its edges."""
    if axis == "share":
        return -0.04, 1.04
    shown = [math.log10(v) if axis == "log" else v for v in values if math.isfinite(v) and (axis != "log" or v > 0)]
    if axis == "linear":
        return 0.0, 1.08 * max(shown, default=1.0) or 1.0
    low, high = min(shown, default=-1.0), max(shown, default=1.0)
    room = max(0.07 * (high - low), 0.25)
    return max(low - room, -300.0), min(high + room, 300.0)


def place(axis: str, limit: float) -> float:
    """The value at a limit of the axis."""
    return 10**limit if axis == "log" else limit


def layout(
    panel: Panel, limits: tuple[float, float], deepest: int, marked: Sequence[tuple[Finding, LayerProfile]]
) -> Figure:
    """Everything but colours of the page, which its style sheet sets for light, dark and print."""
    low, high = limits
    vertical: Mapping[str, Any] = {}
    if panel.axis == "log":
        vertical = {"type": "log", "tickfont": {"size": 11}, **_ticks(low, high)}
    return {
        "height": 300,
        "margin": {"l": 56, "r": 18, "t": 8, "b": 44},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"size": 12},
        "hovermode": "x unified",
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        "xaxis": {
            "title": {"text": "layer, in order of execution", "standoff": 8},
            "zeroline": False,
            "hoverformat": "d",
            **({"dtick": 1} if deepest < 6 else {}),
            "range": [-0.02 * deepest - 0.3, 1.02 * deepest + 0.3],
        },
        "yaxis": {**vertical, "range": list(limits), "fixedrange": True, "zeroline": False},
        "shapes": [
            {
                "type": "line",
                "x0": layer.depth,
                "x1": layer.depth,
                "yref": "paper",
                "y0": 0,
                "y1": 1,
                "layer": "below",
                "line": {"color": traces.SEVERITY_COLOURS[finding.severity], "width": 1, "dash": "dot"},
            }
            for finding, layer in marked
        ],
    }


def _ticks(low: float, high: float) -> Figure:
    """Where a logarithmic axis from ``low`` to ``high`` decades is labelled: at powers of ten, or between them too.

    >>> _ticks(-0.5, 0.4)["ticktext"]
    ['0.500', '0.700', '1.00', '1.50', '2.00']
    """
    if high - low > 2:
        return {"exponentformat": "power", "dtick": next(step for step in DECADES if 6 * step >= high - low)}
    leading = (1, 2, 5) if high - low > 1 else (1, 1.5, 2, 3, 5, 7)
    decades = range(math.floor(low), math.ceil(high) + 1)
    values = [v for k in decades for v in (digit * 10.0**k for digit in leading) if low <= math.log10(v) <= high]
    return {"tickvals": values, "ticktext": [words.number(value) for value in values]}
