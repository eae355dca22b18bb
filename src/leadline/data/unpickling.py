"""A pickle of numbers, strings and arrays of bytes, read so that nothing in it can run."""

import io
import math
import pickle
from typing import Any

import numpy as np

from leadline._core.errors import UsageError

_DAMAGE = (
    pickle.UnpicklingError, EOFError, ValueError, TypeError, AttributeError, LookupError, OverflowError, MemoryError,
)  # fmt: skip


def read_pickle(content: bytes, *, whose: str) -> Any:
    """What was pickled, if it is made of plain Python values and arrays of uint8 alone.

    Every other name that the pickle asks for is refused before it is imported. NumPy's own constructors are not called
    either: stand-ins take the pickled state, check its length, and make the array with ``numpy.frombuffer``.

    Args:
        content: The pickle, of Python 2 or 3.
        whose: The file, for messages.

    Returns:
        The value; strings of Python 2 are ``bytes``, arrays are ``PickledArray``.

    Raises:
        UsageError: If the pickle asks for anything else, or is cut short or damaged.
    """
    try:
        return _Reader(io.BytesIO(content), encoding="bytes").load()
    except UsageError as error:
        raise UsageError(f"{whose} {error}") from error
    # A damaged pickle fails in any of these ways, and none says more than that it is damaged.
    except _DAMAGE as error:
        raise UsageError(
            f"{whose} is no whole pickle ({type(error).__name__}): it is cut short or damaged; fetch it again."
        ) from error


class PickledArray:
    """Stands in for ``numpy.ndarray`` while its state is read.

    Attributes:
        value: The array of uint8; empty until the state has come.
    """

    def __init__(self) -> None:
        self.value: np.ndarray = np.empty(0, np.uint8)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, fortran, raw = state
        if not isinstance(dtype, _ByteType):
            raise ValueError("the array has a dtype that is not one of ours")
        if not isinstance(raw, bytes) or math.prod(shape) != len(raw) or min(shape, default=0) < 0:
            raise ValueError("the array has another length than its shape says")
        self.value = np.frombuffer(raw, np.uint8).reshape(shape, order="F" if fortran else "C")


class _ByteType:
    """Stands in for ``numpy.dtype``: of unsigned bytes, or an error."""

    def __init__(self, name: str | bytes, *more: object) -> None:
        if name not in ("u1", b"u1", "uint8"):
            raise UsageError(f"must hold arrays of unsigned bytes (u1); it holds {name!r}. Fetch it again.")

    def __setstate__(self, state: object) -> None:
        """Byte order and alignment say nothing about bytes."""


_NDARRAY = object()


def _array(*arguments: object) -> PickledArray:
    return PickledArray()


def _encoded(text: str, encoding: str) -> bytes:
    """How Python 3 writes bytes in the protocol of Python 2."""
    if encoding not in ("latin1", b"latin1"):
        raise ValueError("the encoding of bytes is latin1")
    return text.encode("latin1")


def _no_bytes() -> bytes:
    """How Python 3 writes ``b""`` in that protocol."""
    return b""


_ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): _array,
    ("numpy._core.multiarray", "_reconstruct"): _array,
    ("numpy", "ndarray"): _NDARRAY,
    ("numpy", "dtype"): _ByteType,
    ("_codecs", "encode"): _encoded,
    ("__builtin__", "bytes"): _no_bytes,
}


class _Reader(pickle.Unpickler):
    def find_class(self, module_name: str, global_name: str) -> Any:
        if (module_name, global_name) not in _ALLOWED:
            raise UsageError(
                f"asks to run {module_name}.{global_name}, which no data of CIFAR does, and was not read further; "
                "fetch it again from its publisher."
            )
        return _ALLOWED[module_name, global_name]
