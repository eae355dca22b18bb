"""Activations as pairs of forward and backward, without a graph, for a pass that goes through layer by layer."""

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from leadline.nn.activations import GELUTanh, Sin
from leadline.nn.shaping import GainedActivation, ShapedActivation

_aten = torch.ops.aten


class Bend(NamedTuple):
    """A pair of lines: ``above`` x + ``lift`` where x > 0, and ``below`` x + ``lift`` elsewhere."""

    above: float
    below: float
    lift: float

    def undo(self, y: Tensor) -> Tensor:
        """The input; both lines must rise."""
        x = y - self.lift
        return x / self.above if self.above == self.below else torch.where(x > 0, x / self.above, x / self.below)


class Slope(NamedTuple):
    """A derivative: ``above`` or ``below`` by the sign of the input, or ``above`` + ``first`` t + ``second`` t².

    t is what ``forward`` leaves in the place of its input.
    """

    above: float
    below: float
    first: float
    second: float


class Pair(ABC):
    """An elementwise function and its derivative.

    Attributes:
        spare: Whether it writes its values beside its input, and not over it.
        bend: Its lines, where it is a pair of them.
        slope: Its derivative, where it is that of such a pair or a polynomial.
    """

    spare: bool = False
    bend: Bend | None = None
    slope: Slope | None = None

    @abstractmethod
    def forward(self, u: Tensor, out: Tensor) -> tuple[Tensor, Any]:
        """Its values, in ``out`` or over ``u``, and what its derivative needs."""

    @abstractmethod
    def backward(self, grad: Tensor, kept: Any) -> Tensor:
        """``grad`` times the derivative; ``grad`` stays as it is."""


class _Identity(Pair):
    bend, slope = Bend(1.0, 1.0, 0.0), Slope(1.0, 1.0, 0.0, 0.0)

    def forward(self, u: Tensor, out: Tensor) -> tuple[Tensor, Any]:
        return u, None

    def backward(self, grad: Tensor, kept: Any) -> Tensor:
        return grad


class _OfOutput(Pair):
    """In place; the derivative is a function of the value."""

    def __init__(self, forward: Any, backward: Any, *, slope: Slope, bend: Bend | None = None):
        self._forward, self._backward = forward, backward
        self.slope, self.bend = slope, bend

    def forward(self, u: Tensor, out: Tensor) -> tuple[Tensor, Any]:
        return self._forward(u), u

    def backward(self, grad: Tensor, kept: Any) -> Tensor:
        return self._backward(grad, kept)


class _OfInput(Pair):
    """The derivative is a function of what goes in."""

    spare = True

    def __init__(self, forward: Any, backward: Any):
        self._forward, self._backward = forward, backward

    def forward(self, u: Tensor, out: Tensor) -> tuple[Tensor, Any]:
        return self._forward(u, out=out), u

    def backward(self, grad: Tensor, kept: Any) -> Tensor:
        return self._backward(grad, kept)


class _Gained(Pair):
    """phi(gain x)."""

    def __init__(self, inner: Pair, gain: float):
        self._inner, self._gain, self.spare = inner, gain, inner.spare
        if inner.slope is not None and gain > 0:
            self.slope = Slope(*(gain * part for part in inner.slope))
            self.bend = inner.bend and Bend(gain * inner.bend.above, gain * inner.bend.below, inner.bend.lift)

    def forward(self, u: Tensor, out: Tensor) -> tuple[Tensor, Any]:
        return self._inner.forward(u.mul_(self._gain), out)

    def backward(self, grad: Tensor, kept: Any) -> Tensor:
        return self._inner.backward(grad, kept) * self._gain


class _Shaped(Pair):
    """a x + b phi(x) + k, of an inner pair that works in place."""

    spare = True

    def __init__(self, inner: Pair, shaped: ShapedActivation):
        self._inner, self._a, self._b, self._k = inner, shaped.of_x, shaped.of_phi, shaped.constant
        a, b, k = self._a, self._b, self._k
        if inner.slope is not None:
            above, below, first, second = inner.slope
            self.slope = Slope(a + b * above, a + b * below, b * first, b * second)
        if inner.bend is not None:
            above, below, lift = inner.bend
            self.bend = Bend(a + b * above, a + b * below, k + b * lift)

    def forward(self, u: Tensor, out: Tensor) -> tuple[Tensor, Any]:
        torch.mul(u, self._a, out=out)
        if self._k:
            out.add_(self._k)
        value, kept = self._inner.forward(u, u)
        return out.add_(value, alpha=self._b), kept

    def backward(self, grad: Tensor, kept: Any) -> Tensor:
        return torch.add(grad * self._a, self._inner.backward(grad, kept), alpha=self._b)


