"""Changes of a design, and how deep it then goes, in words."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from leadline._core.wording import reach
from leadline.reporting import words

if TYPE_CHECKING:
    from leadline.doctor.changes import Alternative

# Alternatives that are seen at once.
SHOWN = 12
KEY = "~ predicted, the others measured"


def title(unit: str) -> str:
    """What the table is of.

    >>> title("block")
    'What if: blocks that the design carries, and the probability that it trains at a depth'
    """
    return f"What if: {unit}s that the design carries, and the probability that it trains at a depth"


def stood_in(design: str) -> str:
    """Which network stood for the model.

    >>> stood_in("mlp:depth=20")
    'Of mlp:depth=20, a perceptron of the same parts.'
    """
    return f"Of {design}, a perceptron of the same parts."


def changed(changes: Mapping[str, Any]) -> str:
    """Changes of a design.

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


def carried(each: "Alternative") -> str:
    """How many links of it train."""
    limit = each.limit.estimate
    return "any" if math.isinf(limit) else "unknown" if math.isnan(limit) else reach(limit)


def chance(each: "Alternative", depth: int) -> str:
    """The probability that it trains at the depth; behind ``~`` where it was predicted and not measured."""
    mark, score = ("", each.measured[depth]) if depth in each.measured else ("~", each.predicted[depth])
    return mark + words.probability(score).replace("below ", "< ").replace("above ", "> ")
