"""`leadline sweep`: run a sweep, see how far it is, and take its results out as tables and figures."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from leadline._core.errors import UsageError
from leadline._core.wording import count
from leadline.cli import options
from leadline.cli.console import show, tell_written

if TYPE_CHECKING:
    from rich.console import RenderableType

    from leadline.studies.sweeps.running import Tally
    from leadline.studies.sweeps.store import Store

sweep = typer.Typer(help="Measure or train many networks of one design; resume, look, export, draw.")

File = Annotated[Path, typer.Argument(metavar="FILE", help="The sweep, as YAML.")]
StorePath = Annotated[Path, typer.Argument(metavar="STORE", help="The SQLite file of the results.")]
Into = Annotated[Path, typer.Option("--store", metavar="STORE", help="SQLite file that takes the results.")]
Engine = Annotated[str, typer.Option(metavar="local|ray", help="Processes of this machine, or tasks of Ray.")]
Address = Annotated[str | None, typer.Option(metavar="ADDRESS", help="Of a running Ray cluster.")]
Jobs = Annotated[int | None, typer.Option(metavar="N", help="Cells at once; by default one a CPU.")]
CellsPerTask = Annotated[int, typer.Option(metavar="N", help="Cells that a worker measures before it answers.")]
Shard = Annotated[str | None, typer.Option(metavar="I/N", help="Only the I-th of N parts, e.g. 3/64.")]
RetryFailed = Annotated[bool, typer.Option("--retry-failed", help="Measure cells that failed once more.")]
Rows = Annotated[str, typer.Option(metavar="cells|layers|losses", help="What a row is.")]
Kind = Annotated[str, typer.Option(metavar="rates|phase|scaling", help="Which figure.")]
Metric = Annotated[str | None, typer.Option(metavar="NAME", help="What is drawn; by default what suits the figure.")]
AxisX = Annotated[str | None, typer.Option("--x", metavar="OPTION", help="Horizontal axis.")]
AxisY = Annotated[str | None, typer.Option("--y", metavar="OPTION", help="Vertical axis of a phase diagram.")]
Html = Annotated[Path, typer.Option("--out", "-o", metavar="PATH", help="The page.")]


@sweep.command("run")
def run_command(
    file: File,
    store: Into,
    engine: Engine = "local",
    address: Address = None,
    jobs: Jobs = None,
    cells_per_task: CellsPerTask = 1,
    shard: Shard = None,
    retry_failed: RetryFailed = False,
    traceback: options.Traceback = False,  # Read by `main`, which is where errors end.
) -> None:
    """Measure what STORE lacks of the sweep in FILE; interrupted, the same call goes on.

    Exit status 1 where a cell failed, 0 otherwise.
    """
    part = _part(shard)
    with redirect_stdout(sys.stderr):
        from leadline.studies import sweeps

        plan = sweeps.read_sweep(file)
        with _progress() as tell:
            tally = sweeps.run(
                plan,
                store,
                engine=engine,
                address=address,
                jobs=jobs,
                cells_per_task=cells_per_task,
                shard=part,
                retry_failed=retry_failed,
                on_progress=tell,
            )
        with sweeps.Store(store) as opened:
            errors = opened.errors() if tally.failed else []
    show(lambda width: _sentences(tally, errors, store))
    raise typer.Exit(1 if tally.failed else 0)


@sweep.command("status")
def status_command(store: StorePath, traceback: options.Traceback = False) -> None:
    """How many cells of STORE are done, pending and failed, and why they failed."""
    from leadline.studies.sweeps.store import Store

    with Store(store) as opened:
        show(lambda width: _status(opened, width))


@sweep.command("export")
def export_command(
    store: StorePath,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="File that ends in .parquet or .csv.")],
    rows: Rows = "cells",
    traceback: options.Traceback = False,
) -> None:
    """Write the results of STORE as a tidy table: a row a cell, a layer, or a step of training."""
    options.check_destinations(out=out)
    from leadline.studies import sweeps

    with sweeps.Store(store) as opened:
        written = sweeps.export(opened, out, rows)
    tell_written(written)


@sweep.command("plot")
def plot_command(
    store: StorePath,
    out: Html,
    kind: Kind = "rates",
    metric: Metric = None,
    x: AxisX = None,
    y: AxisY = None,
    traceback: options.Traceback = False,
) -> None:
    """Draw the results of STORE as a page: lines over seeds, a map of two axes, or a power law."""
    options.check_destinations(out=out)
    from leadline.studies import sweeps
    from leadline.studies.sweeps.figures import plot

    with sweeps.Store(store) as opened:
        cells = sweeps.frame(opened)
    tell_written(plot(cells, out, kind=kind, metric=metric, x=x, y=y))


@sweep.command("merge")
def merge_command(
    parts: Annotated[list[Path], typer.Argument(metavar="STORE…", help="Stores of shards.")],
    into: Into,
    traceback: options.Traceback = False,
) -> None:
    """Put stores together that were filled with --shard."""
    from leadline.studies import sweeps

    sweeps.merge(parts, into)
    with sweeps.Store(into) as opened:
        show(lambda width: _status(opened, width))


def _part(shard: str | None) -> tuple[int, int] | None:
    if shard is None:
        return None
    part, slash, parts = shard.partition("/")
    if not (slash and part.isdecimal() and parts.isdecimal() and 1 <= int(part) <= int(parts)):
        raise UsageError(f"--shard is a part of a number of parts, such as 3/64; got {shard!r}.")
    return int(part), int(parts)


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None] | None]:
    """Cells done and the time that is left, on stderr and only where that is a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("Cells"), BarColumn(30), MofNCompleteColumn(), TextColumn("left"), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True, speed_estimate_period=300) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _sentences(tally: "Tally", errors: list[tuple[str, str, int]], store: Path) -> "RenderableType":
    from rich.console import Group
    from rich.text import Text

    head = (
        f"{count(tally.cells, 'cell')}: {tally.done} measured, {tally.found} found in {store}, {tally.failed} failed."
    )
    lines = [Text(head, style="bold")]
    if errors:
        kind, error, times = errors[0]
        lines.append(Text(f"{times} failed with {kind}: {error}"))
        lines.append(Text(f"leadline sweep status {store} lists them all; --retry-failed tries again.", style="dim"))
    return Group(*lines)


def _status(store: "Store", width: int) -> "RenderableType":
    """The states of the cells by design and measure, and the errors below."""
    from rich.console import Group
    from rich.text import Text

    from leadline._core.wording import number
    from leadline.reporting.terminal_table import Column, fitted_table, printable
    from leadline.studies.sweeps.store import STATES

    tally = store.tally()
    kinds = sorted({key[:2] for key in tally})
    table = [
        Column(header="design", cells=[design for design, _ in kinds], justify="left", elastic=True, importance=9),
        Column(header="measure", cells=[measure for _, measure in kinds], justify="left", importance=8),
        *(
            Column(header=state, cells=[number(tally.get((*kind, state), 0)) for kind in kinds], importance=7)
            for state in STATES
        ),
    ]
    counts = store.counts()
    seconds = store.mean_seconds()
    total = f"{count(sum(counts.values()), 'cell')}: " + ", ".join(f"{n} {state}" for state, n in counts.items())
    mean = f"; {number(seconds)} s a cell on one thread" if counts["done"] else ""
    errors = [
        Text(f"{times}× {kind}: {printable(error)}", overflow="ellipsis", no_wrap=True)
        for kind, error, times in store.errors()
    ]
    return Group(*([fitted_table(table, width=width)] if kinds else []), *errors, Text(f"{total}{mean}.", style="bold"))
