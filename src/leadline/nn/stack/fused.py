"""Normalisation and activation of a layer together, each way in as few passes over memory as their moments need."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from leadline._core.compiled import Loop, can_compile, one_thread_does
from leadline.nn.stack.activations import Bend, Pair, Slope
from leadline.nn.stack.arena import Arena
from leadline.nn.stack.norms import Moments
from leadline.nn.stack.tail import Tail

_STRAIGHT, _LEVEL = Bend(1.0, 1.0, 0.0), Slope(1.0, 1.0, 0.0, 0.0)


def fits(x: Tensor) -> bool:
    """Whether this machine has it for batches like this one, and gains by it."""
    there = x.is_cpu and x.dtype in (torch.float32, torch.float64) and can_compile()
    return there and one_thread_does(x.numel(), threads=torch.get_num_threads())


class Fused(Tail):
    r"""Batch normalisation of exponent $\alpha$, and the activation, compiled for the CPU.

    The formulas are those of ``Fractional``, to which $g$ comes as the gradient behind $\varphi$ times $\varphi'$.

    Of an activation that is no pair of lines its values, and of one whose derivative is no polynomial of them its
    derivative, come from torch.

    Args:
        like: Weights of the stack ``(layers, width, width)``.
        scale: Scales of the layers, each ``(width,)``, or ``None``.
        shift: Shifts likewise.
        pairs: The activation of each layer.
        alpha: 1 for batch normalisation.
        eps: Added to variances.
        moments: Running ones, which move with each layer, or ``None``.
    """

    def __init__(
        self,
        like: Tensor,
        scale: Tensor | None,
        shift: Tensor | None,
        pairs: Sequence[Pair],
        *,
        alpha: float,
        eps: float,
        moments: Moments | None,
    ):
        super().__init__(pairs)
        none = np.empty((0, 0), np.float32 if like.dtype == torch.float32 else np.float64)
        self._affine = _array(scale, none), _array(shift, none)
        self._alpha, self._eps = alpha, eps
        self._share, self._ddof = (moments.share, moments.ddof) if moments else (0.0, 0)
        self._moments = (moments.mean.numpy(), moments.variance.numpy()) if moments else (none, none)
        shape = like.shape[:2]
        self._grads = like.new_empty(shape), like.new_empty(shape)
        self._grad_arrays = self._grads[0].numpy(), self._grads[1].numpy()
        self._has = scale is not None, shift is not None

    def forward(self, layer: int, z: Tensor, arena: Arena, *, track: bool) -> tuple[Tensor, Any]:
        """The layer's output; running moments move."""
        pair, share = self._pairs[layer], self._share if track else 0.0
        slot, place = arena.slot(layer), arena.place(layer)
        _forward.compiled(
            *arena.arrays, *self._affine, *self._moments, layer, slot, place, self._alpha, self._eps, share, self._ddof,
            *(pair.bend or _STRAIGHT),
        )  # fmt: skip
        u = arena.normalised[slot]
        if pair.bend is not None:
            return u, (arena, None)
        y, of_activation = pair.forward(u, arena.outputs[slot])
        return y, (arena, of_activation)

    def backward(self, layer: int, grad: Tensor, kept: Any) -> Tensor:
        """The gradient of ``z``, written over ``grad`` where that serves."""
        arena, of_activation = kept
        pair = self._pairs[layer]
        slope = pair.slope
        if slope is None:
            grad, slope = pair.backward(grad, of_activation), _LEVEL
        slot, place = arena.slot(layer), arena.place(layer)
        _backward.compiled(
            grad.numpy(), *arena.arrays, *self._affine, *self._grad_arrays, layer, slot, place, self._alpha, self._eps,
            *slope,
        )  # fmt: skip
        return grad

    def undo(self, layer: int, y: Tensor, arena: Arena) -> Tensor:
        """In one pass."""
        bend, slot = self._pairs[layer].bend, arena.slot(layer)
        assert bend is not None
        maps, _, means, inverses, _ = arena.arrays
        _undo.compiled(y.numpy(), maps, means, inverses, *self._affine, layer, slot, arena.place(layer), *bend)
        return arena.maps[slot]

    def parameter_grads(self) -> tuple[Tensor | None, Tensor | None]:
        """Of scale and shift."""
        of_scale, of_shift = (grad if has else None for grad, has in zip(self._grads, self._has, strict=True))
        return of_scale, of_shift


