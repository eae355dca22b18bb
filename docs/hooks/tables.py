"""Tables of a page out of the code they speak of, in the place of a comment that names them."""

import re
from functools import partial

import typer

from leadline._core.profile import METRICS
from leadline.cli.app import app
from leadline.targets import designs
from leadline.theory import ACTIVATIONS, TORCH_NAMES

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
            default = "" if option.default in (None, False) else f"`{option.default}`"
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


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ("---",) * len(head), *rows))


_TABLES = {
    "options": options,
    "options of fix": partial(options, "fix"),
    "options of simulate": partial(options, "simulate"),
    "options of reproduce": partial(options, "reproduce"),
    "designs": built_in_designs,
    "metrics": metrics,
    "activations": activations,
}
