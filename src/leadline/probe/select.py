"""Which modules are the layers: repeated units and what lies outside them, leaves, patterns or a predicate."""

import fnmatch
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import nn

from leadline._core.errors import UsageError
from leadline._core.names import nearest

Layers = str | Sequence[str] | Callable[[str, nn.Module], bool]


@dataclass(frozen=True, kw_only=True)
class Selection:
    """The chosen modules by dotted name, and the group each repeats (empty where it stands alone)."""

    modules: dict[str, nn.Module]
    repeats: dict[str, str]


def select(model: nn.Module, layers: Layers) -> Selection:
    """The layers that ``layers`` names.

    Raises:
        UsageError: If a pattern or the predicate matches no module.
    """
    named = dict(model.named_modules())
    if layers == "blocks":
        return _blocks(model)
    if layers == "leaves":
        return Selection(modules={n: m for n, m in named.items() if not list(m.children())}, repeats={})
    if callable(layers):
        chosen = {name: module for name, module in named.items() if layers(name, module)}
        if not chosen:
            raise UsageError("The predicate given as layers is true of no module of the model.")
        return Selection(modules=chosen, repeats={})
    return Selection(modules=_matching(named, [layers] if isinstance(layers, str) else list(layers)), repeats={})


def _matching(named: dict[str, nn.Module], patterns: list[str]) -> dict[str, nn.Module]:
    for pattern in patterns:
        if not fnmatch.filter(named, pattern):
            guess = nearest(pattern, [*named, "blocks", "leaves"])
            hint = f" (the nearest is {guess!r})" if guess else ""
            raise UsageError(f"No module of the model matches {pattern!r}{hint}.")
    return {n: m for n, m in named.items() if any(fnmatch.fnmatchcase(n, pattern) for pattern in patterns)}


def _blocks(model: nn.Module) -> Selection:
    siblings: dict[type, int] = defaultdict(int)
    for module in model.modules():
        for kind, count in Counter(type(child) for child in module.children() if _is_unit(child)).items():
            siblings[kind] = max(siblings[kind], count)
    candidates = {n: m for n, m in model.named_modules() if n and _is_unit(m) and siblings[type(m)] >= 2}
    inner = {n: m for n, m in candidates.items() if not any(other.startswith(f"{n}.") for other in candidates)}
    outside = {
        name: module
        for name, module in model.named_modules()
        if module._parameters and not list(module.children()) and not any(name.startswith(f"{unit}.") for unit in inner)
    }
    return Selection(modules=inner | outside, repeats={n: type(m).__name__ for n, m in inner.items()})


def _is_unit(module: nn.Module) -> bool:
    return any(module.children()) and any(True for _ in module.parameters())
