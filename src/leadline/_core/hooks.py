"""Hooks on every module of a model, put on and taken off at little cost."""

from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Any

from torch import nn
from torch.utils.hooks import RemovableHandle


class ModuleHooks:
    """Hooks that are taken off together.

    They are what ``register_forward_hook`` puts on, under one number for all modules: hundreds of handles take
    milliseconds to make and to remove. They are not of a copy of a module, nor of a saved one.

    Example:
        >>> import torch
        >>> layer, seen, hooks = nn.Linear(2, 3), [], ModuleHooks()
        >>> hooks.after(layer, lambda module, args, output: seen.append(output.shape))
        >>> _ = layer(torch.zeros(4, 2))
        >>> hooks.remove()
        >>> _ = layer(torch.zeros(5, 2))
        >>> seen
        [torch.Size([4, 3])]
    """

    def __init__(self):
        self._number = RemovableHandle(OrderedDict()).id
        self._modules: list[nn.Module] = []

    def before(self, module: nn.Module, hook: Callable[[nn.Module, tuple[Any, ...], dict[str, Any]], Any]) -> None:
        """Call ``hook(module, args, kwargs)`` before each call of the module."""
        self._modules.append(module)
        module._forward_pre_hooks[self._number] = _Hook(hook)
        module._forward_pre_hooks_with_kwargs[self._number] = True

    def after(self, module: nn.Module, hook: Callable[[nn.Module, tuple[Any, ...], Any], Any]) -> None:
        """Call ``hook(module, args, output)`` after each call of the module; what it returns replaces the output."""
        self._modules.append(module)
        module._forward_hooks[self._number] = _Hook(hook)

    def remove(self) -> None:
        """Take all of them off; doing it twice does no harm."""
        while self._modules:
            module = self._modules.pop()
            for hooks in (module._forward_hooks, module._forward_pre_hooks, module._forward_pre_hooks_with_kwargs):
                hooks.pop(self._number, None)


class _Hook(partial[Any]):
    """Calls a function; copied or pickled it does nothing, for what it serves stays where it is."""

    def __reduce__(self) -> Any:
        return partial, (_idle,)


def _idle(*given: object) -> None:
    """Takes what a hook is given."""
