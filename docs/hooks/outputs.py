"""What a command shown on a page prints, put below it while the pages are built, so that it cannot go stale."""

import contextlib
import functools
import io
import os
import re
import shlex

_COMMAND = re.compile(r"^```console\n\$ leadline (?P<words>.+)\n```$", re.MULTILINE)
_COLUMNS = "80"


def on_page_markdown(markdown: str, **kwargs: object) -> str:
    """The page with the output of every block that is one ``leadline`` command."""
    return _COMMAND.sub(lambda found: _with_output(found["words"]), markdown)


def _with_output(words: str) -> str:
    return f"```console\n$ leadline {words}\n```\n\n```text\n{output(words)}```"


@functools.cache
def output(words: str) -> str:
    """What ``leadline`` with these words prints on 80 columns."""
    from leadline.cli import main

    written, columns = io.StringIO(), os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = _COLUMNS
    try:
        with contextlib.redirect_stdout(written):
            status = main(shlex.split(words))
    finally:
        if columns is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = columns
    if status not in (0, 1):
        raise RuntimeError(f"`leadline {words}` ended with status {status}.")
    return written.getvalue()
