"""The table of layers in the terminal: which layers, which columns, and where a finding points."""

import math
from collections.abc import Mapping, Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from leadline._core.diagnosis import Diagnosis
from leadline._core.profile import LayerProfile
from leadline.reporting.terminal_table import Column, fitted_table, printable
from leadline.reporting.words import number

MARKS = {"error": "✗", "warning": "!", "note": "·"}
STYLES = {"error": "bold red", "warning": "yellow", "note": "cyan"}
_GRAVITY = {"note": 0, "warning": 1, "error": 2}
# A deep network is shown by its ends, by some layers in between, and by the layers that a finding names.
_ALL, _ENDS, _BETWEEN, _FLAGGED = 30, 5, 8, 10


def layer_table(diagnosis: Diagnosis, *, width: int) -> RenderableType:
    """One row a layer: its scale, its rank and its gradient, coloured and marked where a finding points."""
    layers = diagnosis.profile.layers
    if not layers:
        return Text("No layer was measured.", style="dim")
    severities = _severities(diagnosis)
    shown = shown_rows(len(layers), flagged=severities)
    marks = [severities.get(i, "") for i in shown]
    table = fitted_table(
        _columns([layers[i] for i in shown], marks), width=width, styles=[STYLES.get(s, "") for s in marks]
    )
    if len(shown) == len(layers):
        return table
    return Group(table, left_out(len(layers) - len(shown), "layers"))


def left_out(more: int, what: str) -> Text:
    """How many more there are, and which options show them."""
    return Text(f"… {more} more {what}, see --html or --json", style="dim")


def shown_rows(count: int, *, flagged: Mapping[int, str]) -> list[int]:
    """Which of ``count`` layers are shown: all of a short network, else both ends, some between, and the flagged.

    Args:
        count: How many layers there are.
        flagged: Layer -> severity of its worst finding; the gravest and first ones are shown.

    Example:
        >>> shown_rows(1000, flagged={437: "error"})
        [0, 1, 2, 3, 4, 115, 225, 335, 437, 445, 555, 665, 775, 885, 995, 996, 997, 998, 999]
    """
    if count <= _ALL:
        return list(range(count))
    ends = [*range(_ENDS), *range(count - _ENDS, count)]
    between = [round(_ENDS + (count - 2 * _ENDS) * (i + 1) / (_BETWEEN + 1)) for i in range(_BETWEEN)]
    gravest = sorted(flagged, key=lambda i: (-_GRAVITY[flagged[i]], i))[:_FLAGGED]
    return sorted({*ends, *between, *gravest})


def _columns(layers: Sequence[LayerProfile], severities: Sequence[str]) -> list[Column]:
    """The columns from left to right; where the terminal is narrow the least important go first."""

    def words(header: str, texts: Sequence[str], importance: int) -> Column:
        cells = [printable(text) for text in texts]
        return Column(header=header, cells=cells, justify="left", elastic=True, importance=importance)

    def numbers(header: str, metric: str, importance: int) -> Column:
        return Column(header=header, cells=[_value(layer, metric) for layer in layers], importance=importance)

    dead = [f"{layer.dead_fraction:.0%}" if layer.dead_fraction > 0 else "" for layer in layers]
    return [
        Column(header="", cells=[MARKS.get(s, "") for s in severities], justify="left", importance=9),
        Column(header="#", cells=[str(layer.depth) for layer in layers], importance=3),
        words("layer", [layer.name for layer in layers], 10),
        words("kind", [layer.kind for layer in layers], 4),
        numbers("rms", "rms", 7),
        numbers("rank", "participation_ratio", 6),
        numbers("distinct", "distinction", 5),
        Column(header="dead", cells=dead, importance=2),
        numbers("grad", "grad_norm", 8),
        numbers("w grad", "weight_grad_norm", 1),
    ]


def _value(layer: LayerProfile, metric: str) -> str:
    """The number in three digits; empty where it does not apply, ``nan`` where the layer's values are not finite."""
    value = getattr(layer, metric)
    if not math.isnan(value):
        return number(value)
    finite = layer.grad_finite_fraction if "grad" in metric else layer.finite_fraction
    return "nan" if finite < 1 else ""


def _severities(diagnosis: Diagnosis) -> dict[int, str]:
    """The worst severity at each layer that a finding names; a module inside a block counts for the block."""
    rows = {layer.name: i for i, layer in enumerate(diagnosis.profile.layers)}
    worst: dict[int, str] = {}
    for finding in diagnosis.findings:
        name = finding.layer
        while name and name not in rows:
            name = name.rpartition(".")[0]
        if name and _GRAVITY[finding.severity] >= _GRAVITY[worst.get(rows[name], "note")]:
            worst[rows[name]] = finding.severity
    return worst
