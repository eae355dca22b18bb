"""Convolutional networks on digits with batch and with fractional batch normalisation, also at batches of 4 and 8.

A ResNet-32 and a plain network of 100 convolutions (8 channels, maps of 8×8, 4×4 and 2×2, shaped ReLU, delta-orthogonal
weights); Adam whose rate falls linearly to zero. Test accuracy on 360 digits, mean of three seeds: by the statistics of
test batches of the training's size, by the running ones, and by running ones measured anew on training digits. The last
column is the mean training loss of the last tenth of the steps. `python fractional_convolutions.py [plain] [residual]`.
"""

import copy
import sys

import timing  # noqa: F401 (one thread)
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import leadline
from leadline._core.randomness import seeded
from leadline.data import digits
from leadline.init import delta_orthogonal
from leadline.nn import alpha_for_depth, map_norm, recalibrate, resnet

DEPTH, CHANNELS, RATE = 100, 8, 2e-3
STEPS = {4: 300, 8: 300, 50: 100}
SEEDS, TEST = 3, 360


def plain(norm: str, seed: int) -> nn.Module:
    net = nn.Sequential()
    with seeded(seed):
        for layer in range(DEPTH):
            stride = 2 if layer in (DEPTH // 3, 2 * DEPTH // 3) else 1
            net.append(nn.Conv2d(CHANNELS if layer else 1, CHANNELS, 3, stride, 1, bias=False))
            net.append(map_norm(norm, CHANNELS, alpha=alpha_for_depth(DEPTH)) or nn.Identity())
            net.append(leadline.shape(nn.ReLU(), DEPTH))
        net.extend([nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(CHANNELS, 10)])
    return delta_orthogonal(net, generator=torch.Generator().manual_seed(seed))


def residual(norm: str, seed: int) -> nn.Module:
    return resnet(1, 10, depth=32, width=CHANNELS, norm=norm, seed=seed)


def train(net: nn.Module, x: Tensor, y: Tensor, batch: int, seed: int) -> float:
    generator, steps, losses = torch.Generator().manual_seed(seed), STEPS[batch], []
    optimiser = torch.optim.Adam(net.parameters(), lr=RATE)
    falling = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.0, total_iters=steps)
    for _ in range(steps):
        chosen = torch.randperm(len(x), generator=generator)[:batch]
        optimiser.zero_grad()
        loss = F.cross_entropy(net(x[chosen]), y[chosen])
        loss.backward()
        optimiser.step()
        falling.step()
        losses.append(loss.item())
    return sum(losses[-steps // 10 :]) / (steps // 10)


@torch.no_grad()
def accuracy(net: nn.Module, x: Tensor, y: Tensor, batch: int) -> float:
    return (
        100
        * sum((net(a).argmax(1) == b).sum().item() for a, b in zip(x.split(batch), y.split(batch), strict=True))
        / len(x)
    )


if __name__ == "__main__":
    data = digits()
    order = torch.randperm(len(data.targets), generator=torch.Generator().manual_seed(0))
    x, y = data.samples[order], data.targets[order]
    print("network   batch  norm         by batches   running   recalibrated   training loss")
    for name in sys.argv[1:] or ["residual", "plain"]:
        for batch in STEPS:
            for norm in ("batch", "fractional"):
                rows = []
                for seed in range(SEEDS):
                    net = {"plain": plain, "residual": residual}[name](norm, seed)
                    loss = train(net, x[TEST:], y[TEST:], batch, seed)
                    by_batch = accuracy(copy.deepcopy(net), x[:TEST], y[:TEST], batch)
                    running = accuracy(net.eval(), x[:TEST], y[:TEST], TEST)
                    anew = accuracy(recalibrate(net, [x[TEST:]]), x[:TEST], y[:TEST], TEST)
                    rows.append((by_batch, running, anew, loss))
                a, b, c, loss = torch.tensor(rows).mean(0).tolist()
                print(f"{name:<9} {batch:5}  {norm:<11} {a:10.1f} % {b:8.1f} % {c:12.1f} % {loss:15.3f}", flush=True)
