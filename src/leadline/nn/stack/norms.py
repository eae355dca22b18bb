"""Normalisations of all layers of a stack, with their backward, without a graph."""

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor

from leadline.nn.stack.arena import Arena

Parts = tuple[Tensor, ...] | None

_batch_norm = torch.ops.aten.native_batch_norm.out
_batch_norm_backward = torch.ops.aten.native_batch_norm_backward.default


class Moments:
    """Running moments of all layers, and how the newest batch enters them.

    Attributes:
        mean: ``(layers, width)``.
        variance: ``(layers, width)``.
        parts: Both, layer by layer.
        share: Weight of the newest batch.
        ddof: The batch's variance is divided by n − ``ddof``.
    """

    def __init__(self, mean: Tensor, variance: Tensor, parts: tuple[Parts, Parts], *, share: float, ddof: int):
        self.mean, self.variance, self.parts, self.share, self.ddof = mean, variance, parts, share, ddof


class Norm(ABC):
    """What stands between a linear map and its activation, for each layer by its number."""

    def __init__(self, scale: Parts, shift: Parts):
        self._scale, self._shift = scale, shift

    @abstractmethod
    def forward(self, layer: int, z: Tensor, arena: Arena, *, track: bool) -> tuple[Tensor, Any]:
        """The activation's input, in a place of the arena, and what ``backward`` needs; ``z`` may be overwritten."""

    @abstractmethod
    def backward(self, layer: int, grad: Tensor, kept: Any) -> Tensor:
        """The gradient of ``z``; those of scale and shift are noted."""

    def undo(self, layer: int, u: Tensor, arena: Arena) -> Tensor:
        """``z``, in its place of the arena, out of what ``forward`` made of it; ``u`` may be overwritten."""
        place = arena.place(layer)
        scale, shift = _of(self._scale, layer), _of(self._shift, layer)
        inverse = arena.inverses[place] if scale is None else arena.inverses[place] * scale
        if shift is not None:
            u = u.sub_(shift)
        return torch.addcmul(arena.means[place], u, inverse.reciprocal(), out=arena.maps[arena.slot(layer)])

    @abstractmethod
    def parameter_grads(self) -> tuple[Tensor | None, Tensor | None]:
        """Gradients of scale and shift of all layers, ``(layers, width)``."""


class Shift(Norm):
    """No normalisation: a bias, or nothing."""

    def __init__(self, shift: Parts):
        super().__init__(None, shift)
        self._grads: list[Tensor | None] = [] if shift is None else [None] * len(shift)

    def forward(self, layer: int, z: Tensor, arena: Arena, *, track: bool) -> tuple[Tensor, Any]:
        """``z`` and the bias."""
        return (z if self._shift is None else z.add_(self._shift[layer])), None

    def backward(self, layer: int, grad: Tensor, kept: Any) -> Tensor:
        """``grad`` itself."""
        if self._shift is not None:
            self._grads[layer] = grad.sum(0)
        return grad

    def parameter_grads(self) -> tuple[Tensor | None, Tensor | None]:
        """Of the bias."""
        return None, _stacked(self._grads)


class Batch(Norm):
    """Batch normalisation, by the kernels of torch."""

    def __init__(self, scale: Parts, shift: Parts, *, eps: float, moments: Moments | None):
        super().__init__(scale, shift)
        self._eps = eps
        self._share = moments.share if moments else 0.0
        self._mean, self._variance = moments.parts if moments else (None, None)
        self._scale_grads: dict[int, Tensor] = {}
        self._shift_grads: dict[int, Tensor] = {}

    def forward(self, layer: int, z: Tensor, arena: Arena, *, track: bool) -> tuple[Tensor, Any]:
        """The normalised batch; running moments move as in ``torch.nn.BatchNorm1d``."""
        place = arena.place(layer)
        mean, inverse = arena.means[place], arena.inverses[place]
        u, _, _ = _batch_norm(
            z,
            _of(self._scale, layer),
            _of(self._shift, layer),
            _of(self._mean, layer) if track else None,
            _of(self._variance, layer) if track else None,
            True,
            self._share,
            self._eps,
            out=arena.normalised[arena.slot(layer)],
            save_mean=mean,
            save_invstd=inverse,
        )
        return u, (z, mean, inverse)

    def backward(self, layer: int, grad: Tensor, kept: Any) -> Tensor:
        """Through the batch's moments too."""
        z, mean, inverse = kept
        scale = _of(self._scale, layer)
        needed = (True, scale is not None, scale is not None)
        grad, of_scale, of_shift = _batch_norm_backward(
            grad, z, scale, None, None, mean, inverse, True, self._eps, needed
        )
        if scale is not None:
            self._scale_grads[layer], self._shift_grads[layer] = of_scale, of_shift
        return grad

    def parameter_grads(self) -> tuple[Tensor | None, Tensor | None]:
        """Of scale and shift."""
        return _in_order(self._scale_grads), _in_order(self._shift_grads)


