"""Tables of a page out of the code they speak of, in the place of a comment that names them."""

import json
import math
import re
from functools import partial
from pathlib import Path

import typer

from leadline._core.profile import METRICS
from leadline._core.wording import number
from leadline.cli.app import app
from leadline.studies import claims
from leadline.targets import designs
from leadline.theory import ACTIVATIONS, TORCH_NAMES

_VERDICTS = Path(__file__).parents[1] / "claims.json"
_PLACE = re.compile(r"^<!-- table: (?P<name>[\w ]+) -->$", re.MULTILINE)


def on_page_markdown(markdown: str, **kwargs: object) -> str:
    """The page with its tables."""
    return _PLACE.sub(lambda found: _TABLES[found["name"]](), markdown)


def options(name: str = "check") -> str:
    """Every option of a command of ``leadline``."""
    command = typer.main.get_command(app).commands[name]  # pyright: ignore[reportAttributeAccessIssue]
    rows = []
    for option in command.params:
        if option.param_type_name == "option":
            values = f" <code>{option.metavar}</code>".replace("|", "&#124;") if option.metavar else ""
            name = f"`{option.opts[0]}`{values}"
            default = "" if option.default is False or option.default in (None, "") else f"`{option.default}`"
            rows.append((name, option.help, default))
    return _table(("option", "meaning", "default"), rows)


def built_in_designs() -> str:
    """Every built-in design with its options."""
    rows = [
        (f"`{each.name}`", each.description, "<br>".join(f"`{option}`" for option in each.options))
        for each in designs()
    ]
    return _table(("design", "what it is", "options with their defaults"), rows)


def metrics() -> str:
    """The names of all numbers of a layer."""
    return ", ".join(f"`{name}`" for name in METRICS) + "."


def activations() -> str:
    """The activations that theory knows, with torch's names."""
    torch_names = {name: [t for t, known in TORCH_NAMES.items() if known == name] for name in ACTIVATIONS}
    rows = [(f"`{name}`", ", ".join(f"`{each}`" for each in found)) for name, found in torch_names.items()]
    return _table(("name", "modules it stands for"), rows)


def verdicts() -> str:
    """What the last committed run of every claim came to, from the file that ``leadline reproduce --json`` wrote."""
    statements = {claim.id: claim for claim in claims()}
    rows = []
    for found in json.loads(_VERDICTS.read_text(encoding="utf-8"))["claims"]:
        claim = statements[found["id"]]
        deciding = (part["name"] for part in found["parts"] if [part["low"], part["high"]] == found["interval"])
        name = next(deciding, "")
        words = f"{name}: {_interval(found['interval'])}, {_limits(found['expected'])}" if name else ""
        reason = found["reason"] or words
        cells = (claim.id, claim.statement, claim.source.locator, found["verdict"], reason)
        rows.append(tuple(cell.replace("|", "&#124;") for cell in cells))
    return _table(("claim", "states", "where", "verdict", "what decides, 99 % interval, limits"), rows)


def _interval(ends: list[float]) -> str:
    low, high = (number(float(end)) for end in ends)
    return low if low == high else f"{low} to {high}"


def _limits(ends: list[float]) -> str:
    low, high = map(float, ends)
    if math.isinf(low):
        return "any" if math.isinf(high) else f"at most {number(high)}"
    return f"at least {number(low)}" if math.isinf(high) else f"{number(low)} to {number(high)}"


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ("---",) * len(head), *rows))


_TABLES = {
    "verdicts": verdicts,
    "options": options,
    "options of fix": partial(options, "fix"),
    "options of train": partial(options, "train"),
    "options of simulate": partial(options, "simulate"),
    "options of reproduce": partial(options, "reproduce"),
    "options of figure": partial(options, "figure"),
    "designs": built_in_designs,
    "metrics": metrics,
    "activations": activations,
}
