"""Cost of random matrices revealed on demand: one product forward and one backward, at any width.

Three questions: against drawing the matrix, against the factorisations and random numbers that no exact sampler of this
kind can do without, and how time grows with width. float64, one thread, CPU time.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch
from timing import show, side_by_side
from torch import Tensor

from leadline.simulate import LazyGaussian, LazyHaar

N = 32


def batches(d: int, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    return tuple(torch.randn(2, d, n, generator=generator, dtype=torch.float64).unbind())


def lazily(kind: str, x: Tensor, grad: Tensor, generator: torch.Generator) -> Tensor:
    d = len(x)
    w = LazyHaar(d, generator=generator) if kind == "haar" else LazyGaussian(d, d, generator=generator)
    w.matmul(x)
    return w.rmatmul(grad)


def densely(kind: str, x: Tensor, grad: Tensor, generator: torch.Generator) -> Tensor:
    d = len(x)
    w = torch.randn(d, d, generator=generator, dtype=torch.float64)
    if kind == "haar":
        q, r = torch.linalg.qr(w)
        w = q * r.diagonal().sign()
    _ = w @ x
    return w.mT @ grad


def unavoidable(x: Tensor, grad: Tensor, generator: torch.Generator) -> None:
    """The tall QR factorisations of what is asked and of what answers, for both products, and the answers' numbers."""
    for asked in (x, grad):
        torch.linalg.qr(asked)
        torch.linalg.qr(torch.randn(asked.shape, generator=generator, dtype=asked.dtype))


def against_dense(d: int) -> None:
    generator = torch.Generator().manual_seed(0)
    x, grad = batches(d, N, generator)
    for kind, repeats in (("gaussian", 3), ("haar", 1)):
        lazy = seconds(lambda k=kind: lazily(k, x, grad, generator), repeats=5)
        dense = seconds(lambda k=kind: densely(k, x, grad, generator), repeats=repeats)
        print(f"one {kind} layer, d = {d}, n = {N}: lazy {1e3 * lazy:.1f} ms, dense {dense:.2f} s, {dense / lazy:.0f}x")


def seconds(work: Callable[[], object], *, repeats: int) -> float:
    work()
    times = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return float(np.median(times))


def against_unavoidable(d: int) -> None:
    generator = torch.Generator().manual_seed(0)
    x, grad = batches(d, N, generator)
    show(
        f"forward and backward, d = {d}, n = {N}",
        side_by_side({
            "four tall QR factorisations, two draws": lambda: unavoidable(x, grad, generator),
            "Haar": lambda: lazily("haar", x, grad, generator),
            "Gaussian": lambda: lazily("gaussian", x, grad, generator),
        }),
    )  # fmt: skip


def slope(n: int) -> None:
    generator = torch.Generator().manual_seed(0)
    sizes = [10**3, 10**4, 10**5, 10**6]
    for kind in ("gaussian", "haar"):
        times = []
        for d in sizes:
            x, grad = batches(d, n, generator)
            times.append(seconds(lambda k=kind, x=x, g=grad: lazily(k, x, g, generator), repeats=3 if d > 10**5 else 9))
        fit = np.polyfit(np.log10(sizes), np.log10(times), 1)[0]
        shown = ", ".join(f"{1e3 * t:.3g} ms" for t in times)
        print(f"{kind}, n = {n}, d = 10^3 … 10^6: {shown}; log-log slope {fit:.2f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--without-dense", action="store_true", help="leave out the dense matrices (half a minute)")
    if not parser.parse_args().without_dense:
        against_dense(4096)
    for width in (128, 4096, 100_000):
        against_unavoidable(width)
    slope(10)
