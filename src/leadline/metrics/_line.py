"""The loss of a mini-batch as a function of a model's parameters, and its gradient where they are."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from leadline._core.errors import UsageError
from leadline.metrics._calls import call, main_output

Loss = Callable[[Any, Any], Tensor]


@dataclass(frozen=True, kw_only=True)
class Landscape:
    """A model's loss around where it stands; nothing of the model is changed.

    Attributes:
        start: Loss there, without graph.
        free: The parameters that require a gradient, by name.
        gradient: Their gradients, in the same order.
        loss: Loss with other values of them.
        slope: Gradient with other values of them.
    """

    start: Tensor
    free: Mapping[str, Tensor]
    gradient: tuple[Tensor, ...]
    loss: Callable[[Mapping[str, Tensor]], Tensor]
    slope: Callable[[Mapping[str, Tensor]], tuple[Tensor, tuple[Tensor, ...]]]

    def moved(self, step: float, direction: tuple[Tensor, ...]) -> dict[str, Tensor]:
        """The parameters a step against ``direction``."""
        return {name: p - step * d for (name, p), d in zip(self.free.items(), direction, strict=True)}


def landscape(model: nn.Module, inputs: Any, targets: Any, loss: Loss | None = None) -> Landscape:
    """The loss of one mini-batch, every time with the same dropout masks and on copies of the buffers.

    Raises:
        UsageError: If no parameter requires a gradient, or the loss is no scalar that depends on one.
    """
    fixed = {name: p.detach() for name, p in model.named_parameters() if not p.requires_grad}
    free = {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}
    if not free:
        raise UsageError("`model` has no parameter that requires a gradient, so there is no step to take.")
    buffers = dict(model.named_buffers())
    of = loss or _default_loss

    def value(parameters: Mapping[str, Tensor]) -> Tensor:
        return of(call(model, {**fixed, **parameters}, buffers, inputs), targets)

    def slope(parameters: Mapping[str, Tensor]) -> tuple[Tensor, tuple[Tensor, ...]]:
        leaves = {name: p.detach().requires_grad_() for name, p in parameters.items()}
        with torch.enable_grad():
            here = value(leaves)
            if here.ndim > 0 or not here.requires_grad:
                raise UsageError(
                    f"`loss` must give a scalar that depends on the parameters, got shape {tuple(here.shape)}."
                )
            grads = torch.autograd.grad(here, list(leaves.values()), allow_unused=True, materialize_grads=True)
        return here.detach(), grads

    start, gradient = slope(free)
    return Landscape(start=start, free=free, gradient=gradient, loss=torch.no_grad()(value), slope=slope)


def _default_loss(outputs: Any, targets: Any) -> Tensor:
    outputs = main_output(outputs)
    if not isinstance(targets, Tensor):
        raise UsageError(
            f"`targets` must be a tensor, unless `loss` is given, which takes them; got {type(targets).__name__}."
        )
    if targets.is_floating_point():
        return F.mse_loss(outputs, targets)
    if outputs.shape[:-1] == targets.shape:  # classes on the last axis, as in token logits
        outputs, targets = outputs.flatten(0, -2), targets.flatten()
    return F.cross_entropy(outputs, targets)
