"""`leadline figure`: figures of the papers, drawn again beside the published points."""

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from leadline._core.errors import UsageError
from leadline._core.records import to_json, write_json
from leadline.cli import options
from leadline.cli.console import show, tell_written, write
from leadline.cli.progress import progress

if TYPE_CHECKING:
    from rich.console import RenderableType

SCHEMA = 1
Wanted = Annotated[
    str | None, typer.Argument(metavar="FIGURE", help="Letter of the paper and name, such as A.fig1 or D.tab1.")
]
Listed = Annotated[bool, typer.Option("--list", help="Only name the figures.")]
FigureSeed = Annotated[int, typer.Option(metavar="N", help="Of everything random.")]
Page = Annotated[Path | None, typer.Option(metavar="PATH", help="The page; by default FIGURE.html here.")]


def figure(
    wanted: Wanted = None,
    listed: Listed = False,
    seed: FigureSeed = 0,
    html: Page = None,
    json: options.Json = None,
    traceback: options.Traceback = False,  # Read by `main`, which is where errors end.
) -> None:
    """Draw a figure of the papers again: ours over the published points, as a page and in numbers."""
    options.check_destinations(json=json, html=html)
    if listed:
        options.check_list(json=json, html=html)
        show(_list)
        return
    if not wanted:
        raise UsageError("Which figure? Give a name such as A.fig1; `leadline figure --list` has them all.")
    with progress() as step, redirect_stdout(sys.stderr):
        step("Loading torch")
        import leadline
        from leadline import studies
        from leadline.reporting.terminal_figures import figure_table

        step(f"Drawing {wanted}")
        found = studies.draw(wanted, seed=seed)
        page = leadline.report(found, html or f"{found.id}.html")
        document = {"schema": SCHEMA, "figure": found}
        if json and json != options.STDOUT:
            write_json(document, json)
    if json == options.STDOUT:
        write(to_json(document))
    else:
        show(lambda width: figure_table(found, width=width))
        tell_written(json, page)


def _list(width: int) -> "RenderableType":
    from leadline import studies
    from leadline.reporting.terminal_figures import figure_list

    return figure_list(studies.figures(), width=width)
