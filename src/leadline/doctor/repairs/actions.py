"""The changes that a step can be: each does it to a model, in place, from plain data."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from leadline._core.errors import UsageError
from leadline._core.names import nearest
from leadline._core.repair import action
from leadline.init import delta_orthogonal, orthogonal
from leadline.init._maps import linear_maps
from leadline.init._setting import set_weight
from leadline.probe.modules import unwrapped

INITIALISERS: dict[str, Callable[..., object]] = {"orthogonal": orthogonal, "delta_orthogonal": delta_orthogonal}


@action("draw")
@torch.no_grad()
def draw(model: nn.Module, data: Mapping[str, Any]) -> None:
    """Draw the weights of linear maps anew, biases of those to zero; ``kept`` names parameters that stay."""
    model = unwrapped(model)
    own = {name: p.detach().clone() for name, p in model.named_parameters() if name in set(data["kept"])}
    device = next(model.parameters()).device
    INITIALISERS[data["initialiser"]](model, generator=torch.Generator(device).manual_seed(data["seed"]))
    for name, value in own.items():
        model.get_parameter(name).copy_(value)


@action("scale")
@torch.no_grad()
def scale(model: nn.Module, data: Mapping[str, Any]) -> None:
    """Multiply a weight, or what its parametrisation makes of it; ``part`` tells which of the maps that lie in it."""
    module, key = parameter_of(model, data["parameter"])
    weight = getattr(module, key)
    value = weight.clone()
    _part(model, value, data).mul_(data["factor"])
    if isinstance(weight, nn.Parameter):
        weight.copy_(value)
    else:
        set_weight(module, key, value)


def _part(model: nn.Module, value: Tensor, data: Mapping[str, Any]) -> Tensor:
    if "part" not in data:
        return value
    entry = next((each for each in linear_maps(unwrapped(model)) if each.name == data["parameter"]), None)
    if entry is None or not data["part"] < entry.maps:
        raise UsageError(
            f"The step changes projection {data['part']} in {data['parameter']!r}, which this model "
            f"({type(unwrapped(model)).__name__}) does not have, or not so that it is trained."
        )
    return entry.part(value, data["part"])


@action("fill")
@torch.no_grad()
def fill(model: nn.Module, data: Mapping[str, Any]) -> None:
    """Give every entry of a parameter one value."""
    module, key = parameter_of(model, data["parameter"])
    getattr(module, key).fill_(data["value"])


@action("from-batch")
def from_batch(model: nn.Module, data: Mapping[str, Any]) -> None:
    """What was computed from the batch itself cannot be done again from a record."""
    raise UsageError(
        f"The repair set {data['what']} from its batch, which the record does not hold: "
        "give the repaired model's state dict as weights."
    )


def parameter_of(model: nn.Module, path: str) -> tuple[nn.Module, str]:
    """The module that holds the parameter ``path``, and its name there.

    Raises:
        UsageError: If the model has no such parameter.
    """
    where, _, key = path.rpartition(".")
    module = module_of(model, where)
    if not isinstance(getattr(module, key, None), Tensor):
        raise UsageError(
            f"The step changes {path!r}, which this model ({type(unwrapped(model)).__name__}) does not have."
        )
    return module, key


def module_of(model: nn.Module, path: str) -> nn.Module:
    """The module at ``path``.

    Raises:
        UsageError: If there is none.
    """
    modules = dict(unwrapped(model).named_modules(remove_duplicate=False))
    if path not in modules:
        guess = nearest(path, modules)
        hint = f"; did you mean {guess!r}?" if guess else "."
        raise UsageError(f"The step changes {path!r}, a module that {type(unwrapped(model)).__name__} lacks{hint}")
    return modules[path]
