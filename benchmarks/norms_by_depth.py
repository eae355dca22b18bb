"""Batch, fractional, layer, RMS and group normalisation side by side: width 100, batches of 50 digits, three depths.

Orthogonal weights, the plain ReLU or the ReLU shaped for the depth. At initialisation: decades from the first to the
last layer's weight gradient, and the isometry gap of the last hidden layer, centred (medians of three draws). Then the
test accuracy on 360 digits after SGD, by running statistics measured anew, the best of the rates below: 300 steps, 60
at depth 1000. `python norms_by_depth.py [DEPTH ...]`.
"""

import math
import sys

import timing  # noqa: F401 (one thread)
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import leadline
from leadline._core.randomness import seeded
from leadline.data import digits
from leadline.init import haar
from leadline.metrics import isometry_gap
from leadline.nn import alpha_for_depth, feature_norm, recalibrate

WIDTH, BATCH, DRAWS, TEST = 100, 50, 3, 360
NORMS = ["batch", "fractional", "layer", "rms", "group"]
RATES = {10: (0.3, 0.1, 0.03), 100: (0.1, 0.03, 0.01), 1000: (0.01,)}


def network(norm: str, depth: int, *, shaped: bool, seed: int) -> nn.Sequential:
    net = nn.Sequential()
    alpha = alpha_for_depth(depth)
    act = leadline.shape(nn.ReLU(), depth) if shaped else nn.ReLU()
    with seeded(seed):
        for layer in range(depth):
            own = nn.GroupNorm(10, WIDTH) if norm == "group" else feature_norm(norm, WIDTH, alpha=alpha)
            net.extend([nn.Linear(WIDTH if layer else 64, WIDTH, bias=False), own or nn.Identity(), act])
        net.append(nn.Linear(WIDTH, 10))
    return haar(net, generator=torch.Generator().manual_seed(seed))


def start(net: nn.Sequential, x: Tensor, y: Tensor) -> tuple[float, float]:
    hidden = net[:-1](x)
    F.cross_entropy(net[-1](hidden), y).backward()
    norms = [layer.weight.grad.double().norm().item() for layer in (net[0], net[-4])]
    decades = math.log10(norms[0] / norms[1]) if math.isfinite(norms[0]) and norms[0] > 0 else math.inf
    return decades, isometry_gap(
        hidden.detach() - hidden.detach().mean(0)[None],
    ).item()


def trained(net: nn.Module, x: Tensor, y: Tensor, rate: float, steps: int) -> float:
    generator = torch.Generator().manual_seed(0)
    optimiser = torch.optim.SGD(net.parameters(), lr=rate)
    falling = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.0, total_iters=steps)
    for _ in range(steps):
        chosen = TEST + torch.randperm(len(x) - TEST, generator=generator)[:BATCH]
        optimiser.zero_grad()
        F.cross_entropy(net(x[chosen]), y[chosen]).backward()
        optimiser.step()
        falling.step()
    with torch.no_grad():
        found = recalibrate(net, [x[TEST:]]).eval()(x[:TEST])
    return 100 * (found.argmax(1) == y[:TEST]).float().mean().item()


if __name__ == "__main__":
    data = digits()
    order = torch.randperm(len(data.targets), generator=torch.Generator().manual_seed(0))
    x, y = data.samples.flatten(1)[order], data.targets[order]
    print("depth  activation   norm         decades      gap   accuracy")
    for depth in [int(word) for word in sys.argv[1:]] or list(RATES):
        for shaped in (False, True) if depth < 1000 else (True,):
            for norm in NORMS:
                starts = [
                    start(network(norm, depth, shaped=shaped, seed=s), x[BATCH * s :][:BATCH], y[BATCH * s :][:BATCH])
                    for s in range(DRAWS)
                ]
                decades, gap = torch.tensor(starts).median(0).values.tolist()
                nets = {rate: network(norm, depth, shaped=shaped, seed=0) for rate in RATES[depth]}
                best = max(trained(net, x, y, rate, 60 if depth == 1000 else 300) for rate, net in nets.items())
                called = "shaped ReLU" if shaped else "ReLU"
                print(f"{depth:5}  {called:<11}  {norm:<11} {decades:8.2f} {gap:8.3f} {best:8.1f} %", flush=True)
