"""Downloads of data sets: gone on with where they stopped, checked, and put in place whole or not at all."""

import hashlib
import http.client
import os
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from leadline._core.errors import UsageError
from leadline._core.names import check_choice
from leadline.data.catalogue import DataSet, Remote, data_set, known
from leadline.data.folders import data_folder

_CHUNK, _PATIENCE = 1 << 16, 30.0
_NETWORK = (OSError, http.client.HTTPException)

OnProgress = Callable[[str, int, int | None], None]


def fetch(name: str, folder: str | Path | None = None, *, on_progress: OnProgress | None = None) -> Path:
    """Download the files of a data set that are not there yet, and check them by the MD5 that is published.

    A file is written beside its place as ``NAME.part`` and moved when it is whole and right. What an interrupted
    download left is gone on with, where the server can.

    Args:
        name: Name of the data set, such as ``"mnist"``.
        folder: The folder of data sets, as of ``load``; the files come into ``folder/name``.
        on_progress: Told the file at hand, the bytes of it that are there, and all it has (``None`` if unknown).

    Returns:
        The folder with the files.

    Raises:
        UsageError: If there is no such data set or it needs no files, no server answers, the download breaks off, a
            checksum is wrong, or the folder cannot be written to. The message says what to do.

    Example:
        >>> fetch("digits")
        Traceback (most recent call last):
        leadline._core.errors.UsageError: digits needs no files; load it as it is.
    """
    fetched = [each for each in known() if data_set(each).remotes]
    if name in known() and name not in fetched:
        raise UsageError(f"{name} needs no files; load it as it is.")
    wanted = data_set(check_choice("The data set", name, fetched))
    place = data_folder(folder) / name
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{place} cannot be made a folder ({error.strerror}); choose another one.") from error
    for remote in wanted.remotes:
        _fetch_file(wanted, remote, place, on_progress or (lambda file, done, total: None))
    return place


def _fetch_file(wanted: DataSet, remote: Remote, place: Path, on_progress: OnProgress) -> None:
    path, part = place / remote.name, place / f"{remote.name}.part"
    if path.is_file() and _md5(path) == remote.md5:
        return
    failures: list[str] = []
    for mirror in remote.mirrors:
        try:
            _download(mirror + remote.name, part, lambda done, total: on_progress(remote.name, done, total))
        except _NETWORK as error:
            failures.append(
                f"{mirror.split('/')[2]}: {getattr(error, 'reason', None) or error or type(error).__name__}"
            )
            continue
        found = _md5(part)
        if found == remote.md5:
            os.replace(part, path)
            return
        part.unlink()
        failures.append(f"{mirror.split('/')[2]}: the MD5 must be {remote.md5}, got {found}")
    kept = f" ({part.stat().st_size} bytes are kept)" if part.is_file() else ""
    raise UsageError(
        f"{remote.name} of {wanted.name} could not be fetched ({'; '.join(failures)}); run it again with a "
        f"network{kept}, or copy {', '.join(wanted.files)} from a machine that has one into {place}."
    )


def _download(address: str, part: Path, on_progress: Callable[[int, int | None], None]) -> None:
    """Append to ``part`` what it lacks; an error of the network leaves what has come."""
    there = part.stat().st_size if part.is_file() else 0
    request = urllib.request.Request(address, headers={"Range": f"bytes={there}-"} if there else {})
    try:
        response = urllib.request.urlopen(request, timeout=_PATIENCE)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
            return  # Nothing is lacking; the checksum tells whether what is there is right.
        raise OSError(f"the server answered {error.code}") from error
    with response:
        going_on = response.status == http.client.PARTIAL_CONTENT
        done = there if going_on else 0
        length = response.headers.get("Content-Length")
        total = None if length is None else done + int(length)
        with part.open("ab" if going_on else "wb") as file:
            done = _copied(response, file, done, total, on_progress)
    if total is not None and done < total:
        raise OSError(f"the download broke off after {done} of {total} bytes")


def _copied(
    response: http.client.HTTPResponse,
    file: BinaryIO,
    done: int,
    total: int | None,
    on_progress: Callable[[int, int | None], None],
) -> int:
    while chunk := response.read(_CHUNK):
        file.write(chunk)
        done += len(chunk)
        on_progress(done, total)
    return done


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
