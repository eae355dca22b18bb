"""Elementwise activations as NumPy callables, each with its derivative and its kinks."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, ndtr

from leadline._core.errors import UsageError
from leadline._core.names import check_choice

ArrayFunction = Callable[[NDArray[np.float64]], NDArray[np.float64]]


@dataclass(frozen=True, kw_only=True)
class Activation:
    """An elementwise function of a pre-activation.

    Attributes:
        name: Its name in ``ACTIVATIONS``.
        function: The function, of a float64 array of any shape.
        derivative: Its derivative; at a kink the value from either side.
        breakpoints: Where the function or one of its derivatives jumps; quadrature splits there.
    """

    name: str
    function: ArrayFunction
    derivative: ArrayFunction
    breakpoints: tuple[float, ...] = ()


def activation(name: str | Activation) -> Activation:
    """The activation of that name: a key of ``ACTIVATIONS`` or the class of a torch module in ``TORCH_NAMES``.

    Args:
        name: For instance ``"relu"`` or ``"ReLU"``; an ``Activation`` is given back as it is.

    Returns:
        The activation with torch's default parameters (slope .01 of the leaky ReLU, alpha 1 of ELU and CELU).

    Raises:
        UsageError: If it is no name, or no activation has that one; the nearest is offered.

    Example:
        >>> activation("LeakyReLU").name
        'leaky_relu'
        >>> float(activation("silu").function(np.array(1.0)).round(4))
        0.7311
    """
    if isinstance(name, Activation):
        return name
    if not isinstance(name, str):
        kind = name.__name__ if isinstance(name, type) else type(name).__name__
        hint = f": give its name, {kind!r}" if kind in TORCH_NAMES else ""
        raise UsageError(f"An activation is a name, such as 'relu', or a theory.Activation; got {kind}{hint}.")
    name = TORCH_NAMES.get(name, name)
    return ACTIVATIONS[check_choice("activation", name, ACTIVATIONS)]


def leaky_relu(slope: float) -> Activation:
    """The ReLU with ``slope`` on the negative side.

    >>> leaky_relu(0.2).function(np.array([-1.0, 1.0]))
    array([-0.2,  1. ])
    """
    return Activation(
        name="leaky_relu",
        function=lambda x: np.where(x > 0, x, slope * x),
        derivative=lambda x: np.where(x > 0, 1.0, slope),
        breakpoints=(0.0,),
    )


def _scaled_elu(name: str, scale: float, alpha: float) -> Activation:
    return Activation(
        name=name,
        function=lambda x: scale * np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0.0))),
        derivative=lambda x: scale * np.where(x > 0, 1.0, alpha * np.exp(np.minimum(x, 0.0))),
        breakpoints=(0.0,),
    )


def _softplus(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.logaddexp(0.0, x)


def _density(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.exp(-np.square(x) / 2) / np.sqrt(2 * np.pi)


def _sech_squared(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1 - np.square(np.tanh(x))


_CUBIC = 0.044715  # of the tanh form of GELU, hendrycks2016


def _gelu_argument(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.sqrt(2 / np.pi) * (x + _CUBIC * x * x * x)


def _gelu_tanh_derivative(x: NDArray[np.float64]) -> NDArray[np.float64]:
    inner = _gelu_argument(x)
    return 0.5 * (1 + np.tanh(inner)) + 0.5 * x * _sech_squared(inner) * np.sqrt(2 / np.pi) * (1 + 3 * _CUBIC * x * x)


_TABLE = (
    Activation(name="identity", function=lambda x: x * 1.0, derivative=lambda x: np.ones_like(x)),
    Activation(
        name="relu",
        function=lambda x: np.maximum(x, 0.0),
        derivative=lambda x: np.where(x > 0, 1.0, 0.0),
        breakpoints=(0.0,),
    ),
    leaky_relu(0.01),
    Activation(name="tanh", function=np.tanh, derivative=_sech_squared),
    Activation(name="sigmoid", function=expit, derivative=lambda x: expit(x) * expit(-x)),
    Activation(name="gelu", function=lambda x: x * ndtr(x), derivative=lambda x: ndtr(x) + x * _density(x)),
    Activation(
        name="gelu_tanh",
        function=lambda x: 0.5 * x * (1 + np.tanh(_gelu_argument(x))),
        derivative=_gelu_tanh_derivative,
    ),
    Activation(name="silu", function=lambda x: x * expit(x), derivative=lambda x: expit(x) * (1 + x * expit(-x))),
    _scaled_elu("elu", 1.0, 1.0),
    _scaled_elu("selu", 1.0507009873554805, 1.6732632423543772),
    _scaled_elu("celu", 1.0, 1.0),
    Activation(name="softplus", function=_softplus, derivative=expit),
    Activation(
        name="mish",
        function=lambda x: x * np.tanh(_softplus(x)),
        derivative=lambda x: np.tanh(_softplus(x)) + x * _sech_squared(_softplus(x)) * expit(x),
    ),
    Activation(
        name="hard_swish",
        function=lambda x: x * np.clip(x + 3, 0.0, 6.0) / 6,
        derivative=lambda x: np.where(x > 3, 1.0, np.where(x < -3, 0.0, (2 * x + 3) / 6)),
        breakpoints=(-3.0, 3.0),
    ),
    Activation(
        name="hard_tanh",
        function=lambda x: np.clip(x, -1.0, 1.0),
        derivative=lambda x: np.where(np.abs(x) < 1, 1.0, 0.0),
        breakpoints=(-1.0, 1.0),
    ),
    Activation(
        name="relu6",
        function=lambda x: np.clip(x, 0.0, 6.0),
        derivative=lambda x: np.where((x > 0) & (x < 6), 1.0, 0.0),
        breakpoints=(0.0, 6.0),
    ),
    Activation(name="sin", function=np.sin, derivative=np.cos),
    Activation(
        name="softsign",
        function=lambda x: x / (1 + np.abs(x)),
        derivative=lambda x: 1 / np.square(1 + np.abs(x)),
        breakpoints=(0.0,),
    ),
)

ACTIVATIONS = {entry.name: entry for entry in _TABLE}

# Class of a torch (or transformers) module -> key of ``ACTIVATIONS``.
TORCH_NAMES = {
    "Identity": "identity",
    "ReLU": "relu",
    "LeakyReLU": "leaky_relu",
    "Tanh": "tanh",
    "Sigmoid": "sigmoid",
    "GELU": "gelu",
    "GELUActivation": "gelu",
    "NewGELUActivation": "gelu_tanh",
    "GELUTanh": "gelu_tanh",
    "SiLU": "silu",
    "SiLUActivation": "silu",
    "ELU": "elu",
    "SELU": "selu",
    "CELU": "celu",
    "Softplus": "softplus",
    "Mish": "mish",
    "Hardswish": "hard_swish",
    "Hardtanh": "hard_tanh",
    "ReLU6": "relu6",
    "Sin": "sin",
    "Softsign": "softsign",
}
