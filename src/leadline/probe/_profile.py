"""The public function: what a batch shows of a model, layer by layer, forward and backward."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

from torch import Tensor, nn

from leadline._core.names import check_choice
from leadline._core.profile import Profile
from leadline._core.randomness import seeded
from leadline.probe._pass import Settings, one_pass
from leadline.probe.inputs import as_batch
from leadline.probe.select import Layers


def profile(
    model: nn.Module | Callable[[], nn.Module],
    inputs: Any,
    targets: Any = None,
    *,
    loss: Callable[[Any, Any], Tensor] | None = None,
    layers: Layers = "blocks",
    effort: Literal["standard", "full"] = "standard",
    rows: int = 64,
    draws: int = 8,
    seed: int = 0,
) -> Profile:
    """What one pass of a batch through a model shows, layer by layer, forward and backward.

    Example:
        >>> import torch
        >>> net = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3))
        >>> found = profile(net, torch.randn(16, 8, generator=torch.Generator().manual_seed(0)))
        >>> [(layer.name, layer.shape, layer.parts) for layer in found.layers]
        [('0', (16, 8), ('Linear', 'ReLU')), ('2', (16, 3), ('Linear',))]
    """
    check_choice("effort", effort, ("standard", "full"))
    batch = as_batch(inputs)
    settings = Settings(targets=targets, loss=loss, layers=layers, rows=rows, seed=seed)
    if isinstance(model, nn.Module):
        return replace(one_pass(model, batch, settings), effort=effort)
    passes = []
    for draw in range(draws):
        with seeded(seed + draw):
            drawn = model()
        passes.append(one_pass(drawn, batch, settings))
    return replace(passes[0], effort=effort, draws=tuple(passes[1:]), draws_over="draws" if draws > 1 else "")
