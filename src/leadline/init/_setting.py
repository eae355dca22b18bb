"""How a module is given a weight that is no parameter of its own, but made of others before it is used."""

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.nn.utils.weight_norm import WeightNorm

from leadline._core.errors import UsageError
from leadline.init._parametrised import set_parametrised


def source(module: nn.Module, key: str) -> Tensor:
    """The parameter behind the weight ``key``: itself, or what a parametrisation or an older hook makes it of.

    >>> layer = nn.Linear(2, 2)
    >>> source(layer, "weight") is layer.weight
    True
    """
    if parametrize.is_parametrized(module, key):
        return next(module.parametrizations[key].parameters())  # type: ignore[union-attr]
    held = (module._parameters.get(key + suffix) for suffix in ("", "_v", "_orig"))
    return next((parameter for parameter in held if parameter is not None), getattr(module, key))


def check_settable(module: nn.Module, key: str) -> None:
    """Refuse a weight that the older hooks make anew at every call and that cannot be given through them.

    Raises:
        UsageError: If ``torch.nn.utils.spectral_norm`` or ``torch.nn.utils.prune`` makes it.
    """
    if module._parameters.get(f"{key}_orig") is not None:
        raise UsageError(
            f"The {key} of this {type(module).__name__} is made anew from `{key}_orig` at every call, by "
            "torch.nn.utils.spectral_norm or prune, which undoes what is drawn: draw before, or use "
            "torch.nn.utils.parametrizations."
        )


def set_weight(module: nn.Module, key: str, value: Tensor) -> None:
    """Make ``value`` the weight ``key``: through its parametrisation, or as length and direction of the older hook.

    Raises:
        UsageError: As for ``check_settable``.
    """
    check_settable(module, key)
    for hook in module._forward_pre_hooks.values():
        if isinstance(hook, WeightNorm) and hook.name == key:
            getattr(module, f"{key}_v").copy_(value)
            getattr(module, f"{key}_g").copy_(torch.norm_except_dim(value, 2, hook.dim))
            hook(module, ())
            return
    if parametrize.is_parametrized(module, key):
        set_parametrised(module, key, value)
    else:
        setattr(module, key, value)
