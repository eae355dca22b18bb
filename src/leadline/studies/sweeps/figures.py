"""Figures of a sweep: a metric against an axis, over two axes as a map, and its power law."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import stdtrit

from leadline._core.errors import UsageError
from leadline._core.names import check_choice
from leadline._core.rates import Rate, rate_over_draws, slope as fitted_slope
from leadline._core.records import check_destination, write_text
from leadline._core.wording import figure as in_words
from leadline.reporting.study_plots import COLOURS

if TYPE_CHECKING:
    import pandas as pd

KINDS = ("rates", "phase", "scaling")
# Metrics by default, of profiles and of trainings.
METRICS = {
    "rates": ("log10_grad_norm_rate", "final_loss"),
    "phase": ("trainable", "learnt"),
    "scaling": ("participation_ratio", "final_loss"),
}
_LINES, _PLACES = 24, 12
_NOT_AXES = frozenset({"key", "seed", "status", "error_type", "error", "attempts", "seconds", "versions"})


def axes(cells: "pd.DataFrame") -> list[str]:
    """Columns of design, options and training that take more than one value, in the order of the table.

    >>> import pandas as pd
    >>> axes(pd.DataFrame({"depth": [2, 4], "width": [8, 8], "seed": [0, 1], "status": ["done"] * 2, "rms": [1, 2]}))
    ['depth']
    """
    inputs = list(cells.columns)[: list(cells.columns).index("status")]
    return [name for name in inputs if name not in _NOT_AXES and len(set(map(repr, cells[name]))) > 1]


def plot(
    cells: "pd.DataFrame",
    path: str | Path,
    *,
    kind: str = "rates",
    metric: str | None = None,
    x: str | None = None,
    y: str | None = None,
) -> Path:
    """Draw the cells of a sweep that are done, as one HTML file that needs no network.

    Args:
        cells: What ``frame`` gave.
        path: The file.
        kind: ``"rates"``: the metric against ``x``, a line for each combination of the other axes, mean over seeds with
            a 95 % Student interval. ``"phase"``: its mean over seeds, and over what else varies, on ``x`` and ``y``;
            a map of a grid, coloured points of a random search. ``"scaling"``: both axes
            logarithmic, with the least-squares slope and its 95 % interval.
        metric: A number of the summary; by default one that suits the kind.
        x: Axis; by default the first that is a number.
        y: Second axis of a phase diagram; by default the next.

    Returns:
        The path.

    Raises:
        UsageError: If there is nothing to draw, or no such metric or axis.
    """
    path = check_destination(path)
    drawn = figure(cells, kind=kind, metric=metric, x=x, y=y)
    return write_text(drawn.to_html(include_plotlyjs=True, div_id="sweep"), path)


def figure(
    cells: "pd.DataFrame", *, kind: str = "rates", metric: str | None = None, x: str | None = None, y: str | None = None
) -> Any:
    """The figure of ``plot`` as one of plotly's."""
    import plotly.graph_objects as go

    check_choice("kind", kind, KINDS)
    # `Any`, since the stubs of pandas do not know which selections are tables.
    done: Any = cells[cells["status"] == "done"] if len(cells) else cells
    if not len(done):
        raise UsageError("No cell of this store is done, so there is nothing to draw; run the sweep first.")
    metric = _metric(done, kind, metric)
    names = axes(done)
    numbers = [name for name in names if _numeric(done, name)]
    x = _axis(x, numbers if kind != "phase" else [*numbers, *(n for n in names if n not in numbers)], "x", names)
    if kind == "phase":
        rest = [name for name in (*numbers, *names) if name != x]
        y = _axis(y, rest, "y", names)
        if x == y:
            raise UsageError(f"A phase diagram needs two different axes; got {x} twice.")
        drawn, kinds = _phase(done, metric, x, y)
        layout = _layout(metric, x, y, about=_others(names, x, y))
        layout["xaxis"]["type"], layout["yaxis"]["type"] = kinds
        return go.Figure(drawn, layout)
    if y is not None:
        raise UsageError(f"Only a phase diagram takes a second axis; got y {y!r}.")
    lines = _scaling if kind == "scaling" else _rates
    traces, groups = [], _groups(done, [name for name in names if name != x])
    if len(groups) > _LINES:
        raise UsageError(
            f"The options beside {x} make {len(groups)} combinations, a line each, and at most {_LINES} can be told "
            "apart; draw --kind phase, or export and choose."
        )
    for number, (label, rows) in enumerate(groups):
        traces += lines(rows, metric, x, label, COLOURS[number % len(COLOURS)])
    layout = _layout(x=x, metric=None, y=metric)
    if kind == "scaling":
        layout["xaxis"]["type"] = layout["yaxis"]["type"] = "log"
        places = sorted(set(done[x].dropna().tolist()))
        if len(places) <= _PLACES:
            layout["xaxis"] |= {"tickvals": places, "ticktext": [f"{place:g}" for place in places]}
        if not traces:
            raise UsageError(f"No value of {metric} and {x} is positive and finite, so there is no power law to draw.")
    return go.Figure(traces, layout)


