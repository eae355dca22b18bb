"""The user's modules under the user's names: wrappers and parametrisations are looked through."""

from collections.abc import Iterator

from torch import nn
from torch.nn.utils import parametrize


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


def named_modules(model: nn.Module) -> dict[str, nn.Module]:
    """Every module of ``model`` by dotted name, each once, outer before inner; the model itself is ``""``."""
    return dict(_named(unwrapped(model), "", set()))


def _named(module: nn.Module, name: str, seen: set[nn.Module]) -> Iterator[tuple[str, nn.Module]]:
    if module in seen:
        return
    seen.add(module)
    yield name, module
    for key, child in inner_modules(module).items():
        yield from _named(child, f"{name}.{key}" if name else key, seen)


def inner_modules(module: nn.Module) -> dict[str, nn.Module]:
    """The children of ``module`` by name, wrappers removed; the functions that make its parameters do not count."""
    return {
        key: unwrapped(child)
        for key, child in module._modules.items()
        if child is not None and not (key == "parametrizations" and parametrize.is_parametrized(module))
    }


def kind(module: nn.Module) -> str:
    """Name of the module's class as the user wrote it."""
    name = type(module).__name__
    return name.removeprefix("Parametrized") if parametrize.is_parametrized(module) else name


def is_leaf(module: nn.Module) -> bool:
    """Whether nothing runs inside ``module`` but itself."""
    return not inner_modules(module)


def holds_parameters(module: nn.Module) -> bool:
    """Whether ``module`` has parameters of its own, not only those of modules inside it."""
    return any(p is not None for p in module._parameters.values()) or parametrize.is_parametrized(module)


def own_parameters(module: nn.Module) -> list[nn.Parameter]:
    """The parameters that belong to ``module`` itself, the originals of parametrised ones included."""
    own = [p for p in module._parameters.values() if p is not None]
    if parametrize.is_parametrized(module):
        own += list(module.parametrizations.parameters())  # type: ignore[union-attr]
    return own


def named_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """Every parameter of ``model`` by dotted name, shared ones once, under the name met first."""
    named: dict[str, nn.Parameter] = {}
    seen: set[nn.Parameter] = set()
    for path, module in named_modules(model).items():
        for key, parameter in _named_own(module):
            if parameter not in seen:
                seen.add(parameter)
                named[f"{path}.{key}" if path else key] = parameter
    return named


def _named_own(module: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    yield from ((key, p) for key, p in module._parameters.items() if p is not None)
    if parametrize.is_parametrized(module):
        yield from ((f"parametrizations.{key}", p) for key, p in module.parametrizations.named_parameters())  # type: ignore[union-attr]
