"""What if, in the terminal: a row a design, the deepest first."""

import math
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.text import Text

from leadline.reporting import words
from leadline.reporting.terminal_table import Column, fitted_table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from leadline.doctor.changes import Alternative, WhatIf

_SHOWN = 12


def what_if_table(found: "WhatIf", *, width: int, stand_in: str = "", unit: str = "block") -> RenderableType:
    """How deep the design goes as it is and changed; beside the best of them what networks of those depths showed.

    Args:
        found: What was tried.
        width: Columns of the terminal; no line is longer.
        stand_in: The design that stood for the model, where the model itself could not be changed.
        unit: What depth is counted in.
    """
    rows = (found.now, *found.alternatives[:_SHOWN])
    columns = [
        Column(
            header="design",
            cells=[changed(each.changes) for each in rows],
            justify="left",
            elastic=True,
            importance=9,
        ),
        Column(header=f"{unit}s", cells=[_limit(each) for each in rows], importance=8),
        *(
            Column(header=f"at {depth}", cells=[_chance(each, depth) for each in rows], importance=2 + place)
            for place, depth in enumerate(found.depths)
        ),
    ]
    blocks: list[RenderableType] = [
        Text(f"What if: {unit}s that the design carries, and the probability that it trains at a depth", style="bold")
    ]
    if stand_in:
        blocks.append(Text(f"Of {stand_in}, a perceptron of the same parts.", style="dim"))
    styles = ["dim", *("green" if each.limit.estimate > found.now.limit.estimate else "" for each in rows[1:])]
    blocks.append(fitted_table(columns, width=width, styles=styles))
    more = f"; {len(found.alternatives) - _SHOWN} more, see --json" if len(found.alternatives) > _SHOWN else ""
    blocks.append(Text(f"~ predicted, the others measured{more}", style="dim"))
    return Group(*blocks)


def changed(changes: "Mapping[str, Any]") -> str:
    """Changes of a design in words.

    >>> changed({"norm": "layer", "gain": 1.4142, "skip": 1.0}), changed({})
    ('layer norm, gain 1.41, skip', 'as it is')
    """
    said = {
        "norm": lambda value: "no norm" if value == "none" else f"{value} norm",
        "activation": str,
        "init": lambda value: f"{value} weights",
        "gain": lambda value: f"gain {value:.3g}",
        "skip": lambda value: "skip" if value else "no skip",
        "batch": lambda value: f"batch of {value}",
    }
    return ", ".join(said[name](value) for name, value in changes.items()) or "as it is"


def _limit(each: "Alternative") -> str:
    limit = each.limit.estimate
    if math.isinf(limit):
        return "any"
    return (
        "unknown" if math.isnan(limit) else f"over {words.number(1e6)}" if limit > 1e6 else words.number(round(limit))
    )


def _chance(each: "Alternative", depth: int) -> str:
    if depth in each.measured:
        return words.probability(each.measured[depth])
    return f"~{words.probability(each.predicted[depth])}".replace("~below ", "< ").replace("~above ", "> ")
