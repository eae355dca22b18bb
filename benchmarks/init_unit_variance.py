"""Unit variance by one pass beside the package `lsuv` 0.3.0, which is no dependency: install it to run this."""

import timing
import torch
from lsuv.lsuvinit import LSUVinit  # pyright: ignore[reportMissingImports]
from torch import nn

from leadline._core.randomness import seeded
from leadline.init import lsuv


def deviation(model: nn.Module, x: torch.Tensor) -> float:
    """Largest distance from 1 of a layer's standard deviation."""
    stds: list[float] = []
    layers = [m for m in model.modules() if isinstance(m, (nn.Linear, nn.Conv2d))]
    handles = [m.register_forward_hook(lambda _m, _x, y: stds.append(y.std().item())) for m in layers]
    with torch.no_grad():
        model(x)
    for handle in handles:
        handle.remove()
    return max(abs(std - 1) for std in stds)


if __name__ == "__main__":
    with seeded(0):
        cases = {
            "MLP of 50 layers, width 100, batch 64": (
                nn.Sequential(*[m for _ in range(50) for m in (nn.Linear(100, 100), nn.ReLU())]),
                torch.randn(64, 100),
            ),
            "20 convolutions of 32 channels, 16×16, batch 32": (
                nn.Sequential(*[m for _ in range(20) for m in (nn.Conv2d(32, 32, 3, padding=1), nn.ReLU())]),
                torch.randn(32, 32, 16, 16),
            ),
        }
    for name, (model, x) in cases.items():

        def theirs(model: nn.Module = model, x: torch.Tensor = x) -> None:
            with seeded(0):
                LSUVinit(model, x, verbose=False)

        variants = {
            "lsuv 0.3.0": theirs,
            "leadline lsuv": lambda model=model, x=x: lsuv(model, x, generator=torch.Generator().manual_seed(0)),
        }
        timing.show(name, timing.side_by_side(variants, repeats=3))
        for label, variant in variants.items():
            variant()
            print(f"  largest |std - 1| of a layer, {label:<14} {deviation(model, x):.1e}")
