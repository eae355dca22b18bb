"""Singular values of input-output Jacobians beside `torch.func.jacrev`, which stops at the Jacobian."""

import itertools

import timing
import torch
from torch import Tensor, nn

from leadline._core.randomness import seeded
from leadline.metrics import jacobian_singular_values


def jacrev(model: nn.Module, x: Tensor) -> Tensor:
    parameters = {name: p.detach() for name, p in model.named_parameters()}

    def outputs(x: Tensor) -> Tensor:
        # Copies of the buffers, without which train-mode batch normalisation raises under jacrev.
        buffers = {name: b.clone() for name, b in model.named_buffers()}
        return torch.func.functional_call(model, (parameters, buffers), (x,))

    return torch.func.jacrev(outputs)(x).reshape(-1, x.numel())


def tanh_block() -> nn.Module:
    return nn.Sequential(*[m for _ in range(50) for m in (nn.Linear(256, 256), nn.Tanh())])


def mlp(features: int, classes: int, *, norm: bool) -> nn.Module:
    widths = [features, 256, 256, 256, 256, 256]
    layers = []
    for before, after in itertools.pairwise(widths):
        layers += [nn.Linear(before, after), nn.BatchNorm1d(after) if norm else nn.Identity(), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(256, classes))


def cases() -> dict[str, tuple[nn.Module, Tensor]]:
    with seeded(0):
        return {
            "50 x (Linear 256, tanh), 1 sample": (tanh_block(), torch.randn(1, 256)),
            "MLP with batch norm in train mode, 8 x 784 -> 8 x 10": (mlp(784, 10, norm=True), torch.randn(8, 784)),
            "MLP without normalisation, 8 x 784 -> 8 x 10": (mlp(784, 10, norm=False), torch.randn(8, 784)),
            "decoder with batch norm, 8 x 10 -> 8 x 784": (mlp(10, 784, norm=True), torch.randn(8, 10)),
        }


if __name__ == "__main__":
    for title, (model, x) in cases().items():
        exact = torch.linalg.svdvals(jacrev(model.double(), x.double()))
        model.float()
        got = jacobian_singular_values(model, x)
        milliseconds = timing.side_by_side(
            {
                "jacrev (the Jacobian alone)": lambda m=model, x=x: jacrev(m, x),
                "jacrev, then svdvals": lambda m=model, x=x: torch.linalg.svdvals(jacrev(m, x)),
                "leadline": lambda m=model, x=x: jacobian_singular_values(m, x),
                "leadline, dtype=torch.float64": lambda m=model, x=x: jacobian_singular_values(
                    m, x, dtype=torch.float64
                ),
            },
            repeats=5,
        )
        timing.show(title, milliseconds)
        print(f"  largest error / largest singular value: {((got - exact).abs().max() / exact[0]).item():.1e}\n")