class Fractional(Norm):
    r"""Fractional batch normalisation, with the mean subtracted; see ``FractionalBatchNorm``.

    With $c = z - \mu$, $A_j = w_j (v_j+\epsilon)^{-\alpha/2} (\bar v+\epsilon)^{-(1-\alpha)/2}$, $g$ the gradient of
    $u = cA + b$ and $s_j = \sum_i g_{ij} c_{ij}$,

    $$\frac{\partial L}{\partial z_{ij}} = A_j (g_{ij} - \bar g_j) - \frac{c_{ij}}{n} \Big(
      \frac{\alpha A_j s_j}{v_j + \epsilon} + \frac{1-\alpha}{d\,(\bar v + \epsilon)} \sum_k A_k s_k \Big) .$$
    """

    def __init__(self, scale: Parts, shift: Parts, *, alpha: float, eps: float, moments: Moments | None):
        super().__init__(scale, shift)
        self._alpha, self._eps = alpha, eps
        self._moments = moments
        self._seen: dict[int, tuple[Tensor, Tensor, int]] = {}
        self._scale_grads: dict[int, Tensor] = {}
        self._shift_grads: dict[int, Tensor] = {}

    def forward(self, layer: int, z: Tensor, arena: Arena, *, track: bool) -> tuple[Tensor, Any]:
        """The normalised batch; the last layer's call moves the running moments of all."""
        n = len(z)
        place = arena.place(layer)
        mean = torch.sum(z, 0, out=arena.means[place]).div_(n)
        c = z.sub_(mean)
        variance = (c * c).sum(0).div_(n)
        if track and self._moments is not None:
            self._seen[layer] = (mean.clone(), variance, n)
            if len(self._seen) == self._moments.mean.shape[0]:
                self._track(self._moments)
        own, whole = variance + self._eps, variance.mean() + self._eps
        factor = whole.pow((self._alpha - 1) / 2)
        factor = own.pow(-self._alpha / 2).mul_(factor) if self._alpha else factor.expand_as(own)
        scale, shift = _of(self._scale, layer), _of(self._shift, layer)
        a = factor if scale is None else factor * scale
        arena.inverses[place].copy_(factor)
        u = arena.normalised[arena.slot(layer)]
        torch.mul(c, a, out=u) if shift is None else torch.addcmul(shift, c, a, out=u)
        return u, (c, a, factor, own, whole)

    def backward(self, layer: int, grad: Tensor, kept: Any) -> Tensor:
        """Through the batch's moments too."""
        c, a, factor, own, whole = kept
        n, width = c.shape
        total, products = grad.sum(0), (grad * c).sum(0)
        if self._scale is not None:
            self._scale_grads[layer], self._shift_grads[layer] = products * factor, total
        through = torch.dot(a, products).mul_((1 - self._alpha) / width).div_(whole)
        if self._alpha:
            through = (products * a).div_(own).mul_(self._alpha).add_(through)
        result = torch.sub(grad, total.div(n)).mul_(a)
        return result.addcmul_(c, through, value=-1 / n)

    def parameter_grads(self) -> tuple[Tensor | None, Tensor | None]:
        """Of scale and shift."""
        return _in_order(self._scale_grads), _in_order(self._shift_grads)

    def _track(self, moments: Moments) -> None:
        means, variances, counts = zip(*(self._seen[layer] for layer in sorted(self._seen)), strict=True)
        unbiased = counts[0] / (counts[0] - moments.ddof)
        moments.mean.add_(moments.share * (torch.stack(means) - moments.mean))
        moments.variance.add_(moments.share * (torch.stack(variances) * unbiased - moments.variance))
        self._seen = {}


def _of(parts: Parts, layer: int) -> Tensor | None:
    return None if parts is None else parts[layer]


def _stacked(grads: list[Tensor | None]) -> Tensor | None:
    return torch.stack([grad for grad in grads if grad is not None]) if grads else None


def _in_order(grads: dict[int, Tensor]) -> Tensor | None:
    return torch.stack([grads[layer] for layer in range(len(grads))]) if grads else None
