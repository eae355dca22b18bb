"""A training step of a thousand layers: one module a layer, ``DeepStack``, and what arithmetic alone would take.

    python benchmarks/deep_stack.py [--depth N]

Width 100, batches of 100, SGD, one thread; forward, backward, step and clearing of gradients, in turn. The floor is the
three matrix products of every layer at the rate of one whose operands lie in the cache.
"""

import argparse
import contextlib
import copy
import gc
import multiprocessing
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from unittest import mock

import timing
import torch
from torch import nn

import leadline
from leadline._core.errors import UsageError
from leadline._core.randomness import seeded
from leadline.nn import DeepStack, FractionalBatchNorm1d, Sin, alpha_for_depth

WIDTH, BATCH, ROUNDS = 100, 100, 7


def layers(depth: int, norm: Callable[[], nn.Module], activation: nn.Module) -> nn.Sequential:
    parts: list[nn.Module] = []
    with seeded(0):
        for _ in range(depth):
            linear = nn.Linear(WIDTH, WIDTH, bias=False)
            nn.init.orthogonal_(linear.weight)
            parts += [linear, norm(), copy.deepcopy(activation)]
    return nn.Sequential(*parts)


def step(model: nn.Module, x: torch.Tensor) -> Callable[[], None]:
    update = torch.optim.SGD(model.parameters(), lr=1e-6)

    def run() -> None:
        model(x).square().mean().backward()
        update.step()
        update.zero_grad()

    return run


def by_torch(run: Callable[[], None]) -> Callable[[], None]:
    def without() -> None:
        with mock.patch("leadline.nn.stack.deep_stack.fits", lambda like: False):
            run()

    return without


def peak(segment: int | str | None, depth: int, batch: int) -> float:
    """MB that a pass there and back takes at most, beside the parameters and their gradients."""
    stack = DeepStack(layers(depth, lambda: nn.BatchNorm1d(WIDTH), nn.Identity()), segment=segment)
    small, large = (torch.randn(n, WIDTH, generator=torch.Generator().manual_seed(1)) for n in (2, batch))
    stack(small).square().mean().backward()
    gc.collect()
    before = high_water()
    stack(large).square().mean().backward()
    return high_water() - before


def high_water() -> float:
    """MB that this process took at most; ``getrusage`` would have those of the process that started it."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def memory(depth: int, batch: int) -> None:
    for segment in (None, "root", "reverse"):
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as fresh:
            found = fresh.submit(peak, segment, depth, batch).result()
        print(f"memory of a pass, {depth} layers, batch {batch}, segment={segment}: {found:.0f} MB", flush=True)


def products(depth: int) -> Callable[[], None]:
    """The floor: three matrix products a layer, in the cache."""
    a, out = torch.ones(2, BATCH, WIDTH).unbind()
    b = torch.eye(WIDTH)

    def run() -> None:
        for _ in range(3 * depth):
            torch.mm(a, b, out=out)

    return run


def compare(name: str, depth: int, norm: Callable[[], nn.Module], activation: nn.Module) -> None:
    x = torch.randn(BATCH, WIDTH, generator=torch.Generator().manual_seed(1))
    one_by_one = layers(depth, norm, activation)
    variants = {
        "DeepStack": step(DeepStack(one_by_one), x),
        "DeepStack without Numba": by_torch(step(DeepStack(one_by_one), x)),
        "DeepStack in segments of √depth": step(DeepStack(one_by_one, segment="root"), x),
        "nn.Sequential": step(one_by_one, x),
        "matrix products alone": products(depth),
    }
    with contextlib.suppress(UsageError):  # layers that cannot be undone, or not without losing their digits
        undone = step(DeepStack(one_by_one, segment="reverse"), x)
        undone()
        variants["DeepStack undone"] = undone
    timing.show(f"{name}, {depth} layers", timing.side_by_side(variants, repeats=ROUNDS))


def compiled(depth: int) -> None:
    """All of a shallow one under ``torch.compile``."""
    x = torch.randn(BATCH, WIDTH, generator=torch.Generator().manual_seed(1))
    plain = layers(depth, lambda: nn.BatchNorm1d(WIDTH), nn.ReLU())
    whole = step(torch.compile(copy.deepcopy(plain)), x)  # pyright: ignore[reportArgumentType]
    start = time.perf_counter()
    whole()
    title = f"batch norm, ReLU, {depth} layers; {time.perf_counter() - start:.0f} s to compile"
    variants = {"DeepStack": step(DeepStack(plain), x), "torch.compile": whole, "nn.Sequential": step(plain, x)}
    timing.show(title, timing.side_by_side(variants, repeats=5 * ROUNDS))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--depth", type=int, default=1000)
    depth = parser.parse_args().depth

    def fractional() -> nn.Module:
        return FractionalBatchNorm1d(WIDTH, alpha=alpha_for_depth(depth))

    for name, phi in {
        "identity": nn.Identity(),
        "tanh": nn.Tanh(),
        "sin": Sin(),
        "ReLU": nn.ReLU(),
        "GELU": nn.GELU(),
    }.items():
        compare(f"fractional norm, shaped {name}", depth, fractional, leadline.shape(phi, depth))
    compare("batch norm, ReLU", depth, lambda: nn.BatchNorm1d(WIDTH), nn.ReLU())
    compare("batch norm, leaky ReLU of slope .8", depth, lambda: nn.BatchNorm1d(WIDTH), nn.LeakyReLU(0.8))
    compare("batch norm, tanh", depth, lambda: nn.BatchNorm1d(WIDTH), nn.Tanh())
    memory(depth, 20 * BATCH)
    for shallow in (10, 20, 40):
        compiled(shallow)
