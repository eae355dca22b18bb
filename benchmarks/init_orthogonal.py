"""Orthogonal weights beside torch's `orthogonal_`: time, and what the convolution does to a map."""

import timing
import torch
from torch import nn

from leadline._core.randomness import seeded
from leadline.init import delta_orthogonal, haar, operator_singular_values, orthogonal

SHAPES = [(10, 10), (100, 100), (512, 512), (1000, 1000), (1000, 10), (2048, 512), (512, 64, 3, 3), (512, 512, 3, 3)]


def torch_orthogonal(model: nn.Module, generator: torch.Generator) -> None:
    for module in model.modules():
        if isinstance(module, (nn.Linear, nn.Conv2d)):
            nn.init.orthogonal_(module.weight, generator=generator)
            nn.init.zeros_(module.bias)


def models() -> dict[str, nn.Module]:
    with seeded(0):
        return {
            "100 linear layers of width 10": nn.Sequential(*[nn.Linear(10, 10) for _ in range(100)]),
            "100 linear layers of width 100": nn.Sequential(*[nn.Linear(100, 100) for _ in range(100)]),
            "10 convolutions, 128 channels, kernel 3": nn.Sequential(*[nn.Conv2d(128, 128, 3) for _ in range(10)]),
        }


if __name__ == "__main__":
    generator = torch.Generator().manual_seed(0)
    for shape in SHAPES:
        weight = torch.empty(shape)
        variants = {
            "torch orthogonal_": lambda w=weight: nn.init.orthogonal_(w, generator=generator),
            "leadline haar": lambda w=weight: haar(w, generator=generator),
        }
        if len(shape) > 2:
            variants["leadline delta_orthogonal"] = lambda w=weight: delta_orthogonal(w, generator=generator)
            variants["leadline orthogonal"] = lambda w=weight: orthogonal(w, generator=generator)
        timing.show(f"Weight {shape}", timing.side_by_side(variants))
    for name, model in models().items():
        variants = {
            "torch orthogonal_": lambda m=model: torch_orthogonal(m, generator),
            "leadline haar": lambda m=model: haar(m, generator=generator),
            "leadline orthogonal": lambda m=model: orthogonal(m, generator=generator),
        }
        timing.show(name, timing.side_by_side(variants, repeats=5))
    with seeded(0):
        layer = nn.Conv2d(64, 64, 3)
    print("Singular values of a 3×3 convolution of 64 channels on a 16×16 map without borders")
    for name, fill in {
        "torch orthogonal_": None,
        "delta_orthogonal": delta_orthogonal,
        "orthogonal": orthogonal,
    }.items():
        if fill is None:
            nn.init.orthogonal_(layer.weight, generator=generator)
        else:
            fill(layer, generator=generator)
        sigma = operator_singular_values(layer, 16, circular=True)
        print(f"  {name:<20} {sigma.min():.4f} to {sigma.max():.4f}")
