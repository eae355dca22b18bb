"""Activations as pairs of forward and backward, without a graph, for a pass that goes through layer by layer."""

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from leadline.nn.activations import GELUTanh, Sin
from leadline.nn.shaping import GainedActivation, ShapedActivation

_aten = torch.ops.aten


class Pair(ABC):
    """An elementwise function and its derivative.

    Attributes:
        spare: Whether it writes its values beside its input, and not over it.
    """

    spare: bool = False

    @abstractmethod
    def forward(self, u: Tensor, out: Tensor) -> tuple[Tensor, Any]:
        """Its values, in ``out`` or over ``u``, and what its derivative needs."""

    @abstractmethod
    def backward(self, grad: Tensor, kept: Any) -> Tensor:
        """``grad`` times the derivative; ``grad`` stays as it is."""


class _Identity(Pair):
    def forward(self, u: Tensor, out: Tensor) -> tuple[Tensor, Any]:
        return u, None

    def backward(self, grad: Tensor, kept: Any) -> Tensor:
        return grad


class _OfOutput(Pair):
    """In place; the derivative is a function of the value."""

    def __init__(self, forward: Any, backward: Any):
        self._forward, self._backward = forward, backward

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

    def forward(self, u: Tensor, out: Tensor) -> tuple[Tensor, Any]:
        return self._inner.forward(u.mul_(self._gain), out)

    def backward(self, grad: Tensor, kept: Any) -> Tensor:
        return self._inner.backward(grad, kept) * self._gain


class _Shaped(Pair):
    """a x + b phi(x) + k, of an inner pair that works in place."""

    spare = True

    def __init__(self, inner: Pair, shaped: ShapedActivation):
        self._inner, self._a, self._b, self._k = inner, shaped.of_x, shaped.of_phi, shaped.constant

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
    )


def _gelu(approximate: str) -> Pair:
    return _OfInput(
        lambda u, out: _aten.gelu.out(u, approximate=approximate, out=out),
        lambda grad, u: _aten.gelu_backward.default(grad, u, approximate=approximate),
    )


_PAIRS: dict[type[nn.Module], Any] = {
    nn.Identity: lambda module: _Identity(),
    nn.ReLU: lambda module: _OfOutput(torch.relu_, lambda grad, y: _aten.threshold_backward.default(grad, y, 0)),
    nn.LeakyReLU: _leaky,
    nn.Tanh: lambda module: _OfOutput(torch.tanh_, _aten.tanh_backward.default),
    nn.Sigmoid: lambda module: _OfOutput(torch.sigmoid_, _aten.sigmoid_backward.default),
    nn.SiLU: lambda module: _OfInput(_aten.silu.out, _aten.silu_backward.default),
    nn.GELU: lambda module: _gelu(module.approximate),
    GELUTanh: lambda module: _gelu("tanh"),
    Sin: lambda module: _OfInput(torch.sin, lambda grad, u: grad * torch.cos(u)),
}
