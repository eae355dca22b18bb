"""The options of a target: read off the signature of what builds it, and out of the caller's words."""

import ast
import inspect
import math
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from leadline._core.errors import UsageError
from leadline._core.names import check_choice, nearest

_TRUTHS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_LISTED = 12
_KINDS = {int: "a whole number", float: "a finite number", bool: "true or false", str: "a word"}


@dataclass(frozen=True, kw_only=True)
class Option:
    """One option of a design.

    Attributes:
        name: As in ``name=value``.
        kind: Type of the value: ``"int"``, ``"float"``, ``"bool"`` or ``"str"``.
        default: Value where it is not given; ``None`` where the design then chooses.
        choices: The words that are allowed; empty where any value of the kind is.
    """

    name: str
    kind: str
    default: int | float | bool | str | None
    choices: tuple[str, ...] = ()

    def __str__(self) -> str:
        value = "" if self.default is None else f"={self.default}"
        return f"{self.name}{value}" + (f" ({', '.join(self.choices)})" if self.choices else "")


def options_of(builder: Callable[..., Any], *, hidden: Iterable[str], **defaults: Any) -> tuple[Option, ...]:
    """The keyword-only parameters of ``builder`` as options.

    Args:
        builder: Its keywords are annotated ``int``, ``float``, ``bool``, ``str`` or as a ``Literal`` of words; one
            that the builder chooses where it is not given also ``| None``.
        hidden: Keywords that are no options.
        defaults: Defaults other than the builder's own.

    Returns:
        The options in the order of the signature.

    Example:
        >>> def build(*, depth: int = 3, seed: int = 0): ...
        >>> [str(option) for option in options_of(build, hidden={"seed"}, depth=5)]
        ['depth=5']
    """
    hints = {name: _given(hint) for name, hint in typing.get_type_hints(builder).items()}
    return tuple(
        Option(
            name=name,
            kind="str" if typing.get_origin(hints[name]) is Literal else hints[name].__name__,
            default=defaults.get(name, parameter.default),
            choices=typing.get_args(hints[name]),
        )
        for name, parameter in inspect.signature(builder).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY and name not in hidden
    )


def _given(hint: Any) -> Any:
    """``float`` of ``float | None``."""
    others = [each for each in typing.get_args(hint) if each is not type(None)]
    return others[0] if isinstance(hint, types.UnionType) and len(others) == 1 else hint


def split(text: str) -> dict[str, str]:
    """``name=value,name=value`` as a mapping; commas within brackets belong to the value.

    >>> split("depth=3,sizes=(1,2)")
    {'depth': '3', 'sizes': '(1,2)'}
    """
    given: dict[str, str] = {}
    for part in _parts(text):
        name, equals, value = part.partition("=")
        name = name.strip()
        if not equals or not name:
            raise UsageError(f"Options are written name=value with commas between; got {part!r}.")
        if name in given:
            raise UsageError(f"The option {name} is given twice.")
        given[name] = value.strip()
    return given


def _parts(text: str) -> list[str]:
    depth, parts = 0, [""]
    for letter in text:
        depth += (letter in "([{") - (letter in ")]}")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return parts


def check_names(given: Iterable[str], known: Iterable[str], *, whose: str) -> None:
    """Every given name is known.

    >>> check_names(["dept"], ["depth", "width"], whose="mlp")
    Traceback (most recent call last):
    leadline._core.errors.UsageError: mlp has no option 'dept' (did you mean 'depth'?); it has depth, width.
    """
    known = list(known)
    for name in given:
        if name not in known:
            guess = nearest(name, known)
            hint = f" (did you mean {guess!r}?)" if guess else ""
            more = ", …" if len(known) > _LISTED else ""
            listed = f"it has {', '.join(known[:_LISTED])}{more}" if known else "it has none"
            raise UsageError(f"{whose} has no option {name!r}{hint}; {listed}.")


def read(options: Iterable[Option], given: Mapping[str, Any], *, whose: str) -> dict[str, Any]:
    """The given values in the kinds of their options, and the defaults of the others.

    Raises:
        UsageError: If a name is unknown, or a value is not of the option's kind or choices.
    """
    options = list(options)
    check_names(given, [option.name for option in options], whose=whose)
    kinds = {"int": int, "float": float, "bool": bool, "str": str}
    values = {}
    for option in options:
        value = given.get(option.name, option.default)
        if value is None and option.default is None:
            values[option.name] = None
            continue
        values[option.name] = as_kind(kinds[option.kind], value, what=f"{whose} option {option.name}")
        if option.choices:
            check_choice(f"{whose} option {option.name}", values[option.name], option.choices)
    return values


def as_kind(kind: type, value: Any, *, what: str) -> Any:
    """``value``, a word of the caller's or already of its kind, as an ``int``, ``float``, ``bool`` or ``str``.

    >>> as_kind(float, "1e-3", what="gain"), as_kind(int, "1e5", what="width")
    (0.001, 100000)
    """
    try:
        if kind is bool:
            return value if isinstance(value, bool) else _TRUTHS[str(value).lower()]
        if isinstance(value, bool) or (kind is int and isinstance(value, float)):
            raise ValueError
        if kind is int and isinstance(value, str) and "e" in value.lower() and float(value).is_integer():
            return int(float(value))
        made = kind(value)
        if isinstance(made, float) and not math.isfinite(made):
            raise ValueError
        return made
    except (ValueError, KeyError, TypeError):
        raise UsageError(f"{what} must be {_KINDS[kind]}; got {value!r}.") from None


def guessed(value: Any) -> Any:
    """A word of the caller's as the Python value it spells, or as the word it is.

    >>> guessed("(1,2)"), guessed("true"), guessed("relu")
    ((1, 2), True, 'relu')
    """
    if not isinstance(value, str):
        return value
    if value.lower() in ("true", "false"):
        return value.lower() == "true"
    try:
        return ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return value
