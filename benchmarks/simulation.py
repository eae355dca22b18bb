"""Cost of deep chains that are never formed, side by side with dense ones; float64 unless said, one thread, CPU time.

    python benchmarks/simulation.py [narrow|wide|widths|million|deep ...]

``narrow``: width 128, depth 1000, 32 samples, with and without spectra of all layers, against the plain loop.
``wide``: 20 Haar layers of width 4096 forward and backward, against weights that are drawn.
``widths``: time and memory against width. ``million``: width 1,000,000, depth 100. ``deep``: depth 100,000.
"""

import resource
import sys
import time

import numpy as np
import torch
from timing import show, side_by_side

from leadline.simulate import Chain, propagate

SPECTRA = ("isometry_gap", "participation_ratio")


def haar(d: int, rng: np.random.Generator) -> torch.Tensor:
    q, r = torch.linalg.qr(torch.from_numpy(rng.standard_normal((d, d))))
    return q * r.diagonal().sign()


def gaussian(d: int, rng: np.random.Generator) -> torch.Tensor:
    return torch.from_numpy(rng.standard_normal((d, d))) / d**0.5


def plain(chain: Chain, n: int, *, spectra: bool, backward: bool = False) -> None:
    """The loop that everybody writes: rows are samples, batch normalisation by its formula, weights drawn."""
    d, rng = chain.width, np.random.default_rng(0)  # draws numbers faster than torch in float64
    x, kept = torch.from_numpy(rng.standard_normal((n, d))), []
    for _ in range(chain.depth):
        w = haar(d, rng) if chain.weights == "haar" else gaussian(d, rng)
        y = x @ w.T
        if backward:
            kept.append((w, y, x))
        x = y / y.square().mean(0).sqrt()
        if spectra:
            torch.linalg.svdvals(x)
    delta = torch.from_numpy(rng.standard_normal((n, d)))
    for w, y, x in reversed(kept):
        size = y.square().sum(0)
        delta = (delta - y * (delta * y).sum(0) / size) / (size / n).sqrt()
        (delta.T @ x).norm()
        delta = delta @ w


def narrow() -> None:
    for weights in ("haar", "gaussian"):
        chain = Chain(width=128, depth=1000, weights=weights)
        ours = {
            "leadline, spectra": lambda chain=chain: propagate(chain, batch=32, backward=False, metrics=SPECTRA),
            "leadline, states": lambda chain=chain: propagate(chain, batch=32, backward=False, metrics=()),
        }
        theirs = {
            "plain loop, spectra": lambda chain=chain: plain(chain, 32, spectra=True),
            "plain loop, states": lambda chain=chain: plain(chain, 32, spectra=False),
        }
        show(f"{weights}, width 128, depth 1000, 32 samples, forward", side_by_side(theirs | ours, repeats=5))


def wide() -> None:
    chain = Chain(width=4096, depth=20)
    variants = {
        "leadline": lambda: propagate(chain, batch=32, metrics=("rms",)),
        "weights drawn": lambda: plain(Chain(width=4096, depth=1), 32, spectra=False, backward=True),
    }
    times = side_by_side(variants, repeats=3)
    times["weights drawn"] *= chain.depth  # one layer of the twenty was timed
    show("Haar, width 4096, depth 20, 32 samples, forward and backward", times)


def widths() -> None:
    sizes, seconds = (10**3, 10**4, 10**5, 10**6), []
    for width in sizes:
        chain = Chain(width=width, depth=4)
        propagate(chain, batch=16, metrics=("rms",), segment=chain.depth)  # the first call of a size is slower
        start = time.process_time()
        propagate(chain, batch=16, metrics=("rms",), segment=chain.depth)
        seconds.append(time.process_time() - start)
        print(f"  width {width:>9,}: {1e3 * seconds[-1] / 4:9.2f} ms a layer forward and backward")
    slope = np.polyfit(np.log(sizes), np.log(seconds), 1)[0]
    print(f"  log-log slope {slope:.2f}")


def million() -> None:
    torch.set_num_threads(2)
    start = time.time()
    found = propagate(Chain(width=10**6, depth=100), batch=10, dtype=torch.float32)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    growth = -found.rate("log_grad_norm").estimate
    print("  width 1,000,000, depth 100, 10 samples, float32, two threads, forward and backward:")
    print(f"  {time.time() - start:.0f} s, peak {peak:.2f} GiB, growth of the gradient {growth:.4f} a layer")
    torch.set_num_threads(1)


def deep() -> None:
    start = time.time()
    found = propagate(Chain(width=8, depth=100_000), batch=8, metrics=("isometry_gap",))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    ends = np.ptp(found.array("log_grad_norm")[0, 5000:95_000])
    print(f"  width 8, depth 100,000: {time.time() - start:.0f} s, peak {peak:.2f} GiB, log-norm moves by {ends:.1e}")


if __name__ == "__main__":
    chosen = sys.argv[1:] or ["narrow", "wide", "widths", "million", "deep"]
    for name in chosen:
        {"narrow": narrow, "wide": wide, "widths": widths, "million": million, "deep": deep}[name]()
