"""Closed choices: checked once, and the nearest offered when a name is unknown."""

import difflib
from collections.abc import Iterable

from leadline._core.errors import UsageError


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that is most like ``name``, or ``None`` where none is like it.

    >>> nearest("activaton", ["depth", "activation"])
    'activation'
    >>> nearest("linaer", ["Bilinear", "Linear"])
    'Linear'
    """
    spelled = {other.lower(): other for other in known}
    found = difflib.get_close_matches(name.lower(), list(spelled), n=1, cutoff=0.55)
    return spelled[found[0]] if found else None


def check_choice(what: str, value: str, known: Iterable[str]) -> str:
    """``value`` if it is one of ``known``; otherwise an error that lists them and offers the nearest.

    >>> check_choice("effort", "ful", ["standard", "full"])
    Traceback (most recent call last):
    leadline._core.errors.UsageError: effort must be one of standard, full; got 'ful' (did you mean 'full'?).
    """
    known = list(known)
    if value in known:
        return value
    guess = nearest(value, known) if isinstance(value, str) else None
    hint = f" (did you mean {guess!r}?)" if guess else ""
    raise UsageError(f"{what} must be one of {', '.join(known)}; got {value!r}{hint}.")
