"""`leadline data`: which data sets there are, where they lie, and how to get them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from leadline.cli import options
from leadline.cli.console import show
from leadline.cli.progress import progress

if TYPE_CHECKING:
    from rich.console import RenderableType

app = typer.Typer(help="Image data sets: what there is, where it lies, how to get it.")
Folder = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="The folder of data sets; by default LEADLINE_DATA, else the cache."),
]


@app.command(name="list")
def list_data(folder: Folder = None, traceback: options.Traceback = False) -> None:
    """List the data sets that --data takes, and where their files lie."""
    show(lambda width: _table(folder, width=width))


@app.command()
def fetch(
    name: Annotated[str, typer.Argument(metavar="NAME", help="mnist, fashion-mnist, cifar10 or cifar100.")],
    folder: Folder = None,
    traceback: options.Traceback = False,
) -> None:
    """Download a data set, go on with what an interrupted download left, and check it by its published MD5."""
    with progress() as step:
        step("Loading torch")
        from rich.text import Text

        from leadline import data

        place = data.fetch(name, folder, on_progress=lambda file, done, total: step(f"Fetching {file}", done, total))
    show(lambda width: Text(f"{name} is in {place}."))


def _table(folder: Path | None, *, width: int) -> "RenderableType":
    from rich.console import Group
    from rich.text import Text

    from leadline.data.catalogue import data_set, known
    from leadline.data.folders import data_folder, find
    from leadline.reporting.terminal_table import Column, fitted_table
    from leadline.targets.plan import times

    sets = [data_set(name) for name in known()]
    cells = []
    for each in sets:
        found = find(each, folder) if each.remotes else None
        cells.append("needs no files" if not each.remotes else str(found.where) if found else "not found")
    columns = [
        Column(header="name", cells=[each.name for each in sets], justify="left", importance=9),
        Column(header="train", cells=[str(each.sizes[0]) for each in sets], importance=6),
        Column(header="test", cells=[str(each.sizes[1]) for each in sets], importance=5),
        Column(header="image", cells=[times(each.shape) for each in sets], importance=7),
        Column(header="classes", cells=[str(each.classes) for each in sets], importance=4),
        Column(header="where", cells=cells, justify="left", elastic=True, importance=8),
    ]
    advice = f"What is not found: `leadline data fetch NAME`, or put its files into {data_folder(folder) / 'NAME'}."
    return Group(fitted_table(columns, width=width), Text(advice, style="dim"))
