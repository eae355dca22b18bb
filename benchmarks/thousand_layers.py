"""A perceptron of a thousand layers on digits: shaped activations behind fractional batch normalisation, trained.

    python benchmarks/thousand_layers.py [--depth N] [--epochs N] [ACTIVATION ...]

Width 100, batches of 100, SGD with momentum whose rate falls to zero; accuracy on 360 digits that were not trained on,
drawn at random, with moments of batches of 60, running ones, and running ones measured anew on the training digits.
"""

import argparse
import resource
import time

import timing  # noqa: F401 (one thread)
import torch
from torch import nn

import leadline
from leadline.data import digits
from leadline.nn import DeepStack, activation, alpha_for_depth, mlp
from leadline.train import evaluate, fit, shuffled

WIDTH, BATCH, RATE, BUDGET, SEED, ASIDE = 100, 100, 1e-3, 1.0, 0, 360
ACTIVATIONS = ("identity", "tanh", "sin", "relu", "gelu")


def network(name: str, depth: int) -> nn.Module:
    """One block that takes the image, and a stack of all others; every hundredth state is kept beyond 2000 layers."""
    net = mlp(64, 10, depth=depth, width=WIDTH, norm="fractional", init="orthogonal", seed=SEED)
    shaped = leadline.shape(activation(name), depth, BUDGET)
    for block in net.blocks:
        block.activation = shaped
    net.blocks = nn.Sequential(net.blocks[0], DeepStack(net.blocks[1:], segment="root" if depth > 2000 else None))
    return net


def run(name: str, depth: int, epochs: int) -> None:
    data = digits()
    order = torch.randperm(len(data.targets), generator=torch.Generator().manual_seed(SEED))
    x, y = data.inputs.flatten(1)[order], data.targets[order]
    train, test = (x[ASIDE:], y[ASIDE:]), list(zip(x[:ASIDE].split(60), y[:ASIDE].split(60), strict=True))
    net, steps = network(name, depth), epochs * (len(train[0]) // BATCH)
    batches = shuffled(*train, size=BATCH, generator=torch.Generator().manual_seed(SEED))
    start = time.process_time()

    def told(step: int) -> None:
        if step % max(1, steps // 5) == 0:
            print(f"  step {step} of {steps}, {time.process_time() - start:.0f} s", flush=True)

    found = fit(
        net,
        batches,
        steps=steps,
        optimiser="sgd",
        learning_rate=RATE,
        momentum=0.9,
        schedule="cosine",
        warmup=10,
        on_step=told,
    )
    seconds = time.process_time() - start
    # Ordinary modules on the same memory, since moments are measured anew layer by layer.
    net.blocks = nn.Sequential(net.blocks[0], *net.blocks[1].layers())
    accuracies = {
        statistics: evaluate(net, test, statistics=statistics, calibration=[train[0]]).accuracy
        for statistics in ("batch", "running", "recalibrated")
    }
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    tests = ", ".join(f"{statistics} {100 * (share or 0):.1f} %" for statistics, share in accuracies.items())
    firsts = ", ".join(f"{found.losses[step]:.2f}" for step in range(0, steps, max(1, steps // 6)))
    print(
        f"{name}, {depth} layers: loss {firsts}, at the end {found.final:.3f}; {tests}; "
        f"{seconds:.0f} s, {memory:.1f} GiB"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("activations", nargs="*", default=ACTIVATIONS)
    parser.add_argument("--depth", type=int, default=1000)
    parser.add_argument("--epochs", type=int, default=25)
    given = parser.parse_args()
    print(f"alpha {alpha_for_depth(given.depth):.3f}, budget {BUDGET}")
    for name in given.activations:
        run(name, given.depth, given.epochs)
