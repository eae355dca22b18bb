"""A perceptron of a thousand layers on digits: shaped activations behind fractional batch normalisation, trained.

Width 100, batches of 50, plain SGD whose rate falls linearly to zero; accuracy on 360 digits that were not trained on
by the statistics of batches of 60, by the running ones, and by running ones measured anew on the training digits.
`python thousand_layers.py [ACTIVATION ...] [ALPHA]`; a run of 15 epochs takes some minutes.
"""

import copy
import sys
import time

import timing  # noqa: F401 (one thread)
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import leadline
from leadline.data import digits
from leadline.nn import activation, mlp, recalibrate

DEPTH, WIDTH, BATCH, RATE, EPOCHS, BUDGET, SEED = 1000, 100, 50, 5e-3, 15, 5.0, 0


def network(name: str, alpha: float) -> nn.Module:
    net = mlp(64, 10, depth=DEPTH, width=WIDTH, norm="fractional", alpha=alpha, init="orthogonal", seed=SEED)
    for block in net.blocks:
        block.activation = leadline.shape(activation(name), DEPTH, BUDGET)
    return net


@torch.no_grad()
def accuracy(net: nn.Module, x: Tensor, y: Tensor) -> float:
    return (
        100 * sum((net(a).argmax(1) == b).sum().item() for a, b in zip(x.split(60), y.split(60), strict=True)) / len(x)
    )


def train(net: nn.Module, x: Tensor, y: Tensor, test: tuple[Tensor, Tensor]) -> None:
    generator = torch.Generator().manual_seed(SEED)
    optimiser = torch.optim.SGD(net.parameters(), lr=RATE)
    steps = EPOCHS * (len(x) // BATCH)
    falling = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.0, total_iters=steps)
    start = time.process_time()
    for epoch in range(EPOCHS):
        net.train()
        for batch in torch.randperm(len(x), generator=generator).split(BATCH):
            if len(batch) < BATCH:
                continue
            optimiser.zero_grad()
            F.cross_entropy(net(x[batch]), y[batch]).backward()
            optimiser.step()
            falling.step()
        if epoch % 5 == 4:
            found = accuracies(net, test, x)
            print(f"  epoch {epoch + 1:3}  {found}  {time.process_time() - start:5.0f} s", flush=True)


def accuracies(net: nn.Module, test: tuple[Tensor, Tensor], x: Tensor) -> str:
    """By the statistics of batches of 60, by the running ones, and by running ones measured anew on a copy."""
    probe = copy.deepcopy(net).train()
    by_batch = accuracy(probe, *test)
    by_running = accuracy(net.eval(), *test)
    anew = accuracy(recalibrate(copy.deepcopy(net), [x]).eval(), *test)
    return f"batch {by_batch:.1f} %, running {by_running:.1f} %, recalibrated {anew:.1f} %"


if __name__ == "__main__":
    data = digits()
    order = torch.randperm(len(data.targets), generator=torch.Generator().manual_seed(SEED))
    x, y = data.inputs.flatten(1)[order], data.targets[order]
    words = sys.argv[1:]
    alphas = [float(word) for word in words if word[0].isdigit()] or [0.1]
    for name in [word for word in words if not word[0].isdigit()] or ["relu", "gelu"]:
        for alpha in alphas:
            print(f"{name}, alpha {alpha:g}", flush=True)
            train(network(name, alpha), x[360:], y[360:], (x[:360], y[:360]))
