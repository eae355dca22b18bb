"""CIFAR-10 and CIFAR-100 in the forms that they are published in: pickles, records of bytes, archives of both."""

import tarfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from leadline._core.errors import UsageError
from leadline.data.catalogue import Split
from leadline.data.unpickling import PickledArray, read_pickle

_SHAPE = (3, 32, 32)
_PIXELS = 3 * 32 * 32


@dataclass(frozen=True, kw_only=True)
class Form:
    """One published form of a data set.

    Attributes:
        folder: The folder that it unpacks to.
        archive: The archive of that folder.
        parts: Part of the data -> names of its files.
        labels: Key of the labels in a pickle, or nothing for records of bytes.
        label_bytes: Bytes of labels that a record begins with; the last of them counts.
        classes: Number of labels.
    """

    folder: str
    archive: str
    parts: Mapping[Split, tuple[str, ...]]
    labels: str = ""
    label_bytes: int = 1
    classes: int


_BATCHES = tuple(f"data_batch_{i}" for i in range(1, 6))
FORMS: dict[str, tuple[Form, ...]] = {
    "cifar10": (
        Form(
            folder="cifar-10-batches-py",
            archive="cifar-10-python.tar.gz",
            parts={"train": _BATCHES, "test": ("test_batch",)},
            labels="labels",
            classes=10,
        ),
        Form(
            folder="cifar-10-batches-bin",
            archive="cifar-10-binary.tar.gz",
            parts={"train": tuple(f"{name}.bin" for name in _BATCHES), "test": ("test_batch.bin",)},
            classes=10,
        ),
    ),
    "cifar100": (
        Form(
            folder="cifar-100-python",
            archive="cifar-100-python.tar.gz",
            parts={"train": ("train",), "test": ("test",)},
            labels="fine_labels",
            classes=100,
        ),
        Form(
            folder="cifar-100-binary",
            archive="cifar-100-binary.tar.gz",
            parts={"train": ("train.bin",), "test": ("test.bin",)},
            label_bytes=2,
            classes=100,
        ),
    ),
}


def find_cifar(place: Path, name: str) -> tuple[Form, Path] | None:
    """The first form that ``place`` has, and its folder or archive; ``place`` may be the unpacked folder itself."""
    for form in FORMS[name]:
        for folder in (place / form.folder, place):
            if any((folder / file).is_file() for part in form.parts.values() for file in part):
                return form, folder
        if (place / form.archive).is_file():
            return form, place / form.archive
    return None


def read_cifar(form: Form, where: Path, split: Split) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels of one part.

    Args:
        form: How they are written.
        where: The unpacked folder, or the archive, which is read in place and never unpacked.
        split: The part.

    Returns:
        Images ``(n, 3, 32, 32)`` and labels ``(n,)``, both uint8.

    Raises:
        UsageError: If a file is missing, cut short, damaged, or holds what is no CIFAR.
    """
    names = form.parts[split]
    contents = _from_archive(where, names) if where.is_file() else _from_folder(where, names)
    read = _records if not form.labels else _pickled
    parts = [read(content, form, f"{name} in {where}") for name, content in zip(names, contents, strict=True)]
    images, labels = (np.concatenate(each) for each in zip(*parts, strict=True))
    if labels.size and labels.max() >= form.classes:
        raise UsageError(
            f"Labels in {where} must be below {form.classes}; the largest is {labels.max()}. "
            "Put the published files in their place."
        )
    return images, labels


def _from_folder(folder: Path, names: tuple[str, ...]) -> list[bytes]:
    return [_opened(folder / name, Path.read_bytes) for name in names]


def _from_archive(archive: Path, names: tuple[str, ...]) -> list[bytes]:
    def members(path: Path) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        with tarfile.open(path, "r:*") as tar:
            for member in tar:
                name = PurePosixPath(member.name).name
                content = tar.extractfile(member) if name in names and member.isfile() else None
                if content is not None:
                    found[name] = content.read()
        return found

    found = _opened(archive, members)
    missing = [name for name in names if name not in found]
    if missing:
        raise UsageError(f"{archive} must hold {', '.join(names)}; {', '.join(missing)} is missing. Fetch it again.")
    return [found[name] for name in names]


def _opened(path: Path, read: Callable[[Path], Any]) -> Any:
    try:
        return read(path)
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise UsageError(f"{path} is no sound archive ({error}); fetch it again.") from error
    except OSError as error:  # A wrong checksum of gzip is one as well, without a number.
        raise UsageError(f"{path} cannot be read ({error.strerror or error}); put the published file there.") from error


def _records(content: bytes, form: Form, whose: str) -> tuple[np.ndarray, np.ndarray]:
    length = form.label_bytes + _PIXELS
    if not content or len(content) % length:
        raise UsageError(
            f"{whose} must hold whole records of {length} bytes; it holds {len(content)} bytes, so it is cut short or "
            "of another kind. Fetch it again."
        )
    rows = np.frombuffer(content, np.uint8).reshape(-1, length)
    return rows[:, form.label_bytes :].reshape(-1, *_SHAPE), rows[:, form.label_bytes - 1]


def _pickled(content: bytes, form: Form, whose: str) -> tuple[np.ndarray, np.ndarray]:
    found = read_pickle(content, whose=whose)
    entries = {_text(key): value for key, value in found.items()} if isinstance(found, dict) else {}
    data, labels = entries.get("data"), entries.get(form.labels)
    if not isinstance(data, PickledArray) or not isinstance(labels, list):
        raise UsageError(
            f"{whose} must hold an array 'data' and a list '{form.labels}'; it holds "
            f"{', '.join(map(str, entries)) or 'neither'}. Put the published file in its place."
        )
    if data.value.ndim != 2 or data.value.shape[1] != _PIXELS or len(labels) != len(data.value):
        raise UsageError(
            f"{whose} must hold rows of {_PIXELS} bytes and a label for each; it holds an array of shape "
            f"{data.value.shape} and {len(labels)} labels. Fetch it again."
        )
    if not all(isinstance(label, int) and 0 <= label < 256 for label in labels):
        raise UsageError(f"{whose} must hold labels from 0 to {form.classes - 1}; others are among them.")
    return data.value.reshape(-1, *_SHAPE), np.array(labels, np.uint8)


def _text(key: object) -> str:
    return key.decode("latin1") if isinstance(key, bytes) else str(key)
