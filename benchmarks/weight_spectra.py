"""Spectra of all weights of a ResNet-18 beside the plain loop of `svdvals`, with the accuracy each reaches."""

import timing
import torch
from torch import Tensor, nn

from leadline._core.randomness import seeded
from leadline.metrics import weight_spectra


def resnet18() -> nn.Module:
    """The weights of torchvision's ResNet-18, in its order; what lies between them has no spectrum."""
    layers: list[nn.Module] = [nn.Conv2d(3, 64, 7, bias=False)]
    inputs = 64
    for width in (64, 128, 256, 512):
        layers += [nn.Conv2d(inputs, width, 3, bias=False), nn.Conv2d(width, width, 3, bias=False)]
        if inputs != width:
            layers.append(nn.Conv2d(inputs, width, 1, bias=False))
        layers += [nn.Conv2d(width, width, 3, bias=False) for _ in range(2)]
        inputs = width
    return nn.Sequential(*layers, nn.Linear(512, 1000))


def svdvals(model: nn.Module, dtype: torch.dtype) -> list[Tensor]:
    weights = [p.detach() for p in model.parameters() if p.ndim >= 2]
    return [torch.linalg.svdvals(weight.flatten(1).to(dtype)) for weight in weights]


def float32_gram(model: nn.Module) -> list[Tensor]:
    matrices = [p.detach().flatten(1) for p in model.parameters() if p.ndim >= 2]
    wide = [m if m.shape[0] <= m.shape[1] else m.mT for m in matrices]
    return [torch.linalg.eigvalsh(m @ m.mT).flip(0).clamp(min=0).sqrt() for m in wide]


def error(found: list[Tensor], exact: list[Tensor]) -> float:
    return max(((a - b).abs() / b).max().item() for a, b in zip(found, exact, strict=True))


if __name__ == "__main__":
    with seeded(0):
        model = resnet18()
    count = sum(p.numel() for p in model.parameters())
    milliseconds = timing.side_by_side(
        {
            "svdvals in float32": lambda: svdvals(model, torch.float32),
            "svdvals in float64": lambda: svdvals(model, torch.float64),
            "Gram matrix and eigvalsh in float32": lambda: float32_gram(model),
            "leadline: all singular values and 7 summaries": lambda: weight_spectra(model),
        },
        repeats=5,
    )
    timing.show(f"All {count / 1e6:.1f} M weights of a ResNet-18", milliseconds)
    exact = svdvals(model, torch.float64)
    ours = [torch.tensor(s.singular_values, dtype=torch.float64) for s in weight_spectra(model).values()]
    print("  largest relative error of a singular value, against svdvals in float64")
    for name, found in {
        "svdvals in float32": svdvals(model, torch.float32),
        "Gram matrix and eigvalsh in float32": float32_gram(model),
        "leadline": ours,
    }.items():
        print(f"    {name:<42} {error(found, exact):.1e}")
