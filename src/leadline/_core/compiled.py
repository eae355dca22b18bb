"""Loops over arrays that are compiled for the CPU, where Numba is installed."""

import inspect
from collections.abc import Callable
from functools import cached_property
from importlib.util import find_spec
from typing import Any

_THERE = find_spec("numba") is not None
_FEW, _UNSHARED = 2, 2**16


def can_compile() -> bool:
    """Whether Numba is installed; it is imported at the first call of a loop and not before."""
    return _THERE


def one_thread_does(entries: int, *, threads: int) -> bool:
    """Whether a loop over so many entries, which runs on one thread, is faster than torch on ``threads``.

    It reads memory half as often; torch begins to share work at some ten thousand entries.

    Example:
        >>> one_thread_does(10**4, threads=16), one_thread_does(10**6, threads=16), one_thread_does(10**6, threads=1)
        (True, False, True)
    """
    return threads <= _FEW or entries <= _UNSHARED


class Loop:
    """A function of NumPy arrays and numbers, compiled at its first call and, where it can be, kept on disk.

    It is what ``numba.njit`` makes of it: without bounds checks and with IEEE division. A product and a sum may be
    rounded once, but sums keep their order, and nan and infinity stay what they are.

    Example:
        >>> import numpy as np
        >>> @Loop
        ... def total(x):
        ...     found = 0.0
        ...     for value in x:
        ...         found += value
        ...     return found
        >>> float(total.python(np.arange(4.0)))
        6.0
    """

    def __init__(self, function: Callable[..., Any]):
        # What checks types while tests run wraps functions; the compiler wants them bare.
        self.python = inspect.unwrap(function)

    @cached_property
    def compiled(self) -> Callable[..., Any]:
        """The function itself, for calls that should cost a microsecond.

        Raises:
            ImportError: If Numba is not installed.
        """
        import numba

        how: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": {"contract"}}
        try:
            return numba.njit(cache=True, **how)(self.python)
        except RuntimeError:  # there is no folder that may be written
            return numba.njit(**how)(self.python)
