"""A short training of a labelled network: the loop of the programs that label, repair and compare."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LAST = 20


def final_loss(
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    task: tuple[Tensor, Tensor],
    *,
    seed: int,
    steps: int,
    batch: int,
    runaway: float = math.inf,
) -> float:
    """Mean loss of the last steps; infinite once it is not finite, or ``runaway`` times the first."""
    x, y = task
    order, losses = torch.Generator().manual_seed(seed), []
    for _ in range(steps):
        rows = torch.randint(len(x), (batch,), generator=order)
        loss = F.cross_entropy(model(x[rows]), y[rows])
        if not torch.isfinite(loss) or (losses and loss > runaway * losses[0]):
            return math.inf
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return sum(losses[-LAST:]) / LAST
