"""Elementwise activations by name, as torch modules; the names are those of `leadline.theory`."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from leadline._core.names import check_choice

ActivationName = Literal[
    "identity", "relu", "leaky_relu", "tanh", "sigmoid", "gelu", "gelu_tanh", "silu", "elu", "selu", "celu",
    "softplus", "mish", "hard_swish", "hard_tanh", "relu6", "sin", "softsign",
]  # fmt: skip


class Sin(nn.Module):
    """The sine of every entry."""

    def forward(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """The sine."""
        return torch.sin(x)


class GELUTanh(nn.Module):
    """GELU in its tanh form, the one of GPT-2."""

    def forward(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """The activation."""
        return F.gelu(x, approximate="tanh")


ACTIVATIONS: dict[str, type[nn.Module]] = {
    "identity": nn.Identity,
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "gelu": nn.GELU,
    "gelu_tanh": GELUTanh,
    "silu": nn.SiLU,
    "elu": nn.ELU,
    "selu": nn.SELU,
    "celu": nn.CELU,
    "softplus": nn.Softplus,
    "mish": nn.Mish,
    "hard_swish": nn.Hardswish,
    "hard_tanh": nn.Hardtanh,
    "relu6": nn.ReLU6,
    "sin": Sin,
    "softsign": nn.Softsign,
}


def activation(name: str) -> nn.Module:
    """A new module of the activation called ``name``, with torch's default parameters.

    Args:
        name: A key of ``ACTIVATIONS``.

    Returns:
        The module; none of them works in place or has parameters.

    Raises:
        UsageError: If no activation has that name; the nearest is offered.

    Example:
        >>> activation("leaky_relu")
        LeakyReLU(negative_slope=0.01)
    """
    return ACTIVATIONS[check_choice("activation", name, ACTIVATIONS)]()
