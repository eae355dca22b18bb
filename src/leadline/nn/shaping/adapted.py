"""A torch activation as theory takes it: NumPy callables in float64, a derivative by autograd, and its kinks found."""

import copy
from collections.abc import Callable
from dataclasses import replace
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
_MOST = 2**16  # intervals that are halved at once
_ROUNDING = 1e-13
_SETTLED = 1e-6  # share of a moment that the last interval of either end, or one that was halved, may hold


def adapted(activation: Elementwise) -> Activation:
    r"""The activation, of a module or callable of tensors, for ``leadline.theory``.

    A module is evaluated as a copy in float64 on the CPU, in eval mode. Kinks are found by halving every interval on
    which 16 Gauss-Legendre nodes and twice 8 intervals' disagree about $\varphi\varphi'$ or $\varphi'^2$.

    Args:
        activation: Elementwise, tensor to tensor of the same shape.

    Returns:
        Function, derivative and breakpoints within 12 of zero.

    Raises:
        UsageError: If it is no module or function, is not elementwise, changes its argument, is not finite, or has no
            finite moments.

    Example:
        >>> kinked = adapted(nn.Hardtanh(-0.3, 1.0))
        >>> round(float(min(kinked.breakpoints, key=lambda x: abs(x + 0.3))), 9)
        -0.3
    """
    _check_callable(activation)
    name = type(activation).__name__ if isinstance(activation, nn.Module) else getattr(activation, "__name__", "")
    compute = copy.deepcopy(activation).double().cpu().eval() if isinstance(activation, nn.Module) else activation
    compute = without_inplace(compute)
    _check_elementwise(compute, name)

    phi = Activation(name=name, function=partial(values, compute), derivative=partial(slopes, compute), breakpoints=())
    return replace(phi, breakpoints=_breakpoints(phi))


def _check_callable(activation: object) -> None:
    if isinstance(activation, type) or not callable(activation):
        got = f"the class {activation.__name__}" if isinstance(activation, type) else repr(activation)
        raise UsageError(f"An activation is a module or a function of a tensor, such as torch.nn.ReLU(); got {got}.")


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
    if whole.shape == x.shape and not whole.isfinite().all():
        raise UsageError(f"The activation {name} is not finite on [-4, 4], so its moments are not.")
    rounding = 1e-8 * float(whole.abs().max())
    if whole.shape != x.shape or not torch.allclose(whole, torch.cat(parts), rtol=1e-5, atol=rounding):
        raise UsageError(f"{name} is not an elementwise activation: an entry of its output depends on other entries.")


def _breakpoints(activation: Activation) -> tuple[float, ...]:
    """Edges of the intervals on which a halved panel integrates differently."""

    def integrals(left: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
        half = (right - left)[:, None] / 2
        x = (right + left)[:, None] / 2 + half * _NODES
        slope, density = activation.derivative(x), np.exp(-np.square(x) / 2)
        with np.errstate(over="ignore", invalid="ignore"):
            moments = np.stack([activation.function(x) * slope, np.square(slope), x * slope])
            return np.sum(moments * density * _WEIGHTS * half, axis=-1)

    left, right = np.arange(-_REACH, _REACH, dtype=np.float64), np.arange(1 - _REACH, _REACH + 1, dtype=np.float64)
    panels = np.abs(integrals(left, right))
    size = panels.sum(axis=1, keepdims=True)
    if not np.isfinite(size).all() or (panels[:, [0, -1]] > _SETTLED * size).any():
        raise _unsettled(activation)
    found: list[float] = []
    for halving in range(1, _HALVINGS + 1):
        middle = (left + right) / 2
        whole, halves = integrals(left, right), integrals(left, middle) + integrals(middle, right)
        error = np.abs(whole - halves)
        rough = (error > _ROUNDING * np.maximum(np.abs(halves), size)).any(axis=0)
        if not rough.any():
            break
        # A kink is left in a panel too narrow to count; where the mean squared slope is infinite, all of it is there.
        if rough.sum() > _MOST or (halving == _HALVINGS and (error > _SETTLED * size).any()):
            raise _unsettled(activation)
        found.extend(middle[rough])
        left, right = (
            np.concatenate([left[rough], middle[rough]]),
            np.concatenate([middle[rough], right[rough]]),
        )
    return tuple(sorted(found))


def _unsettled(activation: Activation) -> UsageError:
    return UsageError(
        f"The moments of {activation.name} and of its slope under a standard normal are infinite or beyond the reach "
        "of quadrature, so it cannot be shaped."
    )
