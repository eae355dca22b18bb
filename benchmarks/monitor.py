"""What a monitored training step costs beside a plain one.

    python benchmarks/monitor.py [--rounds 11]

CPU time of one thread; the variants are run in turn and the median of the ratios is taken, so that a busy machine does
not matter. A step is forward, backward and SGD. `every 50` is worked out: 49 plain steps and a monitored one.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import profile_cost
import timing  # noqa: F401 (one thread)
import torch
from torch.nn import functional as F

from leadline.train import Monitor

WORKLOADS = ("MLP50 flat", "ResNet-18 CIFAR stem", "GPT 6x256")


def measured(name: str, rounds: int) -> dict[str, float]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model, inputs, targets = profile_cost.WORKLOADS[name]()
    optimiser = torch.optim.SGD(model.parameters(), lr=1e-6)

    def step(monitor: Monitor | None) -> None:
        optimiser.zero_grad()
        loss = model(**inputs).loss if isinstance(inputs, dict) else F.cross_entropy(model(inputs), targets)
        loss.backward()
        if monitor is not None:
            monitor.step()
        optimiser.step()

    def plain() -> float:
        return cpu(lambda: step(None))

    def monitored(spectrum_every: int | None) -> float:
        with Monitor(model, every=1, spectrum_every=spectrum_every) as monitor:
            return cpu(lambda: step(monitor))

    def idle() -> float:
        monitor = Monitor(model, every=1000, spectrum_every=None).attach()
        monitor.step()  # the first step is monitored; what follows is not
        try:
            return cpu(lambda: step(monitor))
        finally:
            monitor.close()

    ratios: dict[str, list[float]] = {"idle": [], "monitored": [], "with spectra": []}
    for i in range(rounds + 1):
        base, *others = plain(), idle(), monitored(None), monitored(1)
        if i:  # the first round warms up
            for own, value in zip(ratios.values(), others, strict=True):
                own.append(value / base)
    found = {key: statistics.median(values) for key, values in ratios.items()}
    return found | {"every 50": (49 * 1.0 + found["monitored"]) / 50}


def cpu(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=11)
    rounds = parser.parse_args().rounds
    for name in WORKLOADS:
        ratios = measured(name, rounds)
        print(f"{name:<22}" + "  ".join(f"{key} {value:.3f}x" for key, value in ratios.items()), flush=True)


if __name__ == "__main__":
    main()
