"""Facts about modules that no layer's numbers tell: never used, few values per channel, where nan begins."""

import math
from collections.abc import Collection, Sequence

from torch.nn.modules.batchnorm import _BatchNorm

from leadline.probe.capture import Call
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
