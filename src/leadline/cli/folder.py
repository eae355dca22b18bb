"""A folder of results that is written whole or not at all, and never over what is another's."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from leadline._core.errors import UsageError

# Its presence says that a folder is whole: the last file that is put there, and the first that is taken away.
SEAL = "repair.json"


def check_folder(folder: Path, *, overwrite: bool) -> None:
    """Whether results may be put into ``folder``; worth asking before minutes of work.

    Raises:
        UsageError: If it is a file, may not be written to, or holds files and no earlier results.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"Cannot write to {folder}: it is a file; give the name of a folder.")
    present = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not present.is_dir() or not os.access(present, os.W_OK):
        raise UsageError(f"Cannot write to {folder}: you may not write to {present}.")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / SEAL).is_file() and not overwrite:
        raise UsageError(
            f"The folder {folder} holds files that are no earlier fix; give another, or --overwrite to put "
            f"the results beside them."
        )


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """Yields an empty folder beside ``folder``, whose files take their place there when all went well.

    Other files that ``folder`` holds stay. Nothing is left of what was begun and failed.

    Raises:
        UsageError: If the disk refuses.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}.", suffix=".partial"))
    except OSError as error:
        raise UsageError(f"Cannot write to {folder}: {error.strerror}.") from error
    try:
        yield partial
        for path in (partial, *partial.iterdir()):  # Some libraries write files that only their owner may read.
            path.chmod((0o777 if path.is_dir() else 0o666) & ~_umask())
        if not folder.exists():
            partial.rename(folder)
            return
        (folder / SEAL).unlink(missing_ok=True)
        for path in sorted(partial.iterdir(), key=lambda path: path.name == SEAL):
            path.replace(folder / path.name)
    except OSError as error:
        raise UsageError(f"Cannot write to {folder}: {error.strerror or error}.") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
