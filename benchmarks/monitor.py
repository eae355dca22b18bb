"""What a monitored training step costs beside a plain one.

    python benchmarks/monitor.py [--rounds 11]

CPU time of one thread; the variants are run in turn and the median of the ratios is taken, so that a busy machine does
not matter. A step is forward, backward and SGD; a monitor measured one before. `monitored` is with the extra `fast`,
`torch only` without it. `every 50` is worked out: 49 plain steps and a monitored one.

Neighbours, in the same rounds: HF `DebugUnderflowOverflow` itself; delve itself where it is installed (it sees linear
and convolutional layers alone; its `add_saturations` is not counted); and a stand-in for Composer's ActivationMonitor
and OptimizerMonitor, which are not installed: inputs and outputs of every module, l2 norm, mean, largest value and
kurtosis of each, and the norms of parameters and their gradients, read by the host one by one as they do.
"""

import argparse
import contextlib
import importlib.util
import logging
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import profile_cost
import timing  # noqa: F401 (one thread)
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from leadline._core.compiled import can_compile
from leadline.train import Monitor
from leadline.train.monitoring import one_pass

WORKLOADS = ("MLP50 flat", "ResNet-18 CIFAR stem", "GPT 6x256")


@contextlib.contextmanager
def composer_style(model: nn.Module) -> Iterator[Callable[[], None]]:
    found: dict[str, float] = {}

    def figures(name: str, x: Any) -> None:
        for i, t in enumerate(x if isinstance(x, tuple) else (x,)):
            if isinstance(t, Tensor) and t.is_floating_point():
                own = t.detach().flatten(1) if t.ndim > 1 else t.detach().reshape(1, -1)
                found[f"l2_norm/{name}_{i}"] = torch.linalg.vector_norm(own, dim=-1).mean().item()
                found[f"average/{name}_{i}"] = own.mean(-1).mean().item()
                found[f"max/{name}_{i}"] = own.max(-1).values.mean().item()
                centred = own - own.mean(-1, keepdim=True)
                kurtosis = centred.pow(4).mean(-1) / centred.square().mean(-1).square().clamp_min(1e-30)
                found[f"kurtosis/{name}_{i}"] = kurtosis.mean().item()

    def hook(name: str) -> Any:
        def ended(module: nn.Module, args: Any, output: Any) -> None:
            figures(f"{name}_input", args)
            figures(f"{name}_output", output)

        return ended

    def step() -> None:
        for name, p in model.named_parameters():
            if p.grad is not None:
                found[f"l2_norm/grad/{name}"] = torch.linalg.vector_norm(p.grad).item()
                found[f"l2_norm/param/{name}"] = torch.linalg.vector_norm(p.detach()).item()

    handles = [m.register_forward_hook(hook(name)) for name, m in model.named_modules()]
    try:
        yield step
    finally:
        for handle in handles:
            handle.remove()


@contextlib.contextmanager
def hf_debug(model: nn.Module) -> Iterator[None]:
    from transformers.debug_utils import DebugUnderflowOverflow

    before = {m: set(m._forward_hooks) for m in model.modules()}
    DebugUnderflowOverflow(model)
    try:
        yield
    finally:
        for module, known in before.items():
            for key in set(module._forward_hooks) - known:
                del module._forward_hooks[key]


@contextlib.contextmanager
def with_delve(model: nn.Module) -> Iterator[None]:
    from delve import SaturationTracker  # pyright: ignore[reportMissingImports]

    logging.disable(logging.INFO)  # it tells of each layer

    with tempfile.TemporaryDirectory() as folder:
        tracker = SaturationTracker(folder, save_to="csv", modules=model, device="cpu", nosave=True)
        try:
            yield
        finally:
            tracker.close()
            for module in model.modules():
                module._forward_hooks.clear()


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

    def monitored(spectrum_every: int | None, *, compiled: bool = True) -> float:
        way = mock.patch.object(one_pass, "can_compile", lambda: compiled and can_compile())
        with way, Monitor(model, every=1, spectrum_every=spectrum_every) as monitor:
            step(monitor)  # the first step makes the arrays that all others use
            return cpu(lambda: step(monitor))

    def idle() -> float:
        monitor = Monitor(model, every=1000, spectrum_every=None).attach()
        monitor.step()  # the first step is monitored; what follows is not
        try:
            return cpu(lambda: step(monitor))
        finally:
            monitor.close()

    def composer() -> float:
        with composer_style(model) as figures:
            return cpu(lambda: (step(None), figures()))

    def neighbour(watching: Callable[[nn.Module], contextlib.AbstractContextManager[None]]) -> float:
        with watching(model):
            return cpu(lambda: step(None))

    variants: dict[str, Callable[[], float]] = {
        "idle": idle,
        "monitored": lambda: monitored(None),
        "torch only": lambda: monitored(None, compiled=False),
        "with spectra": lambda: monitored(1),
        "Composer-style": composer,
        "HF debug": lambda: neighbour(hf_debug),
    }
    if importlib.util.find_spec("delve") is not None:
        variants["delve"] = lambda: neighbour(with_delve)
    ratios: dict[str, list[float]] = {key: [] for key in variants}
    for i in range(rounds + 1):
        base = plain()
        for key, variant in variants.items():
            value = variant()
            if i:  # the first round warms up
                ratios[key].append(value / base)
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
