"""Unit variance of every layer's output on real data, in one forward pass."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from leadline.init._passes import Layer, run_once
from leadline.init.orthogonal import delta_orthogonal


@dataclass(frozen=True, kw_only=True)
class Scaled:
    """What was done to one layer.

    Attributes:
        name: Dotted name of the layer.
        std: Standard deviation of its output before, bias left out.
        factor: Factor on its weight: 1/std, or 1 where the output was constant or not finite.
    """

    name: str
    std: float
    factor: float


def lsuv(
    model: nn.Module,
    inputs: Any,
    *,
    draw: Callable[..., object] | None = delta_orthogonal,
    where: Callable[[str, nn.Module], bool] | None = None,
    generator: torch.Generator | None = None,
) -> list[Scaled]:
    r"""Draw orthogonal weights and scale each layer to outputs of unit variance on ``inputs``, in place.

    Layers are scaled as they run, and what they hand on is scaled too, so that one forward pass does it, exactly,
    where the published loop passes again for each layer. A layer's output is a linear function of its weight; its
    bias is left out of the variance, which is taken over all entries.

    A layer that runs several times is scaled at the first, of layers that share a weight one is. The projections
    inside ``nn.MultiheadAttention`` are drawn but not scaled, since they do not run as layers. Frozen parameters stay.
    The model runs in the mode it is in; buffers, such as running statistics, and the global generators are put back.

    Args:
        model: The model.
        inputs: A tensor, a tuple of positional or a mapping of keyword arguments: a batch of at least some dozen.
        draw: The initialiser that goes before; ``None`` keeps the weights and biases that are there.
        where: Which layers are scaled, by dotted name and module; all of them without it.
        generator: Where ``draw`` takes its numbers from.

    Returns:
        What was done, in order of execution.

    Raises:
        UsageError: If ``model`` has no values yet.

    Source:
        mishkin2016, algorithm 1, with one pass in place of its loop.

    Example:
        >>> from leadline._core.randomness import seeded
        >>> with seeded(0):
        ...     net = nn.Sequential(nn.Linear(20, 30), nn.ReLU(), nn.Linear(30, 10))
        ...     x = 5 * torch.randn(200, 20)
        >>> [scaled.name for scaled in lsuv(net, x, generator=torch.Generator().manual_seed(0))]
        ['0', '2']
        >>> round(net(x).std(correction=0).item(), 4)
        1.0
    """
    if draw is not None:
        draw(model, generator=generator)
    steps: list[Scaled] = []

    def scale(layer: Layer, output: Tensor) -> Tensor:
        linear = output - layer.bias
        std = linear.std(correction=0).item()
        factor = 1 / std if 0 < std < math.inf else 1.0
        steps.append(Scaled(name=layer.name, std=std, factor=factor))
        layer.scale(factor)
        return linear * factor + layer.bias

    run_once(model, inputs, where=where, after=scale)
    return steps
