"""The coordinate check beside mup's `get_coord_data`: 4 widths × 3 steps × 5 seeds of a 4-layer perceptron.

Both train the same 20 networks with Adam on one batch of 64 digits. mup gives the table of mean absolute activations;
leadline also that of their changes, the slopes over the width with intervals, and a verdict. mup is optional
(`pip install --no-deps mup==1.0.0 pyyaml`); without it leadline is timed alone.
"""

import importlib.util
import time
from collections.abc import Callable
from functools import partial

import timing

from leadline._core.randomness import kept_rng
from leadline.data import digits
from leadline.doctor.coordinates import CoordinateCheck, coordinate_check
from leadline.nn import mlp
from leadline.nn.designs import MLP

WIDTHS, STEPS, SEEDS = (64, 128, 256, 512), 3, 5
BATCH = digits().take(64, seed=0)


def ours() -> CoordinateCheck:
    def build(width: int, seed: int) -> MLP:
        return mlp(64, 10, depth=3, width=width, seed=seed)

    return coordinate_check(build, BATCH.inputs, BATCH.targets, widths=WIDTHS, steps=STEPS, seeds=SEEDS)


def theirs() -> object:
    from mup.coord_check import get_coord_data

    models = {width: partial(mlp, 64, 10, depth=3, width=width) for width in WIDTHS}
    with kept_rng():
        return get_coord_data(
            models,
            [(BATCH.inputs, BATCH.targets)],
            mup=False,
            optimizer="adam",
            lr=1e-3,
            nsteps=STEPS,
            nseeds=SEEDS,
            cuda=False,
            show_progress=False,
        )


def first_call(variant: Callable[[], object]) -> float:
    start = time.process_time()
    variant()
    return time.process_time() - start


if __name__ == "__main__":
    variants: dict[str, Callable[[], object]] = {"leadline: coordinate_check": ours}
    if importlib.util.find_spec("mup"):
        variants["mup: get_coord_data"] = theirs
    else:
        print("mup is not installed; leadline is timed alone.")
    for name, variant in variants.items():
        print(f"first call in the process, {name}: {first_call(variant):.2f} s")
    timing.show("4 widths x 3 steps x 5 seeds, 4-layer MLP, CPU time", timing.side_by_side(variants, repeats=5))
    print(ours())
