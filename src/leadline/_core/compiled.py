"""Loops over arrays that are compiled for the CPU, where Numba is installed."""

import inspect
from collections.abc import Callable
from functools import cache, cached_property
from importlib.util import find_spec
from typing import Any


@cache
def can_compile() -> bool:
    """Whether Numba is installed; it is imported at the first call of a loop and not before."""
    return find_spec("numba") is not None


class Loop:
    """A function of NumPy arrays and numbers, compiled at its first call and kept on disk for the next process.

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

        return numba.njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})(self.python)

    def __call__(self, *arguments: Any) -> Any:
        """Run it compiled."""
        return self.compiled(*arguments)
