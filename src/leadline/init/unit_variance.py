"""Unit variance of every layer's output on real data, in one forward pass."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from leadline.init._layer import Layer
from leadline.init._passes import check_samples, run_once, unchanged_on_error
from leadline.init.orthogonal import delta_orthogonal


@dataclass(frozen=True, kw_only=True)
class Scaled:
    """What was done to one layer.

    Attributes:
        name: Dotted name of the layer; of projections fused in one weight with .q, .k or .v behind it.
        std: Standard deviation of its output before, bias left out.
        factor: Factor on its weight: 1/std, or 1 where the output was constant or not finite.
        parameter: Dotted name of the parameter that holds the weight.
        part: Which of the maps that lie in that parameter it is; ``None`` for all of them.
    """

    name: str
    std: float
    factor: float
    parameter: str
    part: int | None = None


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

    A layer that runs several times is scaled at the first, of layers that share a weight one is. Projections to
    queries, keys and values count each, also where they are fused in one weight or lie inside
    ``nn.MultiheadAttention``, whose are called ``q_proj``, ``k_proj``, ``v_proj`` and ``out_proj``. Frozen parameters
    stay. The model runs in the mode it is in; buffers, such as running statistics, and the global generators are put
    back.

    Args:
        model: The model.
        inputs: A tensor, a tuple of positional or a mapping of keyword arguments: a batch of at least some dozen.
        draw: The initialiser that goes before; ``None`` keeps the weights and biases that are there.
        where: Which layers are scaled, by dotted name and module (of projections inside torch's attention that
            attention); all of them without it.
        generator: Where ``draw`` takes its numbers from.

    Returns:
        What was done, in order of execution.

    Raises:
        UsageError: If ``model`` has no values yet, or ``inputs`` hold no sample or do not fit it; then it is unchanged.

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
    check_samples(inputs)
    steps: list[Scaled] = []

    def scaled(name: str, layer: Layer, linear: Tensor, projection: int | None = None) -> float:
        std = linear.std(correction=0).item()
        factor = 1 / std if 0 < std < math.inf else 1.0
        layer.scale(factor, projection=projection)
        part = layer.part if projection is None else projection
        steps.append(Scaled(name=name, std=std, factor=factor, parameter=layer.parameter, part=part))
        return factor

    def scale(layer: Layer, output: Tensor) -> Tensor:
        linear = output - layer.bias
        if layer.fused == 1:
            return linear * scaled(layer.name, layer, linear) + layer.bias
        outputs = layer.per_projection(linear).unbind(-2)
        factors = [scaled(f"{layer.name}.{'qkv'[i]}", layer, output, i) for i, output in enumerate(outputs)]
        return linear * layer.per_output(linear.new_tensor(factors)) + layer.bias

    with unchanged_on_error(model):
        if draw is not None:
            draw(model, generator=generator)
        run_once(model, inputs, where=where, after=scale)
    return steps
