"""Where data sets lie: the folder of the call, the one in the environment, or the cache of the platform."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from leadline._core.errors import UsageError
from leadline.data.catalogue import DataSet
from leadline.data.cifar import Form, find_cifar

VARIABLE = "LEADLINE_DATA"


@dataclass(frozen=True, kw_only=True)
class Found:
    """Where a data set lies.

    Attributes:
        where: Its folder or archive.
        form: The form of CIFAR, or ``None`` for IDX.
    """

    where: Path
    form: Form | None = None


def data_folder(folder: str | Path | None = None) -> Path:
    """The folder of data sets: ``folder``, else what ``LEADLINE_DATA`` names, else leadline's cache.

    The cache is ``~/.cache/leadline`` (or below ``XDG_CACHE_HOME``), on macOS ``~/Library/Caches/leadline``, on Windows
    ``leadline`` below ``LOCALAPPDATA``. The folder need not exist.

    Example:
        >>> data_folder("images").name
        'images'
    """
    if folder is not None:
        return Path(folder).expanduser()
    if os.environ.get(VARIABLE):
        return Path(os.environ[VARIABLE]).expanduser()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "leadline"


def find(wanted: DataSet, folder: str | Path | None = None) -> Found | None:
    """Where the files of ``wanted`` lie, or ``None``.

    Looked for in the usual folders below the folder of data sets. Only a folder that the call names may also hold the
    files itself: MNIST and Fashion-MNIST have files of the same names, which the folder must tell apart.
    """
    root = data_folder(folder)
    places = [root / below for below in wanted.folders]
    if wanted.form == "idx":
        places += [root, root / "raw"] if folder is not None else []
        return next((Found(where=place) for place in places if _has_idx(place)), None)
    for place in places:
        cifar = find_cifar(place, wanted.form)
        if cifar:
            return Found(form=cifar[0], where=cifar[1])
    return None


def idx_file(place: Path, split: str, what: str) -> Path | None:
    """The file of one part, gzipped or not; unpackers write a point for its second hyphen."""
    part = "train" if split == "train" else "t10k"
    kind = {"images": "idx3", "labels": "idx1"}[what]
    names = (f"{part}-{what}{joint}{kind}-ubyte{end}" for end in ("", ".gz") for joint in "-.")
    return next((place / name for name in names if (place / name).is_file()), None)


def absent(wanted: DataSet, folder: str | Path | None = None) -> UsageError:
    """The error that says which file to put where."""
    root = data_folder(folder)
    return UsageError(
        f"{wanted.name} is not in {root}: run `leadline data fetch {wanted.name}`, or put "
        f"{', '.join(wanted.files)} into {root / wanted.name}, or set {VARIABLE} to the folder that has {wanted.name}."
    )


def _has_idx(place: Path) -> bool:
    return any(idx_file(place, split, "images") for split in ("train", "test"))
