"""Facts that no layer's numbers tell: modules never used, weights of no layer, few values per channel."""

import math
from collections.abc import Collection, Iterable, Sequence

from torch.autograd.graph import Node
from torch.nn.modules.batchnorm import _BatchNorm

from leadline.probe.capture import Call
from leadline.probe.graph import number_of, parameters_multiplied
from leadline.probe.modules import Anatomy, prefixes
from leadline.probe.rows import feature_axis

FEW_VALUES = 32


def unused_modules(parts: Anatomy, met: Collection[str], reached: Collection[str]) -> tuple[str, ...]:
    """Paths of modules with parameters that never ran or whose output never met the loss; the outermost of each.

    Args:
        parts: The model.
        met: Paths of the modules whose output went into the loss.
        reached: Names of the parameters that got a gradient. Frozen ones get none and are told by ``met``.
    """
    ids = {id(parts.parameters[name]) for name in reached if name in parts.parameters}
    idle = {path for path in parts.own if path and not _is_used(path, parts, met, ids)}
    busy = {outer for path in parts.own if path not in idle for outer in prefixes(path)}
    return tuple(dict.fromkeys(_outermost(path, busy) for path in parts.own if path in idle))


def _is_used(path: str, parts: Anatomy, met: Collection[str], reached: Collection[int]) -> bool:
    own = parts.own[path].values()
    if any(p.requires_grad for p in own):
        return any(id(p) in reached for p in own)
    # Attention uses the weights of its projection without calling it.
    return path in met or path.rpartition(".")[0] in parts.own


def _outermost(path: str, busy: Collection[str]) -> str:
    """The outermost module around ``path`` of which nothing is used."""
    return next((outer for outer in prefixes(path) if outer not in busy), path)


def weights_without_layer(
    parts: Anatomy, calls: Sequence[Call], layers: Sequence[Call], nodes: Iterable[Node]
) -> list[str]:
    """Names of the weights that no layer holds and that functions outside all modules with parameters multiply with.

    Embeddings and tokens that are added, and what modules are called with, are none.
    """
    watched = {call.path for call in layers}
    loose = {
        id(parameter): name
        for name, parameter in parts.parameters.items()
        if parameter.ndim >= 2 and parameter.requires_grad and watched.isdisjoint(prefixes(name))
    }
    if not loose:
        return []
    for call in layers:
        for shared in call.module.parameters():
            loose.pop(id(shared), None)
    spans = [(call.start, call.stop) for call in calls if call.carries or call.path in watched]
    used = {
        parameter
        for node in nodes
        for parameter in parameters_multiplied(node).intersection(loose)
        if not any(start <= number_of(node) < stop for start, stop in spans)
    }
    return [name for parameter, name in loose.items() if parameter in used]


def small_batch_norms(calls: Sequence[Call]) -> dict[str, int]:
    """Batch normalisation layers whose statistics were taken over few values: path -> values per channel."""
    return {
        call.path: count
        for call in calls
        if isinstance(call.module, _BatchNorm) and _uses_batch(call.module) and len(call.shape) >= 2
        if (count := math.prod(call.shape) // max(call.shape[feature_axis(len(call.shape), call)], 1)) < FEW_VALUES
    }


def _uses_batch(norm: _BatchNorm) -> bool:
    """Whether the statistics were those of the batch; a module may say so itself."""
    own = getattr(norm, "uses_batch", None)
    return own if isinstance(own, bool) else norm.training or norm.running_mean is None
