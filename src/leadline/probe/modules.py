"""The user's modules under the user's names: wrappers and parametrisations are looked through."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from torch import nn
from torch.nn.utils import parametrize


@dataclass(frozen=True, kw_only=True)
class Anatomy:
    """The modules and parameters of a model.

    Attributes:
        modules: Every module by dotted name, each once, outer before inner; the model itself is ``""``.
        own: Path of a module -> the parameters that are its own, and not those of modules inside it, by name.
        parameters: Every parameter by dotted name, shared ones once, under the name met first.
    """

    modules: Mapping[str, nn.Module]
    own: Mapping[str, Mapping[str, nn.Parameter]]
    parameters: Mapping[str, nn.Parameter]

    @property
    def model(self) -> nn.Module:
        """The model itself."""
        return self.modules[""]


def anatomy(model: nn.Module) -> Anatomy:
    """What ``model`` consists of."""
    modules = dict(_named(unwrapped(model), "", set()))
    own: dict[str, dict[str, nn.Parameter]] = {}
    named: dict[str, nn.Parameter] = {}
    seen: set[int] = set()
    for path, module in modules.items():
        if parameters := _own_parameters(module):
            own[path] = parameters
        for key, parameter in parameters.items():
            if id(parameter) not in seen:
                seen.add(id(parameter))
                named[f"{path}.{key}" if path else key] = parameter
    return Anatomy(modules=modules, own=own, parameters=named)


def unwrapped(model: nn.Module) -> nn.Module:
    """The user's module inside ``DataParallel``, ``DistributedDataParallel`` and ``torch.compile``."""
    while (inner := _wrapped(model)) is not None:
        model = inner
    return model


def _wrapped(module: nn.Module) -> nn.Module | None:
    # What torch.compile makes of a module is recognised by its attribute: importing its class takes seconds.
    inner = module._modules.get("_orig_mod")
    if inner is None and isinstance(module, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
        inner = module.module
    return inner


def _named(module: nn.Module, path: str, seen: set[nn.Module]) -> Iterator[tuple[str, nn.Module]]:
    if module not in seen:
        seen.add(module)
        yield path, module
        for key, child in inner_modules(module).items():
            yield from _named(child, f"{path}.{key}" if path else key, seen)


def inner_modules(module: nn.Module) -> dict[str, nn.Module]:
    """The children of ``module`` by name, wrappers removed; the functions that make its parameters do not count."""
    hidden = "parametrizations" if _is_parametrized(module) else None
    return {k: unwrapped(child) for k, child in module._modules.items() if child is not None and k != hidden}


def _own_parameters(module: nn.Module) -> dict[str, nn.Parameter]:
    """By name; of parametrised parameters the originals."""
    own = {key: p for key, p in module._parameters.items() if p is not None}
    if _is_parametrized(module):
        made = module._modules["parametrizations"]
        assert made is not None
        own |= {f"parametrizations.{key}": p for key, p in made.named_parameters()}
    return own


def _is_parametrized(module: nn.Module) -> bool:
    return "parametrizations" in module._modules and parametrize.is_parametrized(module)


def kind(module: nn.Module) -> str:
    """Name of the module's class as the user wrote it."""
    name = type(module).__name__
    return name.removeprefix("Parametrized") if _is_parametrized(module) else name


def is_leaf(module: nn.Module) -> bool:
    """Whether ``module`` has no module inside."""
    return not module._modules or not inner_modules(module)
