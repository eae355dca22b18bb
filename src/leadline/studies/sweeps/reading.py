"""A sweep's file: YAML, read strictly."""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from leadline._core.errors import UsageError
from leadline._core.names import nearest
from leadline.studies.sweeps.plan import Range, Sweep
from leadline.targets.options import as_kind

_NUMBERS = {"batch": int, "steps": int, "random_seed": int}
_WORDS = ("design", "measure", "data", "optimiser")
_TRAINING = ("steps", "learning_rates", "optimiser")
_KNOWN = tuple(name for name in (f.name for f in fields(Sweep)) if name != "draws")


def read_sweep(path: str | Path) -> Sweep:
    """The sweep that a YAML file describes.

    Its keys are the fields of ``Sweep``; ``seeds`` may be how many from 0, and ``random`` holds ``draws`` and, for
    every option, a list of values or ``{low:, high:, log:}``.

    Raises:
        UsageError: If the file cannot be read, is no YAML, has an unknown or missing key, or a value is wrong.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "a.yaml")
        ...     _ = path.write_text("{design: mlp, grid: {depth: [2, 4]}, seeds: 3}")
        ...     len(read_sweep(path))
        6
    """
    import yaml

    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text in UTF-8"
        raise UsageError(f"Cannot read {path}: {reason}.") from None
    try:
        data = yaml.load(text, Loader=_strict_loader())
    except (yaml.YAMLError, ValueError) as error:
        raise UsageError(f"{path} holds no valid YAML: {' '.join(str(error).split())}.") from None
    try:
        return as_sweep(data)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None


def as_sweep(data: Any) -> Sweep:
    """The sweep of plain data, as a YAML file holds it.

    >>> as_sweep({"design": "mlp", "grid": {"dept": [1, 2]}})
    Traceback (most recent call last):
    leadline._core.errors.UsageError: mlp has no option 'dept' (did you mean 'depth'?); it has depth, width, ...
    """
    _mapping(data, "A sweep")
    for key in data:
        if key not in _KNOWN:
            guess = nearest(str(key), _KNOWN)
            hint = f" (did you mean {guess!r}?)" if guess else ""
            raise UsageError(f"A sweep has no key {key!r}{hint}; it has {', '.join(_KNOWN)}.")
    if "design" not in data:
        raise UsageError("A sweep needs a design, such as design: mlp.")
    if data.get("measure", "profile") == "profile" and (unused := next((k for k in _TRAINING if k in data), None)):
        raise UsageError(f"{unused} is about training and has no effect on a profile; say measure: train.")
    given: dict[str, Any] = {}
    for key, value in data.items():
        given |= _field(key, value)
    return Sweep(**given)


def _field(key: str, value: Any) -> dict[str, Any]:
    if key in _WORDS:
        if not isinstance(value, str):
            raise UsageError(f"{key} must be a word; got {value!r}.")
        return {key: value}
    if key in _NUMBERS:
        return {key: as_kind(int, value, what=key)}
    if key == "seeds":
        if isinstance(value, list):
            return {key: tuple(as_kind(int, seed, what="a seed") for seed in value)}
        count = as_kind(int, value, what="seeds, where it is not a list,")
        return {key: tuple(range(count))}
    if key == "learning_rates":
        return {key: tuple(as_kind(float, rate, what="a learning rate") for rate in _values(value, key))}
    if key == "grid":
        return {key: {str(name): _values(axis, name) for name, axis in _mapping(value, "grid").items()}}
    axes = dict(_mapping(value, "random"))
    if "draws" not in axes:
        raise UsageError("random needs draws, the number of draws.")
    draws = as_kind(int, axes.pop("draws"), what="draws")
    return {"draws": draws, "random": {str(name): _space(axis, name) for name, axis in axes.items()}}


def _space(value: Any, name: str) -> Any:
    if not isinstance(value, Mapping):
        return _values(value, name)
    ends = {"low", "high"}
    if not ends <= set(value) <= {*ends, "log"}:
        raise UsageError(f"The range of {name} is written {{low: 0.1, high: 10, log: true}}; got {dict(value)}.")
    numbers = {end: as_kind(float, value[end], what=f"{end} of {name}") for end in sorted(ends)}
    return Range(**numbers, log=as_kind(bool, value.get("log", False), what=f"log of {name}"))


def _values(value: Any, name: str) -> tuple[Any, ...]:
    """Several values, or one; each a number, a word or a truth."""
    values = value if isinstance(value, list) else [value]
    for one in values:
        if not isinstance(one, (int, float, str, bool)):
            raise UsageError(f"{name} takes a list of numbers or words; got {one!r} in it.")
    return tuple(values)


def _mapping(value: Any, what: str) -> Mapping[Any, Any]:
    if not isinstance(value, Mapping):
        raise UsageError(f"{what} is written as keys with values, such as {{depth: [10, 50]}}; got {value!r}.")
    return value


def _strict_loader() -> Any:
    """YAML's safe loader, but a key that is given twice is an error: otherwise the former one is lost in silence."""
    import yaml

    class Loader(yaml.SafeLoader):
        pass

    def mapping(loader: Any, node: Any) -> dict[Any, Any]:
        keys = [loader.construct_object(key, deep=True) for key, _ in node.value]
        if twice := next((key for i, key in enumerate(keys) if key in keys[:i]), None):
            raise yaml.constructor.ConstructorError(None, None, f"the key {twice!r} is given twice", node.start_mark)
        return loader.construct_mapping(node, deep=True)

    Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, mapping)
    return Loader
