"""A torch activation as theory takes it: NumPy callables in float64, a derivative by autograd, and its kinks found."""

import copy
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from leadline._core.elementwise import slopes, values
from leadline._core.errors import UsageError
from leadline._core.randomness import kept_rng
from leadline.theory import Activation

Elementwise = nn.Module | Callable[[Tensor], Tensor]

_REACH = 12  # standard deviations that theory's quadrature covers
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(16)
_HALVINGS = 40
_ROUNDING = 1e-13


def adapted(activation: Elementwise) -> Activation:
    r"""The activation, of a module or callable of tensors, for ``leadline.theory``.

    A module is evaluated as a copy in float64 on the CPU, in eval mode. Kinks are found by halving every interval on
    which 16 Gauss-Legendre nodes and twice 8 intervals' disagree about $\varphi\varphi'$ or $\varphi'^2$.

    Args:
        activation: Elementwise, tensor to tensor of the same shape.

    Returns:
        Function, derivative and breakpoints within 12 of zero.

    Raises:
        UsageError: If it is not elementwise, changes its argument, is not finite, or jumps.

    Example:
        >>> kinked = adapted(nn.Hardtanh(-0.3, 1.0))
        >>> round(float(min(kinked.breakpoints, key=lambda x: abs(x + 0.3))), 9)
        -0.3
    """
    name = type(activation).__name__ if isinstance(activation, nn.Module) else getattr(activation, "__name__", "")
    compute = copy.deepcopy(activation).double().cpu().eval() if isinstance(activation, nn.Module) else activation
    compute = without_inplace(compute)
    _check_elementwise(compute, name)

    function, derivative = partial(values, compute), partial(slopes, compute)
    return Activation(
        name=name, function=function, derivative=derivative, breakpoints=_breakpoints(function, derivative)
    )


def without_inplace(activation: Elementwise) -> Elementwise:
    """The activation itself, or where it overwrites its argument a shallow copy that does not.

    >>> without_inplace(nn.ReLU(inplace=True))
    ReLU()
    """
    if not isinstance(activation, nn.Module) or not getattr(activation, "inplace", False):
        return activation
    other = copy.copy(activation)
    other.__dict__["inplace"] = False
    return other


def _check_elementwise(compute: Elementwise, name: str) -> None:
    x = torch.linspace(-4, 4, 36, dtype=torch.float64)
    kept = x.clone()
    with torch.no_grad(), kept_rng():
        whole, parts = compute(x), [compute(part) for part in kept.clone().split(12)]
    if not torch.equal(x, kept):
        raise UsageError(f"The activation {name} overwrites its argument; give the form that does not.")
    if whole.shape != x.shape or not torch.allclose(whole, torch.cat(parts), equal_nan=True):
        raise UsageError(f"{name} is not an elementwise activation: an entry of its output depends on other entries.")
    if not whole.isfinite().all():
        raise UsageError(f"The activation {name} is not finite on [-4, 4], so its moments are not.")


def _breakpoints(
    function: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    derivative: Callable[[NDArray[np.float64]], NDArray[np.float64]],
) -> tuple[float, ...]:
    """Edges of the intervals on which a halved panel integrates differently."""

    def integrals(left: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
        half = (right - left)[:, None] / 2
        x = (right + left)[:, None] / 2 + half * _NODES
        slope, density = derivative(x), np.exp(-np.square(x) / 2)
        moments = np.stack([function(x) * slope, np.square(slope), x * slope])
        return np.sum(moments * density * _WEIGHTS * half, axis=-1)

    left, right = np.arange(-_REACH, _REACH, dtype=np.float64), np.arange(1 - _REACH, _REACH + 1, dtype=np.float64)
    found: list[float] = []
    for _ in range(_HALVINGS):
        middle = (left + right) / 2
        whole, halves = integrals(left, right), integrals(left, middle) + integrals(middle, right)
        rough = (np.abs(whole - halves) > _ROUNDING * np.maximum(np.abs(halves), 1)).any(axis=0)
        if not rough.any():
            break
        found.extend(middle[rough])
        left, right = (
            np.concatenate([left[rough], middle[rough]]),
            np.concatenate([middle[rough], right[rough]]),
        )
    return tuple(sorted(found))
