"""The gain of any activation: a name, a class of torch, a module with its parameters, or a function of a tensor."""

import copy
from collections.abc import Callable
from functools import partial

from torch import Tensor, nn

from leadline import theory
from leadline._core.elementwise import slopes, values
from leadline._core.names import check_choice

ActivationLike = str | type[nn.Module] | nn.Module | Callable[[Tensor], Tensor]

# Where torch's activations have kinks; splitting a smooth function there costs nothing.
_KINKS = (-6.0, -3.0, -1.0, -0.5, 0.0, 0.5, 1.0, 3.0, 6.0, 20.0)


def gain(activation: ActivationLike, *, keep: str = "signal") -> float:
    r"""The gain that keeps a signal or a gradient at its size behind an activation.

    $$1/\sqrt{\mathrm{E}\,\varphi(z)^2} \quad\text{or}\quad 1/\sqrt{\mathrm{E}\,\varphi'(z)^2}, \qquad z \sim N(0, 1).$$

    Weights of variance gain²/fan_in behind the activation give pre-activations of unit variance. Where torch's
    ``calculate_gain`` has a rule of thumb (5/3 for tanh) or raises (GELU), this is the expectation itself.

    Args:
        activation: A name in ``leadline.theory.ACTIVATIONS``, a class of ``torch.nn``, a module (its own slope, alpha,
            beta count) or an elementwise function of a tensor.
        keep: What is to keep its size, ``"signal"`` or ``"gradient"``.

    Returns:
        The gain, dimensionless, to about 1e-14; a function with kinks elsewhere than at
        0, ±1/2, ±1, ±3, ±6 and the integers up to 12 to about 1e-4.

    Raises:
        UsageError: If no activation has that name, or ``keep`` is neither.
        AssumptionError: If the activation (or its slope) vanishes on all of the line.

    Source:
        he2015, section 2.2, for any activation.

    Example:
        >>> round(gain(nn.GELU()), 4), round(gain("relu"), 4), round(gain(nn.LeakyReLU(1.0)), 4)
        (1.5335, 1.4142, 1.0)
    """
    check_choice("keep", keep, ("signal", "gradient"))
    phi = activation if isinstance(activation, str) else _adapted(activation)
    return theory.gain(phi) if keep == "signal" else theory.gradient_gain(phi)


def _adapted(activation: type[nn.Module] | nn.Module | Callable[[Tensor], Tensor]) -> theory.Activation:
    """What torch computes, as the NumPy callable that theory takes."""
    function = activation() if isinstance(activation, type) else activation
    if isinstance(function, nn.Module):
        function = copy.deepcopy(function).double().cpu().eval()
        if hasattr(function, "inplace"):
            function.inplace = False  # type: ignore[assignment]

    name = type(function).__name__ if isinstance(function, nn.Module) else "function"
    return theory.Activation(
        name=name, function=partial(values, function), derivative=partial(slopes, function), breakpoints=_KINKS
    )
