"""The shortest way through a network: what a skip or a shorter branch goes around may stand still."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from leadline._core.profile import LINEAR_KINDS, LayerProfile, Profile
from leadline.doctor.layers import layer_of
from leadline.probe.flow import INPUTS

# Decades more by which layers may multiply what passes them where a shorter way goes around: of 12 networks that were
# trained five of six learned below, and one of six above.
BESIDE = 1.5
# One weight of each layer of torch's LSTM, GRU and RNN.
_RECURRENT = re.compile(r"weight_hh_l\d+$")


@dataclass(frozen=True, kw_only=True)
class Way:
    """The ways from the input to the last layer that pass the fewest layers of the chain.

    Attributes:
        names: Names of the layers that lie on one of them, in the chain or not.
        plain: Layers of the chain on one of them that hold no skip of their own; of a recurrent module all its layers.
    """

    names: frozenset[str]
    plain: int

    @cached_property
    def paths(self) -> frozenset[str]:
        """Dotted names of their modules, without the number of the call."""
        return frozenset(name.partition("#")[0] for name in self.names)


def hidden(profile: Profile) -> tuple[LayerProfile, ...]:
    """The chain, without the head where the chain is made of linear maps."""
    chain = profile.chain
    return chain[:-1] if len(chain) > 2 and chain[-1].kind in LINEAR_KINDS else chain


def shortest_way(profile: Profile) -> Way:
    """The shortest way, by what the layers read; a layer of which that is not known reads the one in front."""
    chain = {layer.name for layer in hidden(profile)}
    stacked = Counter(layer_of(profile, weight) for weight in profile.weight_shapes if _RECURRENT.search(weight))
    costs, behind, front = {INPUTS: (0, 0)}, dict[str, list[str]](), INPUTS
    for layer in profile.layers:
        read = [name for name in layer.reads if name in costs] or [front]
        passed, plain = least = min(costs[name] for name in read)
        counts = layer.name in chain
        own = 0 if layer.residual else max(stacked[layer.name], 1)
        costs[layer.name] = (passed + counts, plain + counts * own)
        behind[layer.name] = [name for name in read if costs[name] == least]
        front = layer.name
    names, waiting = set[str](), [front]
    while waiting:
        name = waiting.pop()
        if name in behind and name not in names:
            names.add(name)
            waiting += behind[name]
    return Way(names=frozenset(names), plain=costs[front][1])


def goes_around(profile: Profile, layers: Iterable[LayerProfile]) -> bool:
    """Whether the shortest way leaves out more than half of ``layers``."""
    way = shortest_way(profile)
    left_out = [layer.name not in way.names for layer in layers]
    return 2 * sum(left_out) > len(left_out)
