"""What a shaped activation costs beside the plain one, for every activation: eagerly and compiled, CPU time.

`python shaping_cost.py [ENTRIES]`; the default is 10^6 float32 entries. Columns are ratios to the plain activation:
forward alone (no gradients), and forward with backward. The process keeps the memory that it frees: otherwise glibc
asks for pages anew now and then, which costs more than an activation and comes and goes between runs (`--pages` leaves
that as it is). Compiling takes some minutes; `--eager` leaves it out.
"""

import ctypes
import sys
from collections.abc import Callable

import timing
import torch
from torch import nn

import leadline
from leadline.nn import ACTIVATIONS, activation

COLUMNS, DEPTH, REPEATS = 1000, 100, 31


def keep_memory() -> None:
    """Glibc returns no freed memory: M_TRIM_THRESHOLD and M_MMAP_THRESHOLD as large as they may be."""
    libc = ctypes.CDLL(None)
    libc.mallopt(-1, 2**30)
    libc.mallopt(-3, 2**25)


def forward(module: Callable, x: torch.Tensor) -> Callable[[], object]:
    def run() -> object:
        with torch.no_grad():
            return module(x)

    return run


def both(module: Callable, x: torch.Tensor, cotangent: torch.Tensor) -> Callable[[], object]:
    leaf = x.clone().requires_grad_()
    return lambda: torch.autograd.grad(module(leaf), leaf, cotangent)


def ratios(plain: Callable, shaped: Callable, x: torch.Tensor, cotangent: torch.Tensor) -> tuple[float, float]:
    found = []
    for work in (lambda m: forward(m, x), lambda m: both(m, x, cotangent)):
        times = timing.side_by_side({"plain": work(plain), "shaped": work(shaped)}, repeats=REPEATS)
        found.append(times["shaped"] / times["plain"])
    return found[0], found[1]


def compiled(module: nn.Module) -> Callable:
    torch._dynamo.reset()
    return torch.compile(module, fullgraph=True)


if __name__ == "__main__":
    if "--pages" not in sys.argv:
        keep_memory()
    eager_only = "--eager" in sys.argv
    entries = int(float(next((word for word in sys.argv[1:] if word[0].isdigit()), "1e6")))
    generator = torch.Generator().manual_seed(0)
    x, cotangent = (torch.randn(entries // COLUMNS, COLUMNS, generator=generator) for _ in range(2))
    print(f"{entries:.0e} entries            eager                   compiled")
    print("activation        forward  and backward   forward  and backward")
    for name in [name for name in ACTIVATIONS if name != "identity"]:
        plain, shaped = activation(name), leadline.shape(activation(name), DEPTH)
        line = [*ratios(plain, shaped, x, cotangent)]
        if not eager_only:
            line += ratios(compiled(plain), compiled(shaped), x, cotangent)
        print(f"{name:<16}" + "".join(f"{value:9.2f}x    " for value in line), flush=True)
