"""The user's modules under the user's names: wrappers and parametrisations are looked through."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import nn
from torch.fx import GraphModule
from torch.nn.parameter import UninitializedParameter
from torch.nn.utils import parametrize

from leadline._core.errors import UsageError
from leadline._core.unstored import UnstoredWeight, weight_name

_QUANTISED = ("torch.ao.nn.quantized", "torch.ao.nn.intrinsic.quantized", "torch.ao.nn.sparse.quantized")


@dataclass(frozen=True, kw_only=True)
class Anatomy:
    """The modules and parameters of a model.

    Attributes:
        modules: Every module by dotted name, each once, outer before inner; the model itself is ``""``. Those
            that only hold parameters and have no ``forward``, as lists of parameters, are none.
        own: Path of a module -> the parameters that are its own, and not those of modules inside it, by name.
        parameters: Every parameter by dotted name, shared ones once, under the name met first.
        unstored: The modules whose weight is no parameter, by the name that it would have.
    """

    modules: Mapping[str, nn.Module]
    own: Mapping[str, Mapping[str, nn.Parameter]]
    parameters: Mapping[str, nn.Parameter]
    unstored: Mapping[str, UnstoredWeight]

    @property
    def model(self) -> nn.Module:
        """The model itself."""
        return self.modules[""]


def anatomy(model: nn.Module) -> Anatomy:
    """What ``model`` consists of.

    Raises:
        UsageError: If part of it is TorchScript or an exported graph, whose inside cannot be watched, or quantised.
    """
    modules = dict(_named(unwrapped(model)))
    own: dict[str, dict[str, nn.Parameter]] = {}
    named: dict[str, nn.Parameter] = {}
    seen: set[int] = set()
    for path, module in modules.items():
        parameters = _own_parameters(module)
        if parameters or isinstance(module, UnstoredWeight):
            own[path] = parameters
        for key, parameter in parameters.items():
            if id(parameter) not in seen:
                seen.add(id(parameter))
                named[f"{path}.{key}" if path else key] = parameter
    unstored = {weight_name(path): module for path, module in modules.items() if isinstance(module, UnstoredWeight)}
    return Anatomy(modules=modules, own=own, parameters=named, unstored=unstored)


def unwrapped(model: nn.Module) -> nn.Module:
    """The user's module inside ``DataParallel``, ``DistributedDataParallel`` and ``torch.compile``."""
    while (inner := _wrapped(model)) is not None:
        model = inner
    return model


def _wrapped(module: nn.Module) -> nn.Module | None:
    if isinstance(module, torch.jit.ScriptModule):
        return None
    # What torch.compile makes of a module is recognised by its attribute: importing its class takes seconds.
    inner = module._modules.get("_orig_mod")
    if inner is None and isinstance(module, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
        inner = module.module
    return inner


def _named(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    seen: set[nn.Module] = set()
    waiting = [("", model)]
    while waiting:  # no recursion: modules may be nested as deep as the model itself can run
        path, module = waiting.pop()
        if module not in seen:
            _check_eager(path, module)
            seen.add(module)
            yield path, module
            inner = inner_modules(module)
            waiting += [(f"{path}.{key}" if path else key, child) for key, child in reversed(inner.items())]


def _check_eager(path: str, module: nn.Module) -> None:
    if isinstance(module, torch.jit.ScriptModule):
        who = _described(path, module.original_name)
        raise UsageError(f"{who} is TorchScript, which takes no hooks; profile the eager module it was made from.")
    if isinstance(module, GraphModule) and _calls_no_weights(module):
        raise UsageError(
            f"{_described(path, kind(module))} is an exported graph, which calls no modules that could be watched; "
            "profile the eager module it was made from, or what torch.export.unflatten makes of the program."
        )
    if type(module).__module__.startswith(_QUANTISED) and hasattr(module, "_packed_params"):
        raise UsageError(
            f"{_described(path, kind(module))} is quantised, and no gradient flows through it; "
            "profile the float model it was made from."
        )


def _described(path: str, kind: str) -> str:
    return f"{path} ({kind})" if path else f"The model ({kind})"


def _calls_no_weights(graph: GraphModule) -> bool:
    """Whether weights are operands of functions alone, kept in modules of no class that are never called."""
    called = [graph.get_submodule(str(node.target)) for node in graph.graph.nodes if node.op == "call_module"]
    held = any(type(child) is nn.Module and any(True for _ in child.parameters()) for child in graph.children())
    return held and not any(True for module in called for _ in module.parameters())


def inner_modules(module: nn.Module) -> dict[str, nn.Module]:
    """The children of ``module`` by name, wrappers removed; what makes or holds its parameters does not count.

    An activation made of another is one.
    """
    if is_shaped(module):
        return {}
    hidden = "parametrizations" if _is_parametrized(module) else None
    inner = {key: child for key, child in module._modules.items() if child is not None and key != hidden}
    return {key: unwrapped(child) for key, child in inner.items() if not _only_holds(child)}


def _only_holds(module: nn.Module) -> bool:
    """Whether ``module`` has no ``forward``, nor anything in it: what it holds is used by the module around it."""
    if getattr(module.forward, "__func__", None) is not nn.Module.forward:
        return False
    return all(child is None or _only_holds(child) for child in module._modules.values())


def _own_parameters(module: nn.Module) -> dict[str, nn.Parameter]:
    """By name, with those in lists and without empty ones; of parametrised parameters the originals."""
    if is_shaped(module):
        return dict(module.named_parameters())
    own = {key: p for key, p in module._parameters.items() if p is not None}
    for key, child in module._modules.items():
        if child is not None and (_only_holds(child) or (key == "parametrizations" and _is_parametrized(module))):
            own |= {f"{key}.{name}": p for name, p in child.named_parameters()}
    return {key: p for key, p in own.items() if is_lazy(p) or p.numel()}


def is_lazy(parameter: nn.Parameter) -> bool:
    """Whether ``parameter`` gets its shape only when its module first runs."""
    return isinstance(parameter, UninitializedParameter)


def _is_parametrized(module: nn.Module) -> bool:
    return "parametrizations" in module._modules and parametrize.is_parametrized(module)


def prefixes(path: str) -> list[str]:
    """The dotted names of all modules that hold ``path``, outermost first and the model itself left out, and ``path``.

    >>> prefixes("layer1.0.conv")
    ['layer1', 'layer1.0', 'layer1.0.conv']
    """
    return [*(path[:i] for i, letter in enumerate(path) if letter == "."), path]


def kind(module: nn.Module) -> str:
    """Name of the module's class as the user wrote it."""
    name = type(module).__name__
    return name.removeprefix("Parametrized") if _is_parametrized(module) else name


def is_shaped(module: nn.Module) -> bool:
    """Whether ``module`` is one of the activations of ``leadline.nn`` that are made of others."""
    # By name: importing them for those who have none takes half a second.
    return any(cls.__module__.startswith("leadline.nn.shaping.") for cls in type(module).__mro__)


def is_leaf(module: nn.Module) -> bool:
    """Whether ``module`` has no module inside."""
    return not module._modules or not inner_modules(module)
