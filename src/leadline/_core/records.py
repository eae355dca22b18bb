"""Records to strict JSON and back: frozen dataclasses without tensors; no pickle, no NaN literals."""

import dataclasses
import json
import math
import os
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from leadline._core.errors import UsageError

T = TypeVar("T")
_NONFINITE = {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}


def encode(value: Any) -> Any:
    """``value`` as plain JSON data; non-finite floats become the strings "inf", "-inf" and "nan".

    >>> encode({"gap": float("inf"), "rows": (1, 2)})
    {'gap': 'inf', 'rows': [1, 2]}
    """
    if isinstance(value, float) and not math.isfinite(value):
        return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: encode(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): encode(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [encode(item) for item in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"A record holds plain numbers, words, lists and mappings; got {type(value).__name__}.")


def decode(kind: Any, data: Any) -> Any:
    """Plain JSON ``data`` as the annotated type ``kind``; unknown fields of a record are refused.

    >>> decode(dict[str, float], {"gap": "inf"})
    {'gap': inf}
    """
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        if data is None and type(None) in arguments:
            return None
        return decode(next(a for a in arguments if a is not type(None)), data)
    if kind is float:
        return _NONFINITE[data] if isinstance(data, str) else float(data)
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        unknown = set(data) - set(hints)
        if unknown:
            raise KeyError(f"unknown fields {', '.join(sorted(unknown))}")
        return kind(**{name: decode(hints[name], item) for name, item in data.items()})  # type: ignore[operator]
    if origin is tuple:
        each = [arguments[0]] * len(data) if arguments[1:] == (...,) else arguments
        return tuple(decode(a, item) for a, item in zip(each, data, strict=True))
    if origin in (dict, Mapping) or (isinstance(origin, type) and issubclass(origin, Mapping)):
        return {key: decode(arguments[1], item) for key, item in data.items()}
    if kind is Any and isinstance(data, str):
        return _NONFINITE.get(data, data)
    if kind is Any and isinstance(data, list):
        return [decode(Any, item) for item in data]
    if kind is Any and isinstance(data, dict):
        return {key: decode(Any, item) for key, item in data.items()}
    return data


def to_json(data: Any) -> str:
    """``data`` as strict JSON: no NaN literals, non-finite floats as in ``encode``."""
    return json.dumps(encode(data), allow_nan=False, indent=1, ensure_ascii=False) + "\n"


def write_json(data: Any, path: str | Path) -> Path:
    """Write ``data`` whole or not at all: to a neighbour first, then moved into place."""
    return write_text(to_json(data), path)


def check_destination(path: str | Path) -> Path:
    """``path`` if a file can be written there; worth asking before minutes of work.

    Raises:
        UsageError: If its folder does not exist or may not be written to, or if it is a folder itself.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise UsageError(f"Cannot write {path}: the folder {path.parent} does not exist.")
    if path.is_dir():
        raise UsageError(f"Cannot write {path}: it is a folder; give the name of a file.")
    if not os.access(path.parent, os.W_OK):
        raise UsageError(f"Cannot write {path}: you may not write to the folder {path.parent}.")
    return path


def write_text(text: str, path: str | Path) -> Path:
    """Write ``text`` whole or not at all: to a neighbour first, then moved into place."""
    path = check_destination(path)
    if path.exists() and not path.is_file():
        path.write_text(text, encoding="utf-8")  # A device or a pipe, which nothing may be moved onto.
        return path
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        raise UsageError(f"Cannot write {path}: {error.strerror}.") from error
    finally:
        partial.unlink(missing_ok=True)
    return path


def read_record(kind: type[T], path: str | Path, *, schema: int) -> T:
    """Read a record that ``write_json`` wrote with the key ``schema`` beside its fields.

    Raises:
        UsageError: If the file is missing, is no JSON, is of another schema or lacks fields.
    """
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"Cannot read {path}: {error.strerror}.") from error
    except ValueError as error:
        raise UsageError(f"{path} is not a {kind.__name__.lower()}: it holds no valid JSON ({error}).") from error
    found = data.pop("schema", None) if isinstance(data, dict) else None
    if found != schema:
        raise UsageError(f"{path} has schema {found!r}; this version of leadline reads schema {schema}.")
    try:
        return decode(kind, data)
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(f"{path} is not a complete {kind.__name__.lower()}: {error}.") from error
