"""From the words of a target to what they name."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from leadline._core.errors import UsageError
from leadline._core.names import nearest
from leadline.targets.built_in import DESIGNS
from leadline.targets.options import split

_WORD = r"[A-Za-z_]\w*"
_FILE = re.compile(rf"(?P<place>.+\.py)(?::(?:(?P<function>{_WORD})(?:[:,](?P<options>.*))?)?)?", re.DOTALL)
_LIBRARY = re.compile(r"(?P<kind>timm|hf):(?P<place>[^:,=]*)(?:[:,](?P<options>.*))?")
_DESIGN = re.compile(rf"(?P<place>{_WORD})(?::(?P<options>.*))?")
_MODULE = re.compile(rf"(?P<place>{_WORD}(?:\.{_WORD})*):(?P<function>{_WORD})(?:[:,](?P<options>.*))?")
_FORMS = "a target is a built-in design ({}), timm:NAME, hf:NAME, file.py:build or package.module:build"


@dataclass(frozen=True, kw_only=True)
class Spec:
    """A target's words, taken apart.

    Attributes:
        kind: What it names.
        place: Name of the design or of the library's model, path of the file, or dotted name of the module.
        function: Name of the function in a file or module.
        options: What follows, still as words.
    """

    kind: Literal["design", "timm", "hf", "file", "module"]
    place: str
    function: str = ""
    options: Mapping[str, str]


def parse(target: str) -> Spec:
    """What ``target`` names.

    Raises:
        UsageError: If it has none of the forms of a target; the nearest design is offered.

    Example:
        >>> spec = parse("mlp:depth=100,norm=batch")
        >>> spec.kind, spec.place, spec.options
        ('design', 'mlp', {'depth': '100', 'norm': 'batch'})
        >>> parse("models/net.py:build,depth=3").function
        'build'
    """
    target = target.strip()
    if found := _FILE.fullmatch(target):
        if not found["function"]:
            file = found["place"]
            raise UsageError(f"{file} is a file; name the function in it that builds the model, e.g. {file}:build.")
        return _spec("file", found)
    if found := _LIBRARY.fullmatch(target):
        if not found["place"]:
            raise UsageError(f"{target} lacks the name of a model, e.g. {_EXAMPLES[found['kind']]}.")
        return _spec(found["kind"], found)
    if (found := _DESIGN.fullmatch(target)) and found["place"] in DESIGNS:
        return _spec("design", found)
    if found := _MODULE.fullmatch(target):
        return _spec("module", found)
    raise UsageError(no_such_target(target))


_EXAMPLES = {"timm": "timm:resnet18", "hf": "hf:gpt2"}


def no_such_target(target: str) -> str:
    """The sentence that says so, with the nearest design and the forms there are."""
    word = re.split("[:,]", target)[0]
    guess = None if "/" in word else nearest(word, DESIGNS)
    hint = f" (did you mean {guess!r}?)" if guess else ""
    if word and Path(word).exists():
        hint = f" (a {'folder' if Path(word).is_dir() else 'file'} of that name is there, but no Python file)"
    if Path(f"{word}.py").is_file():
        hint = f" (did you mean '{word}.py:build'?)"
    return f"No such target: {target!r}{hint}; {_FORMS.format(', '.join(DESIGNS))}."


def _spec(kind: str, found: re.Match[str]) -> Spec:
    parts = found.groupdict()
    options = split(parts["options"]) if parts.get("options") else {}
    return Spec(kind=kind, place=parts["place"], function=parts.get("function") or "", options=options)  # type: ignore[arg-type]
