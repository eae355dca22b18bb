"""The activations of one pass by the layers they belong to: kinds, dead units, saturated entries."""

import math
from bisect import bisect_left, bisect_right
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import nn
from torch.autograd.graph import Node

from leadline.probe.activations import ALWAYS_ALIVE, Flatness, flatness, is_activation, recognised
from leadline.probe.capture import Call
from leadline.probe.graph import Graph, inputs_of, number_of
from leadline.probe.modules import is_shaped, kind
from leadline.probe.moments import numbers_of
from leadline.probe.rows import feature_axis

_FAR = 64  # nodes looked at for the layer that an activation follows


@dataclass(frozen=True, kw_only=True)
class Active:
    """One activation that ran.

    Attributes:
        name: Name of its module, for functional ones too.
        order: Number of its autograd node.
        owner: The call that carries it: it ran inside or, by the shortest way, works on its output.
        inside: The innermost call that it ran in, if that is of an activation module or carries; ``None`` for a
            functional one.
        dead: Dead units.
        units: Units.
        saturated: Saturated entries.
        entries: Entries of which that says something.
    """

    name: str
    order: int
    owner: Call | None
    inside: Call | None
    dead: int = 0
    units: int = 0
    saturated: int = 0
    entries: int = 0


@torch.no_grad()
def activations(graph: Graph, calls: Sequence[Call]) -> list[Active]:
    """Every activation of the model, in order of execution; to be read before the backward pass."""
    leaves = _Timeline([call for call in calls if call.innermost])
    carrying = _Timeline([call for call in calls if call.carries])
    carriers = {call.node: call for call in carrying.calls if call.node is not None}
    unread = [call for call in calls if not call.stored or isinstance(call.module, (nn.RNNBase, nn.RNNCellBase))]
    found: list[Active] = []
    flat: list[Flatness | None] = []
    for node in sorted(filter(is_activation, graph.nodes), key=number_of):
        order = number_of(node)
        if any(call.start <= order < call.stop for call in unread):
            continue
        around = carrying.at(order)
        inside, owner = leaves.at(order) or around, around or _upstream(node, carriers)
        activation = recognised(node, graph.consumers)
        name = ALWAYS_ALIVE.get(node.name(), "") if activation is None else activation.name
        if name and inside is not None and is_shaped(inside.module):
            name = kind(inside.module)
            activation = activation if _as_it_is(inside.module) else None
        if not name or (activation is not None and not activation.values.numel()):
            continue
        found.append(Active(name=name, order=order, owner=owner, inside=inside))
        axis = 0 if activation is None else feature_axis(activation.values.ndim, owner)
        flat.append(None if activation is None else flatness(activation, axis))
    return _counted(found, flat)


def _as_it_is(shaped: nn.Module) -> bool:
    """Whether it is flat where the activation in it is: it adds no part of its input, which has a slope everywhere."""
    of_x, of_phi = getattr(shaped, "of_x", 0.0), getattr(shaped, "of_phi", 1.0)
    return abs(float(of_x)) <= 1e-3 * abs(float(of_phi))


class _Timeline:
    """Calls of which none runs inside another, by the nodes they made."""

    def __init__(self, calls: Sequence[Call]):
        self.calls = sorted((call for call in calls if call.stop > call.start), key=lambda call: call.start)
        self._starts = [call.start for call in self.calls]

    def at(self, order: int) -> Call | None:
        """The call that made the node with this number."""
        before = bisect_right(self._starts, order) - 1
        return self.calls[before] if before >= 0 and order < self.calls[before].stop else None


def _upstream(node: Node, carriers: Mapping[Node, Call]) -> Call | None:
    waiting, seen = deque([node]), {node}
    while waiting and len(seen) < _FAR:
        current = waiting.popleft()
        if current in carriers:
            return carriers[current]
        for other in inputs_of(current):
            if other not in seen:
                seen.add(other)
                waiting.append(other)
    return None


def _counted(found: Sequence[Active], flat: Sequence[Flatness | None]) -> list[Active]:
    counts = [t for f in flat if f is not None for t in (f.dead, f.saturated) if t is not None]
    numbers = iter(numbers_of(counts))
    counted = []
    for active, f in zip(found, flat, strict=True):
        if f is not None:
            dead = int(next(numbers))
            saturated = 0 if f.saturated is None else int(next(numbers))
            active = replace(active, dead=dead, units=f.units, saturated=saturated, entries=f.entries)
        counted.append(active)
    return counted


class ByLayer:
    """Activations by the calls they belong to."""

    def __init__(self, active: Sequence[Active]):
        """Take the activations of a pass in order of execution."""
        self._active, self._orders = active, [a.order for a in active]
        self._owned: dict[Call | None, list[Active]] = defaultdict(list)
        for a in active:
            self._owned[a.owner].append(a)

    def of(self, call: Call) -> Sequence[Active]:
        """Those that ran during ``call`` or, if it carries, that it owns."""
        if call.carries:
            return self._owned[call]
        return self._active[bisect_left(self._orders, call.start) : bisect_left(self._orders, call.stop)]


def activation_metrics(active: Sequence[Active]) -> dict[str, float]:
    """Dead and saturated fraction over several activations."""
    units, entries = sum(a.units for a in active), sum(a.entries for a in active)
    return {
        "dead_fraction": sum(a.dead for a in active) / units if units else math.nan,
        "saturated_fraction": sum(a.saturated for a in active) / entries if entries else math.nan,
    }


def deadest(active: Sequence[Active]) -> tuple[str, float]:
    """Path of the layer with the largest share of dead units, empty where there is none, and that share."""
    return _worst([(a, a.dead, a.units) for a in active])


def most_saturated(active: Sequence[Active]) -> tuple[str, float]:
    """Path of the layer with the largest share of saturated entries, empty where there is none, and that share."""
    return _worst([(a, a.saturated, a.entries) for a in active])


def _worst(counted: Sequence[tuple[Active, int, int]]) -> tuple[str, float]:
    worst = max((each for each in counted if each[2]), key=lambda each: each[1] / each[2], default=None)
    if worst is None:
        return "", math.nan
    active, some, whole = worst
    where = active.owner or active.inside
    return "" if where is None or not some else where.path, some / whole


def parts_of(call: Call, inner: Sequence[Call], active: Sequence[Active]) -> tuple[str, ...]:
    """Kinds of what ran inside ``call``, in order of execution.

    Args:
        call: A call of a layer.
        inner: The calls that ended during it.
        active: The activations that belong to it.
    """
    modules = [c for c in inner if c.innermost]
    named = {a.inside: a.name for a in active if a.inside is not None and not a.inside.holds}
    steps = [(float(c.start), i, _part(c, named)) for i, c in enumerate(modules)]
    # A module that carries stands for what it computes itself.
    own = {call, *modules} if call.carries or call.innermost else {c for c in modules if not c.holds}
    steps += [(a.order + 0.5, 0, a.name) for a in active if a.inside not in own]
    parts = tuple(name for _, _, name in sorted(steps))
    return (kind(call.module), *parts) if call.carries or call.innermost else parts


def _part(call: Call, named: Mapping[Call, str]) -> str:
    """Class of a leaf; of an activation module that is not torch's, the name of the activation in torch."""
    ours = type(call.module).__module__.startswith("torch.nn") or is_shaped(call.module)
    return kind(call.module) if ours else named.get(call, kind(call.module))
