"""The figure of the first page: gradients and samples of a deep network against depth, with theory, as SVG."""

import functools
import math
from collections.abc import Sequence

from leadline import diagnose, profile
from leadline.targets import load

_PLACE = "<!-- figure: mlp:depth=100 -->"
_LEFT, _TOP, _WIDTH, _HEIGHT = 64, 30, 640, 230
_LOWEST, _HIGHEST = -42, 2
# Metric -> colour (of the palette of Okabe and Ito), name, and where the name stands: layer, decade.
_LINES = {"grad_norm": ("#0072b2", "gradient norm", 60, -30), "distinction": ("#d55e00", "distinction", 31, -12)}


def on_page_markdown(markdown: str, **kwargs: object) -> str:
    """The page with its figure."""
    return markdown.replace(_PLACE, figure()) if _PLACE in markdown else markdown


@functools.cache
def figure() -> str:
    """Measured points, and through the last or first of them the line that theory predicts."""
    target = load("mlp:depth=100")
    diagnosis = diagnose(profile(target.model, target.inputs, target.targets))
    rates = {each.metric: each.rate for each in diagnosis.predictions}
    chain = diagnosis.profile.chain
    parts = [_axes(len(chain))]
    for metric, (colour, name, layer, decade) in _LINES.items():
        logs = [math.log10(value) if (value := getattr(each, metric)) > 0 else -math.inf for each in chain]
        # Signals start at the input and gradients at the loss.
        start = len(chain) - 1 if metric == "grad_norm" else 0
        law = [logs[start] + rates[metric] * (i - start) for i in range(len(chain))]
        parts.append(f'<path d="{_path(law)}" fill="none" stroke="{colour}" stroke-width="9" opacity=".25"/>')
        parts.append(f'<path d="{_path(logs)}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.append(_text(_x(layer, len(chain)), _y(decade), name, colour=colour))
    size = f"0 0 {_LEFT + _WIDTH + 24} {_TOP + _HEIGHT + 44}"
    label = "Gradient norm and distinction of a 100-layer ReLU network against depth, with theory"
    svg = f'<svg viewBox="{size}" role="img" aria-label="{label}" font-size="13">{"".join(parts)}</svg>'
    return f'<figure class="sounding">{svg}</figure>'


def _axes(layers: int) -> str:
    bottom = _TOP + _HEIGHT
    parts = [f'<path d="M{_LEFT} {_TOP}V{bottom}H{_LEFT + _WIDTH}" fill="none" stroke="currentColor"/>']
    for decade in range(-40, 1, 10):
        parts.append(_text(_LEFT - 8, _y(decade) + 4, f"10{_raised(decade)}" if decade else "1", anchor="end"))
    for layer in range(0, layers + 1, 20):
        parts.append(_text(_x(layer, layers), bottom + 18, str(layer), anchor="middle"))
    parts.append(_text(_LEFT + _WIDTH / 2, bottom + 38, "layer, from the input to the loss", anchor="middle"))
    return "".join(parts)


def _path(logs: Sequence[float]) -> str:
    points = [f"{_x(i, len(logs)):.1f} {_y(value):.1f}" for i, value in enumerate(logs) if _LOWEST <= value <= _HIGHEST]
    return f"M{'L'.join(points)}"


def _x(layer: float, layers: int) -> float:
    return _LEFT + _WIDTH * layer / (layers - 1)


def _y(decade: float) -> float:
    return _TOP + _HEIGHT * (_HIGHEST - decade) / (_HIGHEST - _LOWEST)


def _raised(number: int) -> str:
    return str(number).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def _text(x: float, y: float, words: str, *, colour: str = "currentColor", anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}" text-anchor="{anchor}">{words}</text>'
