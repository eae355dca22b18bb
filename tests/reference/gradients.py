"""Gradients of weights and Jacobians from their definitions, one summand and one entry at a time."""

import itertools
from collections.abc import Callable

import torch
from torch import Tensor, nn


def linear_contributions(inputs: Tensor, output_grads: Tensor) -> Tensor:
    """Rows × outputs × inputs."""
    rows = zip(inputs.reshape(-1, inputs.shape[-1]), output_grads.reshape(-1, output_grads.shape[-1]), strict=True)
    return torch.stack([torch.outer(delta, x) for x, delta in rows])


def convolution_contributions(layer: nn.Module, inputs: Tensor, output_grads: Tensor) -> Tensor:
    """Positions of the output × shape of the weight: autograd with all other positions of the gradient at zero."""
    weight = layer.get_parameter("weight")
    found = []
    for sample, *place in itertools.product(*(range(s) for i, s in enumerate(output_grads.shape) if i != 1)):
        one = torch.zeros_like(output_grads)
        where = (sample, slice(None), *place)
        one[where] = output_grads[where]
        found.append(torch.autograd.grad(layer(inputs), weight, one)[0])
    return torch.stack(found)


def cancellation(contributions: Tensor) -> float:
    return (contributions.abs().mean(0).mean() / contributions.mean(0).abs().mean()).item()


def jacobian(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """One backward pass an output."""
    x = x.detach().clone().requires_grad_()
    y = function(x).flatten()
    return torch.stack([torch.autograd.grad(entry, x, retain_graph=True)[0].flatten() for entry in y])
