"""IDX, the format of the MNIST family: a head with the number of axes and their lengths, then the bytes."""

import gzip
import math
import zlib
from pathlib import Path

import numpy as np

from leadline._core.errors import UsageError

_GZIP, _UINT8 = b"\x1f\x8b", 8


def read_idx(path: Path, *, axes: int) -> np.ndarray:
    """The unsigned bytes in an IDX file, gzipped or not.

    The head is two zero bytes, the code 8 of unsigned bytes, the number of axes, and the length of each as four bytes,
    the highest first.

    Args:
        path: The file; gzip is told by its first two bytes, not by its name.
        axes: Axes that are expected: 3 for images, 1 for labels.

    Returns:
        An array of uint8, read-only.

    Raises:
        UsageError: If the file cannot be read, is no sound gzip or IDX file, or has another length than its head says.

    Source:
        LeCun, Cortes and Burges, "The MNIST database", section "File formats".
    """
    content = _content(path)
    head = 4 + 4 * axes
    if content[:4] != bytes((0, 0, _UINT8, axes)):
        raise UsageError(
            f"{path} must be an IDX file of unsigned bytes with {axes} {'axis' if axes == 1 else 'axes'}, which begins "
            f"with 0000080{axes}; it begins with {content[:4].hex() or 'nothing'}. Put the published file in its place."
        )
    if len(content) < head:
        raise UsageError(f"{path} is cut short within its head, after {len(content)} bytes; fetch it again.")
    shape = tuple(int(n) for n in np.frombuffer(content, ">u4", count=axes, offset=4))
    if len(content) - head != math.prod(shape):
        raise UsageError(
            f"{path} must hold {math.prod(shape)} bytes behind its head ({'×'.join(map(str, shape))}); "
            f"it holds {len(content) - head}. Fetch it again."
        )
    return np.frombuffer(content, np.uint8, offset=head).reshape(shape)


def _content(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror}); check the file and your rights to it.") from error
    if not content.startswith(_GZIP):
        return content
    try:
        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise UsageError(
            f"{path} is no sound gzip file ({str(error).rstrip('.') or type(error).__name__}); fetch it again."
        ) from error