def _metric(done: Any, kind: str, metric: str | None) -> str:
    after = list(done.columns[list(done.columns).index("status") + 1 :])
    known = [name for name in after if name not in _NOT_AXES and _numeric(done, name)]
    if metric is None:
        return next((name for name in METRICS[kind] if name in known), known[0])
    return check_choice("metric", metric, known)


def _axis(name: str | None, candidates: Sequence[str], which: str, names: Sequence[str]) -> str:
    if name is not None:
        return check_choice(which, name, names) if names else name
    if not candidates:
        varied = f"only {', '.join(names)} vary" if names else "none varies"
        raise UsageError(
            f"This figure needs another axis of numbers for {which}; of the options of these cells {varied}."
        )
    return candidates[0]


def _numeric(table: Any, name: str) -> bool:
    return table[name].dtype.kind in "if" and bool(table[name].notna().any())


def _groups(done: Any, by: Sequence[str]) -> list[tuple[str, Any]]:
    """The rows of every combination of the other axes, with its words."""
    if not by:
        return [("", done)]
    found = []
    for values, rows in done.groupby(list(by), dropna=False, sort=True):
        found.append((", ".join(f"{name} {value}" for name, value in zip(by, values, strict=True)), rows))
    return found


def _rates(rows: Any, metric: str, x: str, label: str, colour: str) -> list[dict[str, Any]]:
    places, found = [], []
    for place, here in rows.groupby(x, sort=True):
        interval = rate_over_draws([float(value) for value in here[metric]])
        if math.isfinite(interval.estimate):
            places.append(place)
            found.append(interval)
    return [
        {
            "type": "scatter",
            "mode": "lines+markers",
            "name": label or metric,
            "x": places,
            "y": [one.estimate for one in found],
            "error_y": {
                "type": "data",
                "symmetric": False,
                "array": [_half(one.high - one.estimate) for one in found],
                "arrayminus": [_half(one.estimate - one.low) for one in found],
            },
            "text": [f"{one.increments} seeds" for one in found],
            "marker": {"color": colour},
            "line": {"color": colour},
        }
    ]


def _half(length: float) -> float | None:
    """Of one seed alone there is no interval."""
    return length if math.isfinite(length) else None


