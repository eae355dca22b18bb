"""Iterative orthogonalisation against Xavier: training loss of ReLU perceptrons on digits, by depth.

Width 60, batch 60, SGD at .01 without momentum, no biases and no normalisation: the setting of daneshmand2021,
section 4, on data that needs no network. `python init_orthogonalise.py [DEPTH ...]`; a depth takes some minutes.
"""

import itertools
import sys

import timing  # noqa: F401 (one thread)
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from leadline.data import digits
from leadline.init import orthogonalise, xavier
from leadline.metrics import orthogonality_gap

WIDTH, BATCH, RATE, EPOCHS = 60, 60, 0.01, 60


def network(depth: int) -> nn.Sequential:
    sizes = [64, *[WIDTH] * (depth - 1), 10]
    layers = [m for n, m in itertools.pairwise(sizes) for m in (nn.Linear(n, m, bias=False), nn.ReLU())]
    return nn.Sequential(*layers[:-1])


def losses(model: nn.Module, x: Tensor, y: Tensor, generator: torch.Generator) -> list[float]:
    """Mean training loss of every epoch."""
    optimiser = torch.optim.SGD(model.parameters(), lr=RATE)
    means = []
    for _ in range(EPOCHS):
        total = 0.0
        for batch in torch.randperm(len(x), generator=generator).split(BATCH):
            loss = F.cross_entropy(model(x[batch]), y[batch])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            total += loss.item() * len(batch)
        means.append(total / len(x))
    return means


if __name__ == "__main__":
    data = digits()
    x, y = data.inputs.flatten(1), data.targets
    inits = {
        "Xavier": lambda m, g: xavier(m, activation="relu", generator=g),
        "exponent 1/2": lambda m, g: orthogonalise(m, x[:240], generator=g),
        "exponent 1": lambda m, g: orthogonalise(m, x[:240], exponent=1.0, generator=g),
    }
    print("depth  initialiser     gap before training   loss after epoch 10, 20, 60")
    for depth in [int(word) for word in sys.argv[1:]] or [60, 75]:
        for name, init in inits.items():
            generator = torch.Generator().manual_seed(0)
            model = network(depth)
            init(model, generator)
            with torch.no_grad():
                gap = orthogonality_gap(model[:-1](x[-64:])).item()
            found = losses(model, x, y, generator)
            print(f"{depth:5}  {name:<14}  {gap:19.3f}   {found[9]:.3f}  {found[19]:.3f}  {found[-1]:.3f}", flush=True)
