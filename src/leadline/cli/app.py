"""The commands together, and what each of them owes its caller: an exit status and, where it fails, one sentence."""

import inspect
import signal
import sys
import textwrap
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer

from leadline._core.errors import AssumptionError, MissingExtraError, UsageError
from leadline._version import __version__
from leadline.cli.check import check
from leadline.cli.console import say
from leadline.cli.data import app as data
from leadline.cli.figure import figure
from leadline.cli.fix import fix
from leadline.cli.reproduce import reproduce
from leadline.cli.simulate import simulate
from leadline.cli.sweep import sweep
from leadline.cli.train import train

HEALTHY, ERROR_FOUND, WRONG_CALL, BUG, INTERRUPTED = 0, 1, 2, 3, 130
# Base of what typer raises for an unknown option, a missing argument, a value of the wrong type; it has no public name.
_WrongArguments: type[Exception] = typer.BadParameter.__mro__[1]

app = typer.Typer(
    name="leadline",
    help="Sounds deep networks: measures signals and gradients through any PyTorch model, explains, and repairs.",
    epilog="Exit status: 0 healthy, repaired or done; 1 an error-level finding, a claim that fails, a cell that failed "
    "or a loss that is no finite number; 2 a wrong call; 3 a bug of leadline; 130 interrupted.",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(check)
app.command()(fix)
app.command()(train)
app.command()(simulate)
app.command()(reproduce)
app.command()(figure)
app.add_typer(data, name="data")
app.add_typer(sweep, name="sweep")


def _show_version(asked: bool) -> bool:
    if asked:
        typer.echo(f"leadline {__version__}")
        raise typer.Exit(HEALTHY)
    return asked


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """What stands before a command."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: The words after ``leadline``; those of the process where left out.

    Returns:
        The exit status, as ``leadline --help`` tells it.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    with _noted_interrupts() as interrupted:
        try:
            command = _helpful(typer.main.get_command(app))
            status = command(arguments or ["--help"], prog_name="leadline", standalone_mode=False) or HEALTHY
        except (KeyboardInterrupt, typer.Abort):
            status = INTERRUPTED
        except (
            Exception
        ) as error:  # The last line of defence: whatever happens, the caller gets a sentence and a status.
            status = INTERRUPTED if interrupted() else _told(error, with_traceback="--traceback" in arguments)
    if status == INTERRUPTED:
        say("Interrupted; nothing was left half-written.", kind="leadline")
    return status if arguments else WRONG_CALL


def _helpful(command: Any, parent: Any = None) -> Any:
    """``command`` whose help wraps each paragraph as a whole, and shows no value behind options that take none."""
    command.help = "\n\n".join(" ".join(part.split()) for part in inspect.cleandoc(command.help or "").split("\n\n"))
    context = typer.Context(command, parent=parent, **command.context_settings)
    for option in command.get_params(context):
        if getattr(option, "is_flag", False):
            option.metavar = ""
    for inner in getattr(command, "commands", {}).values():
        _helpful(inner, context)
    return command


@contextmanager
def _noted_interrupts() -> Iterator[Callable[[], bool]]:
    """Ctrl-C raises as ever and is remembered: torch, while it is being imported, makes another error of it."""
    seen = threading.Event()

    def interrupt(signal_number: int, frame: FrameType | None) -> None:
        seen.set()
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield seen.is_set
    finally:
        signal.signal(signal.SIGINT, before)


def _told(error: Exception, *, with_traceback: bool) -> int:
    """Say what went wrong; the exit status of it."""
    if with_traceback:
        traceback.print_exception(error)
    status, sentence = _explained(error)
    say(sentence)
    return status


def _explained(error: Exception) -> tuple[int, str]:
    """The exit status and the sentence of an error."""
    if isinstance(error, _WrongArguments):
        sentence = error.format_message()  # pyright: ignore[reportAttributeAccessIssue]
        return WRONG_CALL, sentence if sentence.endswith((".", "?")) else f"{sentence}."
    if isinstance(error, (UsageError, MissingExtraError, AssumptionError)):
        return WRONG_CALL, str(error)
    place = traceback.extract_tb(error.__traceback__)[-1]
    what = f"{type(error).__name__}: {textwrap.shorten(str(error), 200)} ({Path(place.filename).name}:{place.lineno})"
    return BUG, (
        f"leadline failed, which is a bug of leadline: {what}. "
        "Please report it with what --traceback adds to this call shows."
    )