def _phase(done: Any, metric: str, x: str, y: str) -> tuple[dict[str, Any], tuple[str, str]]:
    """A map where most pairs of values are there, otherwise (a random search) a point a pair; and the types of axes."""
    import pandas as pd

    values = done[[x, y, metric]].copy()
    values[metric] = [value if math.isfinite(value) else math.nan for value in map(float, values[metric])]
    pairs = values.groupby([x, y], dropna=False)[metric].mean().reset_index()
    shown = {"colorbar": {"title": {"text": metric}}, "colorscale": "Viridis"}
    if len(pairs) < pairs[x].nunique() * pairs[y].nunique() / 2:
        points = {"type": "scatter", "mode": "markers", "x": pairs[x].tolist(), "y": pairs[y].tolist()}
        marker = {**shown, "size": 10, "color": [_shown(value) for value in pairs[metric]]}
        return {**points, "marker": marker}, (_spread(pairs, x), _spread(pairs, y))
    table = pd.pivot_table(pairs, index=y, columns=x, values=metric, dropna=False).sort_index()
    drawn = {
        "type": "heatmap",
        "x": [str(value) for value in table.columns],
        "y": [str(value) for value in table.index],
        "z": [[_shown(value) for value in row] for row in table.to_numpy(dtype=float)],
        **shown,
    }
    # Values of a grid stand side by side, whatever lies between them.
    return drawn, ("category", "category")


def _shown(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _spread(pairs: Any, name: str) -> str:
    """Logarithmic where positive numbers span a decade and a half."""
    if not _numeric(pairs, name):
        return "category"
    low, high = float(pairs[name].min()), float(pairs[name].max())
    return "log" if 0 < 30 * low < high else "linear"


def slope(x: Sequence[float], y: Sequence[float], *, level: float = 0.95) -> Rate:
    """Least-squares slope of ``y`` over ``x`` with Student's interval; not finite pairs are left out.

    >>> round(slope([0.0, 1.0, 2.0], [1.0, 3.0, 5.0]).estimate, 9)
    2.0
    """
    a, b = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    kept = np.isfinite(a) & np.isfinite(b)
    a, b, count = a[kept], b[kept], int(kept.sum())
    if count < 2 or np.ptp(a) == 0:
        return Rate(estimate=math.nan, low=-math.inf, high=math.inf, increments=count, over="draws")
    estimate, error = fitted_slope(a.tolist(), b.tolist())
    half = float(stdtrit(count - 2, 0.5 + level / 2)) * error if count > 2 else math.inf
    return Rate(estimate=estimate, low=estimate - half, high=estimate + half, increments=count, over="draws")


def _scaling(rows: Any, metric: str, x: str, label: str, colour: str) -> list[dict[str, Any]]:
    pairs = [(float(a), float(b)) for a, b in zip(rows[x], rows[metric], strict=True)]
    kept = sorted(pair for pair in pairs if all(0 < value < math.inf for value in pair))
    if not kept:
        return []
    logs = [(math.log10(a), math.log10(b)) for a, b in kept]
    fitted = slope([a for a, _ in logs], [b for _, b in logs])
    words = f"slope {in_words(fitted.estimate)} [{in_words(fitted.low)}, {in_words(fitted.high)}]"
    points = {
        "type": "scatter",
        "mode": "markers",
        "name": f"{label}: {words}" if label else words,
        "x": [a for a, _ in kept],
        "y": [b for _, b in kept],
        "marker": {"color": colour},
        "legendgroup": label,
    }
    if not math.isfinite(fitted.estimate):
        return [points]
    middle = [sum(values) / len(values) for values in zip(*logs, strict=True)]
    ends = [logs[0][0], logs[-1][0]]
    line = {
        "type": "scatter",
        "mode": "lines",
        "x": [10**end for end in ends],
        "y": [10 ** (middle[1] + fitted.estimate * (end - middle[0])) for end in ends],
        "line": {"color": colour},
        "legendgroup": label,
        "showlegend": False,
        "hoverinfo": "skip",
    }
    return [points, line]


def _others(names: Sequence[str], *shown: str) -> str:
    others = [name for name in names if name not in shown]
    return f", mean over seeds and {', '.join(others)}" if others else ", mean over seeds"


def _layout(metric: str | None, x: str, y: str, *, about: str = "") -> dict[str, Any]:
    layout: dict[str, Any] = {
        "xaxis": {"title": {"text": x}},
        "yaxis": {"title": {"text": y}},
        "template": "plotly_white",
    }
    return layout | ({"title": {"text": f"{metric}{about}"}} if metric else {})
