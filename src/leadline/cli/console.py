"""What is written to the terminal: results to stdout, everything about the run itself to stderr."""

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from rich.console import RenderableType

# Signs of the output -> what stands for them where the encoding of the stream has none of them.
_PLAIN = str.maketrans(
    {"✓": "v", "✗": "x", "·": ".", "…": "...", "−": "-", "–": "-", "×": "x", "∞": "inf", "⋮": ":", "→": ">"}
)


def show(build: "Callable[[int], RenderableType]") -> None:
    """Print to stdout what ``build`` makes for the width of the terminal, in colour where that is a terminal."""
    from rich.console import Console

    console = Console(highlight=False, markup=False, emoji=False)
    with console.capture() as capture:
        console.print(build(console.width))
    write("".join(f"{line.rstrip()}\n" for line in capture.get().splitlines()))


def say(sentence: str, *, kind: str = "error") -> None:
    """Print one sentence to stderr, its kind before it in colour where that is a terminal."""
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True, highlight=False, soft_wrap=True)
    with console.capture() as capture:
        console.print(Text.assemble((f"{kind}: ", "bold red"), " ".join(sentence.split())))
    write(capture.get(), to_stderr=True)


def tell_written(*paths: "Path | None") -> None:
    """Print to stdout which files were written, each on a line of its own; what was not asked for is ``None``."""
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, soft_wrap=True)
    with console.capture() as capture:
        for path in filter(None, paths):
            console.print(Text(f"Written: {path}", style="dim"))
    write(capture.get())


def write(text: str, *, to_stderr: bool = False) -> None:
    """Write ``text`` in what the encoding of the stream holds; a reader that left, as in ``| head``, is no error."""
    stream = sys.stderr if to_stderr else sys.stdout
    encoding = stream.encoding or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        text = text.translate(_PLAIN).encode(encoding, errors="backslashreplace").decode(encoding)
    try:
        stream.write(text)
        stream.flush()
    except BrokenPipeError:
        # The interpreter flushes once more at its end; that goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
