"""Which calls are the layers: repeated units and what lies outside them, leaves, patterns, or a predicate.

**Units** are modules with modules and parameters inside that repeat: at least two children of one parent have the
same class (plain ``Sequential`` also the same classes inside), and all modules of that class count then. Where
none repeat so, modules do whose dotted names differ only in their numbers, as in lists of lists of layers.
Of nested units the innermost is taken, except that a residual unit (its output is its input plus a branch)
counts before what it is made of: the transformer block and not its experts. Only units that ran count.
"""

import fnmatch
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from torch import nn

from leadline._core.errors import UsageError
from leadline._core.names import nearest
from leadline.probe.capture import Call
from leadline.probe.modules import Anatomy, inner_modules, is_leaf, prefixes

Layers = str | Sequence[str] | Callable[[str, nn.Module], bool]
_WORDS = ("blocks", "leaves")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What may become a layer, as far as the modules tell before anything has run.

    Attributes:
        chosen: Paths of the layers that were asked for by name; of the modules with parameters for ``"blocks"``.
        blocks: Whether blocks are asked for.
        units: Path -> what it repeats, of the units.
        spare: The same by numbered names, for models without such units.
    """

    chosen: frozenset[str]
    blocks: bool = False
    units: Mapping[str, object] = field(default_factory=dict)
    spare: Mapping[str, object] = field(default_factory=dict)

    @cached_property
    def kept(self) -> frozenset[str]:
        """Paths of all modules that may become a layer."""
        return self.chosen.union(self.units, self.spare)

    @cached_property
    def early(self) -> frozenset[str]:
        """Paths of those that are layers as far as can be told before all have run."""
        return frozenset(self.units).difference(_parents(self.units)) | self.chosen if self.blocks else self.chosen

    def at_once(self, call: Call) -> bool:
        """Whether a call that has just ended is such a layer: no unit holds it, and none is inside it."""
        if call.path not in self.early or call.in_unit:
            return False
        return not self.blocks or call.path in self.units or call.carries

    @cached_property
    def expected(self) -> int:
        """How many layers there will be, about: calls are not known yet."""
        return sum(not self.blocks or path in self.units or not _is_within(path, self.units) for path in self.early)

    @cached_property
    def kept_inside(self) -> frozenset[str]:
        """Paths of those that may be layers though a unit holds them: only other units, where there are any."""
        return frozenset(self.units) if self.units else self.kept

    @cached_property
    def composed(self) -> frozenset[str]:
        """Paths of those that have modules inside, and so may be residual units."""
        return frozenset(self.units or self.spare) if self.blocks else self.chosen


def plan(parts: Anatomy, layers: Layers) -> Plan:
    """What ``layers`` asks for.

    Raises:
        UsageError: If a pattern or the predicate matches no module.
    """
    modules = parts.modules
    if layers == "blocks":
        above = _parents(parts.own)
        composed = {path: module for path, module in modules.items() if path in above}
        return Plan(chosen=frozenset(parts.own), blocks=True, units=_units(composed), spare=_numbered(composed))
    if layers == "leaves":
        return Plan(chosen=frozenset(path for path, module in modules.items() if is_leaf(module)))
    if callable(layers):
        chosen = frozenset(path for path, module in modules.items() if layers(path, module))
        if not chosen:
            raise UsageError("The predicate given as layers is true of no module of the model.")
        return Plan(chosen=chosen)
    return Plan(chosen=_matching(modules, [layers] if isinstance(layers, str) else list(layers)))


def _matching(modules: Mapping[str, nn.Module], patterns: list[str]) -> frozenset[str]:
    if not patterns:
        raise UsageError("layers is an empty list; name modules, or give 'blocks' or 'leaves'.")
    for pattern in patterns:
        if not any(fnmatch.fnmatchcase(path, pattern) for path in modules):
            if pattern in _WORDS:
                raise UsageError(
                    f"No module of the model is named {pattern!r}, and the word stands by itself, in no list."
                )
            guess = nearest(pattern, [*filter(None, modules), *_WORDS])
            hint = f"; did you mean {guess!r}?" if guess else "; dotted names are matched, as '*.conv1'."
            raise UsageError(f"No module of the model is named like {pattern!r}{hint}")
    return frozenset(path for path in modules if any(fnmatch.fnmatchcase(path, p) for p in patterns))


def _units(composed: Mapping[str, nn.Module]) -> dict[str, object]:
    """Those of the modules with modules and parameters inside that repeat a sibling, or are of the class of such."""
    siblings = Counter((path.rpartition(".")[0], _likeness(module)) for path, module in composed.items())
    classes = {likeness for (_, likeness), count in siblings.items() if count >= 2 and isinstance(likeness, type)}
    return {
        path: _likeness(module)
        for path, module in composed.items()
        if _likeness(module) in classes or siblings[(path.rpartition(".")[0], _likeness(module))] >= 2
    }


def _likeness(module: nn.Module) -> object:
    """What must be equal for two modules to repeat one another: the class; of a Sequential the classes inside too."""
    if type(module) is nn.Sequential:
        return (nn.Sequential, tuple(type(child) for child in inner_modules(module).values()))
    return type(module)


def _numbered(composed: Mapping[str, nn.Module]) -> dict[str, object]:
    return {path: (re.sub(r"\d+", "*", path), _likeness(module)) for path, module in composed.items()}


def layers_of(plan: Plan, calls: Sequence[Call], residual: Callable[[Call], bool]) -> tuple[list[Call], set[str]]:
    """The calls that are the layers, in order of execution, and the paths of those that are units.

    Args:
        plan: What was asked for.
        calls: The calls of the pass in the order in which they ended.
        residual: Whether a call of a unit is its input plus a branch.

    Raises:
        UsageError: If there is none.
    """
    units = _chosen_units(plan, calls, residual)
    chosen = [call for call in calls if call.path in units or _stands_alone(call, plan, units)]
    layers = [call for call in chosen if call.shape]
    if not layers:
        raise UsageError(_no_layer(plan, calls))
    return layers, units


def _no_layer(plan: Plan, calls: Sequence[Call]) -> str:
    if any(call.unread and call.path in plan.chosen for call in calls):
        return "There is no layer to measure: the outputs are complex, or live inside a transform of torch.func alone."
    names = sorted(path or "the model itself" for path in plan.chosen)
    named = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    which = "modules with parameters" if plan.blocks else "modules chosen as layers"
    return (
        f"There is no layer to measure: of the {which} ({named}) none was called and returned a float tensor with an "
        "axis; call the modules, rather than functions on their parameters, so that they can be watched."
    )


def _stands_alone(call: Call, plan: Plan, units: set[str]) -> bool:
    """Whether a call is a layer of its own: asked for by name or, beside blocks, a leaf with parameters."""
    if call.path not in plan.chosen:
        return False
    return not plan.blocks or (call.carries and not _is_within(call.path, units))


def _chosen_units(plan: Plan, calls: Sequence[Call], residual: Callable[[Call], bool]) -> set[str]:
    ran = [call for call in calls if call.path in plan.units and call.shape]
    classes = {plan.units[call.path] for call in ran if residual(call)}
    streams = {call.path for call in ran if plan.units[call.path] in classes}
    streams -= _parents(streams)
    others = {call.path for call in ran if call.path not in streams and not _is_within(call.path, streams)}
    others -= _parents(others | streams)
    units = _repeating(streams | others, plan.units, calls)
    if units:
        return units
    spare = _repeating({call.path for call in calls if call.path in plan.spare and call.shape}, plan.spare, calls)
    return {path for path in spare if not _is_within(path, spare)}


def _repeating(paths: set[str], repeats: Mapping[str, object], calls: Sequence[Call]) -> set[str]:
    """Those that are not alone in what they repeat: two modules, or two calls of one."""
    counts = Counter(repeats[call.path] for call in calls if call.path in paths)
    return {path for path in paths if counts[repeats[path]] >= 2}


def _parents(paths: Iterable[str]) -> set[str]:
    """Paths of all modules that hold one of ``paths``, the model itself left out."""
    return {outer for path in paths for outer in prefixes(path)[:-1]}


def _is_within(path: str, others: Collection[str]) -> bool:
    return not _parents([path]).isdisjoint(others)
