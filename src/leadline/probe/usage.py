"""Facts about modules that no layer's numbers tell: never used, few values per channel, where nan begins."""

from collections.abc import Collection, Mapping, Sequence

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from leadline.probe.capture import Call
from leadline.probe.modules import holds_parameters, own_parameters

FEW_VALUES = 32


def unused_modules(modules: Mapping[str, nn.Module], met: Collection[str], reached: Collection[int]) -> tuple[str, ...]:
    """Paths of modules with parameters that never ran or whose output never met the loss; the outermost of each.

    Args:
        modules: All modules by path.
        met: Paths of the modules whose output went into the loss.
        reached: Ids of the parameters that got a gradient. Frozen ones get none and are told by ``met``.
    """
    holders = {path: module for path, module in modules.items() if path and holds_parameters(module)}
    idle = {path for path, module in holders.items() if not _is_used(path, module, met, reached, holders)}
    return tuple(dict.fromkeys(_outermost(path, holders, idle) for path in holders if path in idle))


def _is_used(
    path: str, module: nn.Module, met: Collection[str], reached: Collection[int], holders: Collection[str]
) -> bool:
    own = own_parameters(module)
    if any(p.requires_grad for p in own):
        return any(id(p) in reached for p in own)
    # Lists of parameters never run, and attention uses the weights of its projection without calling it.
    passive = isinstance(module, (nn.ParameterList, nn.ParameterDict))
    return passive or path in met or path.rpartition(".")[0] in holders


def _outermost(path: str, holders: Collection[str], idle: Collection[str]) -> str:
    parents = path.split(".")
    for i in range(1, len(parents)):
        outer = ".".join(parents[:i])
        if all(holder in idle for holder in holders if holder == outer or holder.startswith(f"{outer}.")):
            return outer
    return path


def small_batch_norms(calls: Sequence[Call]) -> dict[str, int]:
    """Batch normalisation layers whose statistics were taken over few values: path -> values per channel."""
    return {
        call.path: count
        for call in calls
        if isinstance(call.module, _BatchNorm) and (call.module.training or call.module.running_mean is None)
        if len(call.shape) >= 2 and (count := _values_per_channel(call.shape)) < FEW_VALUES
    }


def _values_per_channel(shape: Sequence[int]) -> int:
    count = shape[0]
    for extent in shape[2:]:
        count *= extent
    return count
