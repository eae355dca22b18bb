"""Mean and variance of every feature over a batch, in float32 or wider, over one process or all of them."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, distributed


@dataclass(frozen=True)
class FeatureMoments:
    """Moments of each feature over its ``count`` values; the variance is divided by the count."""

    count: int | Tensor
    mean: Float[Tensor, " features"]
    variance: Float[Tensor, " features"]


def feature_moments(
    x: Float[Tensor, "..."], *, axis: int, centre: bool = True, synchronised: bool = False
) -> FeatureMoments:
    r"""Mean $\mu_j$ and variance $v_j$ of feature $j$ over all other axes.

    $$v_j = \tfrac1n \sum_i (x_{ij} - \mu_j)^2$$

    by two passes, so that nothing cancels. Without ``centre`` the mean is 0 and the variance the mean square.

    Args:
        x: Any shape; should be float32 or wider.
        axis: The axis of the features.
        centre: Whether the mean is taken.
        synchronised: Whether the batch is spread over the processes of ``torch.distributed``; without an
            initialised group nothing is exchanged. Gradients flow to all processes.

    Returns:
        Count, mean and variance, in the dtype of ``x``; the count is a 0-d tensor where it was exchanged.

    Example:
        >>> feature_moments(torch.tensor([[1.0, 5.0], [3.0, 5.0]]), axis=1)
        FeatureMoments(count=2, mean=tensor([2., 5.]), variance=tensor([1., 0.]))
    """
    over = [i for i in range(x.ndim) if i != axis % x.ndim]
    count = x.numel() // max(x.shape[axis], 1)
    exchange = synchronised and distributed.is_available() and distributed.is_initialized()
    if exchange:
        count = _over_processes(x.new_tensor([float(count)]))[0]

    def mean(values: Tensor) -> Tensor:
        total = values.sum(over)
        return (_over_processes(total) if exchange else total) / count

    if not centre:
        return FeatureMoments(count, x.new_zeros(x.shape[axis]), mean(x.square()))
    mu = mean(x)
    return FeatureMoments(count, mu, mean((x - per_feature(mu, x, axis)).square()))


def per_feature(values: Float[Tensor, " features"], x: Float[Tensor, "..."], axis: int) -> Float[Tensor, "..."]:
    """``values`` in the shape that broadcasts along ``axis`` of ``x``.

    >>> per_feature(torch.zeros(3), torch.zeros(2, 3, 4), 1).shape
    torch.Size([1, 3, 1])
    """
    shape = [1] * x.ndim
    shape[axis] = -1
    return values.view(shape)


class _SumOverProcesses(torch.autograd.Function):
    """Every process gets the sum, so the gradient of one addend is the sum of the processes' gradients."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        total = value.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        total = grads[0].clone()
        distributed.all_reduce(total)
        return total


def _over_processes(value: Tensor) -> Tensor:
    total = _SumOverProcesses.apply(value)
    assert isinstance(total, Tensor)
    return total
