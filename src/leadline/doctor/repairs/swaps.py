"""The changes that put a module in another's place, each from plain data, so that a record can do them again."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from leadline._core.errors import UsageError
from leadline._core.names import check_choice
from leadline._core.repair import action
from leadline.doctor.repairs.actions import module_of
from leadline.nn import FractionalBatchNorm, convert_batch_norm, shape
from leadline.probe.modules import unwrapped


@action("shape")
def shaped(model: nn.Module, data: Mapping[str, Any]) -> None:
    """Put the shaped form of an activation in its place, wherever that module stands."""
    module = module_of(model, data["module"])
    new = shape(module, data["depth"], data["budget"], data["normalised"])
    _replace(model, module, new.train(module.training))


@action("insert")
def inserted(model: nn.Module, data: Mapping[str, Any]) -> None:
    """Put a norm in front of a module, or behind it: both together take its place."""
    module = module_of(model, data["module"])
    norm = _norm(data, model).train(module.training)
    _replace(model, module, nn.Sequential(norm, module) if data["front"] else nn.Sequential(module, norm))


@action("fractional")
def fractional(model: nn.Module, data: Mapping[str, Any]) -> None:
    """Convert every batch normalisation to a fractional one."""
    convert_batch_norm(unwrapped(model), alpha=data["alpha"])


def _norm(data: Mapping[str, Any], model: nn.Module) -> nn.Module:
    check_choice("norm", data["norm"], ("batch", "fractional", "layer", "group"))
    first = next(model.parameters())
    features, kind = data["features"], data["norm"]
    where = {"device": first.device, "dtype": first.dtype if first.is_floating_point() else torch.float32}
    if kind == "layer":
        return nn.LayerNorm(features, **where)
    if kind == "group":
        return nn.GroupNorm(1, features, **where)
    if kind == "fractional":
        return FractionalBatchNorm(features, alpha=data["alpha"], **where)
    return {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}[data["axes"]](features, **where)


def _replace(model: nn.Module, old: nn.Module, new: nn.Module) -> None:
    found = False
    for parent in list(unwrapped(model).modules()):
        if parent is new:
            continue
        for name, child in parent._modules.items():
            if child is old:
                parent._modules[name], found = new, True
    if not found:
        raise UsageError("The model is one layer by itself: there is no place in it where a module could be swapped.")
