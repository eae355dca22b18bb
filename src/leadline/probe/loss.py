"""From a model's outputs to the scalar that is differentiated."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from leadline._core.arguments import tensors
from leadline._core.errors import UsageError
from leadline._core.outputs import named_output
from leadline.probe.inputs import first_float

Loss = Callable[[Any, Any], Tensor]


def main_output(outputs: Any) -> Tensor | None:
    """The tensor that meets the loss: the tensor itself, the ``logits``, or the first float tensor."""
    logits = named_output(outputs, "logits")
    return first_float(outputs) if logits is None else logits


def scalar_loss(outputs: Any, targets: Any, loss: Loss | None, *, seed: int) -> tuple[Tensor, str]:
    """The loss and its kind: ``"custom"``, ``"model"``, ``"cotangent"``, ``"cross_entropy"`` or ``"mse"``.

    Raises:
        UsageError: If no output carries a gradient, or the targets do not fit the output.
    """
    if loss is not None:
        return _checked_scalar(loss(outputs, targets)), "custom"
    own = named_output(outputs, "loss")
    if targets is None and own is not None and own.numel() == 1:
        return own.reshape(()), "model"
    output = main_output(outputs)
    if output is None or not any(t.requires_grad for t in tensors(outputs)):
        raise UsageError(_no_gradient(outputs))
    if targets is None:
        return cotangent_product(outputs, seed=seed), "cotangent"
    if not isinstance(targets, Tensor):
        raise UsageError(
            f"targets must be a tensor, or loss= a function that takes what they are; got {type(targets).__name__}."
        )
    targets = targets.to(output.device)
    if targets.is_floating_point():
        return _mean_square(output, targets), "mse"
    return _cross_entropy(output, targets), "cross_entropy"


def _no_gradient(outputs: Any) -> str:
    kind = type(outputs).__name__
    if any(t.is_complex() for t in tensors(outputs)):
        return (
            f"The output ({kind}) is complex; return real numbers of it, as torch.view_as_real, or take them in loss=."
        )
    return f"The output ({kind}) carries no gradient: no floating-point tensor in it depends on a parameter or input."


def cotangent_product(outputs: Any, *, seed: int) -> Tensor:
    """Inner product of all float outputs with one fixed random direction of unit length over all of them."""
    floats = [t for t in tensors(outputs) if t.is_floating_point() and t.requires_grad]
    generator = torch.Generator().manual_seed(seed)
    directions = [torch.randn(t.shape, generator=generator, dtype=torch.float32) for t in floats]
    length = torch.stack([d.double().square().sum() for d in directions]).sum().sqrt()
    parts = [(_wide(t) * (d / length).to(t.device)).sum() for t, d in zip(floats, directions, strict=True)]
    return torch.stack([part.to(parts[0].device) for part in parts]).sum()


def _wide(tensor: Tensor) -> Tensor:
    """In float32 at least: losses of half precision are computed so in training, too."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def _checked_scalar(value: Any) -> Tensor:
    if not isinstance(value, Tensor) or value.numel() != 1 or not value.requires_grad:
        raise UsageError(
            f"loss(outputs, targets) must return a scalar tensor with a gradient; got {_described(value)}."
        )
    return value.reshape(())


def _described(value: Any) -> str:
    if not isinstance(value, Tensor):
        return type(value).__name__
    return f"shape {tuple(value.shape)}" + ("" if value.requires_grad else " without gradient")


def _mean_square(output: Tensor, targets: Tensor) -> Tensor:
    if output.numel() != targets.numel():
        raise UsageError(f"Targets of shape {tuple(targets.shape)} do not fit the output {tuple(output.shape)}.")
    return F.mse_loss(_wide(output), targets.reshape(output.shape).to(_wide(output).dtype))


def _cross_entropy(output: Tensor, targets: Tensor) -> Tensor:
    """Classes lie along the last axis, or along axis 1 where the other axes are those of the targets."""
    classes_last = output.shape[:-1] == targets.shape
    classes_second = output.ndim >= 2 and (output.shape[0], *output.shape[2:]) == tuple(targets.shape)
    if classes_last or classes_second:
        _check_classes(targets, output.shape[-1 if classes_last else 1])
    if classes_last:
        return F.cross_entropy(_wide(output).flatten(0, -2), targets.flatten().long())
    if classes_second:
        return F.cross_entropy(_wide(output), targets.long())
    raise UsageError(
        f"Integer targets of shape {tuple(targets.shape)} do not fit the output {tuple(output.shape)}: "
        f"expected one class index for each {tuple(output.shape[:-1])}."
    )


def _check_classes(targets: Tensor, classes: int) -> None:
    wrong = (targets >= classes) | ((targets < 0) & (targets != -100))  # -100: torch leaves it out
    if wrong.any():
        raise UsageError(f"The target {int(targets[wrong][0])} is no class: the output has {classes}, counted from 0.")