class _ShapedOfInput(_Shaped):
    """The same where the derivative of phi is a function of its input."""

    def forward(self, u: Tensor, out: Tensor) -> tuple[Tensor, Any]:
        self._inner.forward(u, out)
        out.mul_(self._b).add_(u, alpha=self._a)
        return (out.add_(self._k) if self._k else out), u


class _Traced(Pair):
    """Any other module, by autograd."""

    def __init__(self, module: nn.Module):
        self._module = module

    def forward(self, u: Tensor, out: Tensor) -> tuple[Tensor, Any]:
        with torch.enable_grad():
            # A copy, since autograd counts changes of the arena and not of its places.
            given = u.clone().requires_grad_()
            value = self._module(given)
        return value.detach(), (value, given)

    def backward(self, grad: Tensor, kept: Any) -> Tensor:
        value, given = kept
        return torch.autograd.grad(value, given, grad)[0]


def pair(module: nn.Module) -> Pair:
    """The pair of an activation; it must be elementwise and have no parameters.

    >>> y, kept = pair(nn.Tanh()).forward(torch.zeros(2), torch.empty(2))
    >>> pair(nn.Tanh()).backward(torch.ones(2), kept)
    tensor([1., 1.])
    """
    if isinstance(module, ShapedActivation):
        if module.of_phi == 0:
            return _Identity()
        inner = pair(module.activation) if isinstance(module.activation, nn.Module) else _Traced(module)
        if isinstance(inner, _OfOutput):
            return _Shaped(inner, module)
        return _ShapedOfInput(inner, module) if isinstance(inner, _OfInput) else _Traced(module)
    if isinstance(module, GainedActivation) and isinstance(module.activation, nn.Module):
        return _Gained(pair(module.activation), module.gain)
    return _PAIRS[type(module)](module) if type(module) in _PAIRS else _Traced(module)


def _leaky(module: Any) -> Pair:
    slope = module.negative_slope
    if slope <= 0:
        return _Traced(module)
    return _OfOutput(
        lambda u: F.leaky_relu_(u, slope),
        lambda grad, y: _aten.leaky_relu_backward.default(grad, y, slope, True),
        slope=Slope(1.0, slope, 0.0, 0.0),
        bend=Bend(1.0, slope, 0.0),
    )


def _gelu(approximate: str) -> Pair:
    return _OfInput(
        lambda u, out: _aten.gelu.out(u, approximate=approximate, out=out),
        lambda grad, u: _aten.gelu_backward.default(grad, u, approximate=approximate),
    )


_PAIRS: dict[type[nn.Module], Any] = {
    nn.Identity: lambda module: _Identity(),
    nn.ReLU: lambda module: _OfOutput(
        torch.relu_,
        lambda grad, y: _aten.threshold_backward.default(grad, y, 0),
        slope=Slope(1.0, 0.0, 0.0, 0.0),
        bend=Bend(1.0, 0.0, 0.0),
    ),
    nn.LeakyReLU: _leaky,
    nn.Tanh: lambda module: _OfOutput(torch.tanh_, _aten.tanh_backward.default, slope=Slope(1.0, 1.0, 0.0, -1.0)),
    nn.Sigmoid: lambda module: _OfOutput(
        torch.sigmoid_, _aten.sigmoid_backward.default, slope=Slope(0.0, 0.0, 1.0, -1.0)
    ),
    nn.SiLU: lambda module: _OfInput(_aten.silu.out, _aten.silu_backward.default),
    nn.GELU: lambda module: _gelu(module.approximate),
    GELUTanh: lambda module: _gelu("tanh"),
    Sin: lambda module: _OfInput(torch.sin, lambda grad, u: grad * torch.cos(u)),
}
