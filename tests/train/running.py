"""A training of a process of its own, to be killed: ``python running.py FOLDER``."""

import sys
import time

import torch
from torch import nn

from leadline._core.randomness import seeded
from leadline.train import fit, shuffled

STEPS = 60


def train(
    folder: str | None, *, pause: float = 0.0, log: str | None = None
) -> tuple[tuple[float, ...], list[torch.Tensor]]:
    """Losses and tensors of a net with dropout, batch normalisation, momentum and a schedule."""
    with seeded(0):
        net = nn.Sequential(nn.Linear(8, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.3), nn.Linear(32, 4))
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(200, 8, generator=generator)
    batches = shuffled(x, x[:, :4].argmax(1), size=16, generator=torch.Generator().manual_seed(2))
    run = fit(
        net, batches, steps=STEPS, optimiser="adamw", schedule="cosine", warmup=5, accumulate=2, clip_norm=1.0,
        seed=3, checkpoint=folder, checkpoint_every=3, log=log, on_step=lambda done: time.sleep(pause),
    )  # fmt: skip
    return run.losses, list(net.state_dict().values())


if __name__ == "__main__":
    train(sys.argv[1], pause=0.02, log=sys.argv[2])