def _array(tensor: Tensor | None, none: Any) -> Any:
    return none if tensor is None else tensor.detach().numpy()


@Loop
def _forward(
    maps, normalised, means, inverses, variances, scale, shift, running_mean, running_variance, layer, slot, place,
    alpha, eps, share, ddof, above, below, lift,
):  # fmt: skip
    z, u, mean, factor = maps[slot], normalised[slot], means[place], inverses[place]
    n, d = z.shape
    number = z.dtype.type
    zero, above, below, lift = number(0), number(above), number(below), number(lift)
    total = np.zeros(d)
    for i in range(n):
        for j in range(d):
            total[j] += z[i, j]
    mean[:] = total / n
    total[:] = 0
    for i in range(n):
        for j in range(d):
            c = z[i, j] - mean[j]
            total[j] += c * c
    variance = total / n
    variances[place] = variance
    if alpha == 1:
        factor[:] = 1 / np.sqrt(variance + eps)
    elif alpha == 0:
        factor[:] = 1 / np.sqrt(np.mean(variance) + eps)
    else:
        factor[:] = (np.mean(variance) + eps) ** ((alpha - 1) / 2) * (variance + eps) ** (-alpha / 2)
    if share:
        running_mean[layer] += share * (mean - running_mean[layer])
        running_variance[layer] += share * (total / (n - ddof) - running_variance[layer])
    whole = factor * scale[layer] if scale.size else factor
    offset = (shift[layer] if shift.size else np.zeros(d, z.dtype)) - mean * whole
    for i in range(n):
        for j in range(d):
            x = z[i, j] * whole[j] + offset[j]
            u[i, j] = (above if x > zero else below) * x + lift


@Loop
def _backward(
    grad, maps, normalised, means, inverses, variances, scale, shift, of_scale, of_shift, layer, slot, place, alpha,
    eps, above, below, first, second,
):  # fmt: skip
    z, u, mean, factor = maps[slot], normalised[slot], means[place], inverses[place]
    n, d = z.shape
    number = z.dtype.type
    zero, above, below, first, second = number(0), number(above), number(below), number(first), number(second)
    whole = factor * scale[layer] if scale.size else factor
    offset = (shift[layer] if shift.size else np.zeros(d, z.dtype)) - mean * whole
    total, product = np.zeros(d), np.zeros(d)
    for i in range(n):
        if first or second:
            for j in range(d):
                grad[i, j] *= above + u[i, j] * (first + u[i, j] * second)
        elif above != 1 or below != 1:
            for j in range(d):
                grad[i, j] *= above if z[i, j] * whole[j] + offset[j] > zero else below
        for j in range(d):
            total[j] += grad[i, j]
            product[j] += grad[i, j] * (z[i, j] - mean[j])
    of_scale[layer] = product * factor
    of_shift[layer] = total
    product *= whole
    slant = alpha * product / (variances[place] + eps)
    if alpha != 1:
        slant += (1 - alpha) * np.mean(product) / (np.mean(variances[place]) + eps)
    level, along = (total / n).astype(z.dtype), (slant / n).astype(z.dtype)
    for i in range(n):
        for j in range(d):
            grad[i, j] = whole[j] * (grad[i, j] - level[j]) - (z[i, j] - mean[j]) * along[j]


@Loop
def _undo(y, maps, means, inverses, scale, shift, layer, slot, place, above, below, lift):
    z, mean = maps[slot], means[place]
    n, d = z.shape
    number = z.dtype.type
    zero, above, below, lift = number(0), number(1 / above), number(1 / below), number(lift)
    whole = number(1) / (inverses[place] * scale[layer] if scale.size else inverses[place])
    offset = mean - (shift[layer] if shift.size else np.zeros(d, z.dtype)) * whole
    for i in range(n):
        for j in range(d):
            x = y[i, j] - lift
            z[i, j] = (above if x > zero else below) * x * whole[j] + offset[j]
