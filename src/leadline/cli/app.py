"""The commands together, and what each of them owes its caller: an exit status and, where it fails, one sentence."""

import sys
import textwrap
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from leadline._core.errors import AssumptionError, MissingExtraError, UsageError
from leadline._version import __version__
from leadline.cli.check import check
from leadline.cli.console import say

HEALTHY, ERROR_FOUND, WRONG_CALL, BUG, INTERRUPTED = 0, 1, 2, 3, 130
# Base of what typer raises for an unknown option, a missing argument, a value of the wrong type; it has no public name.
_WrongArguments: type[Exception] = typer.BadParameter.__mro__[1]

app = typer.Typer(
    name="leadline",
    help="Sounds deep networks: measures signals and gradients through any PyTorch model and explains what it finds.",
    epilog="Exit status: 0 healthy, 1 an error-level finding, 2 a wrong call, 3 a bug of leadline, 130 interrupted.",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(check)


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
        The exit status: 0 healthy or done, 1 an error-level finding, 2 a wrong call, 3 a bug of leadline,
        130 interrupted.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    try:
        status = typer.main.get_command(app)(arguments or ["--help"], prog_name="leadline", standalone_mode=False)
        if not arguments:
            return WRONG_CALL
    except (KeyboardInterrupt, typer.Abort):
        status = INTERRUPTED
    except Exception as error:  # The last line of defence: whatever happens, the caller gets a sentence and a status.
        if "--traceback" in arguments:
            traceback.print_exception(error)
        status, sentence = _explained(error)
        say(sentence)
    if status == INTERRUPTED:
        say("Interrupted; no report was left half-written.", kind="leadline")
    return status or HEALTHY


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
