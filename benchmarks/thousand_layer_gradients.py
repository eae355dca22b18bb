"""Chains of a thousand layers x' = φ(norm(W x)) at initialisation: the spread of gradients, and the gap at the end.

`python thousand_layer_gradients.py [shaped] [fractional] [laws] [fractional-shaped]`; all of them without a word, some
minutes each. Decades are log10 of the first layer's weight-gradient norm over the last's, for a random cotangent, in
float32; the gap is the isometry gap of the last representation. Means over draws, `±` their standard error.
"""

import math
import sys
from collections.abc import Callable, Iterable

import timing  # noqa: F401 (one thread)
import torch
from torch import Tensor, nn

import leadline
from leadline.data import digits
from leadline.init import haar_matrices
from leadline.metrics import isometry_gap, orthogonality_gap, participation_ratio
from leadline.nn import FractionalBatchNorm1d, activation

DEPTH = 1000
SHAPED = ["relu", "gelu", "silu", "elu", "tanh", "sigmoid", "sin", "leaky_relu", "mish", "softplus"]
# (law, n, d, alpha) -> decades and gap that are to be found again.
EXPECTED = {
    ("haar", 10, 100, 1.0): (23.2, 0.027),
    ("haar", 10, 100, 0.1): (0.24, 0.0014),
    ("haar", 32, 256, 1.0): (6.4, 0.032),
    ("haar", 32, 256, 0.1): (0.07, 0.0028),
    ("haar", 50, 100, 1.0): (2.6, 0.093),
    ("haar", 50, 100, 0.1): (-0.01, 0.0066),
    ("gaussian", 50, 100, 1.0): (3.6, math.nan),
    ("gaussian", 50, 100, 0.1): (math.nan, math.nan),
}


def weights(law: str, d: int, generator: torch.Generator) -> list[Tensor]:
    if law == "gaussian":
        return [torch.randn(d, d, generator=generator) / math.sqrt(d) for _ in range(DEPTH)]
    return [w for _ in range(DEPTH // 50) for w in haar_matrices(50, d, d, generator=generator)]


def decades(x: Tensor, layers: list[Tensor], norm: nn.Module, phi: Callable, generator: torch.Generator) -> float:
    """Growth of the weight gradient from the last layer to the first."""
    layers = [layer.detach().requires_grad_() if i in (0, DEPTH - 1) else layer for i, layer in enumerate(layers)]
    for layer in layers:
        x = phi(norm(x @ layer.mT))
    cotangent = torch.randn(x.shape, generator=generator)
    first, last = torch.autograd.grad((x * cotangent).sum(), [layers[0], layers[-1]])
    return (first.double().norm() / last.double().norm()).log10().item()


@torch.no_grad()
def end(x: Tensor, layers: list[Tensor], norm: nn.Module) -> tuple[float, float, float]:
    """Isometry gap and participation ratio at the end, mean squared orthogonality gap over the second half."""
    squares = []
    for i, layer in enumerate(layers):
        x = norm(x @ layer.mT)
        if i >= DEPTH // 2 and i % 20 == 19:
            squares.append(orthogonality_gap(x).item() ** 2)
    return isometry_gap(x).item(), participation_ratio(x).item(), sum(squares) / len(squares)


def uncentred(d: int, alpha: float) -> nn.Module:
    return FractionalBatchNorm1d(d, alpha=alpha, centre=False, affine=False, track_running_stats=False, eps=0.0)


def told(values: Iterable[float]) -> str:
    found = torch.tensor(list(values), dtype=torch.float64)
    return f"{found.mean():8.4f} ± {found.std() / math.sqrt(len(found)):.4f}"


def shaped(draws: int = 3) -> None:
    print("Shaped activations behind batch normalisation, Haar, width 100, 50 digits: decades")
    images = digits().inputs.flatten(1)
    for name in SHAPED:
        act, norm, found = leadline.shape(activation(name), DEPTH), nn.BatchNorm1d(100, affine=False), []
        for seed in range(draws):
            generator = torch.Generator().manual_seed(seed)
            layers = weights("haar", 100, generator)
            x = images[torch.randperm(len(images), generator=generator)[:50]]
            found.append(decades(x @ layers[0][:, :64].mT, layers, norm, act, generator))
        print(f"  {name:<12} {told(found)}", flush=True)


def fractional(draws: int = 8) -> None:
    print("Identity, uncentred fractional batch normalisation: decades, gap (to be found again), rank")
    for law, n, d in dict.fromkeys(key[:3] for key in EXPECTED):
        alphas = [key[3] for key in EXPECTED if key[:3] == (law, n, d)]
        found = _identity(law, n, d, alphas, draws)
        for alpha in alphas:
            rates, gaps, ranks, _ = zip(*found[alpha], strict=True)
            old = EXPECTED[law, n, d, alpha]
            print(f"  {law:<9} n={n} d={d} alpha={alpha:g}: {told(rates)} ({old[0]}), {told(gaps)} ({old[1]})", end="")
            print(f", {told(ranks)} of {n}", flush=True)


def _identity(law: str, n: int, d: int, alphas: list[float], draws: int) -> dict[float, list[tuple[float, ...]]]:
    found: dict[float, list[tuple[float, ...]]] = {alpha: [] for alpha in alphas}
    for seed in range(draws):
        generator = torch.Generator().manual_seed(seed)
        layers, x = weights(law, d, generator), torch.randn(n, d, generator=generator)
        for alpha in alphas:
            norm = uncentred(d, alpha)
            growth = decades(x, layers, norm, lambda y: y, generator)
            found[alpha].append((growth, *end(x, layers, norm)))
    return found


def laws(draws: int = 8) -> None:
    alphas = [0.05, 0.1, 0.2, 0.4, 0.8]
    print("Haar, n = 10, d = 100: growth goes like alpha^2, the squared orthogonality gap at the end like alpha")
    found = _identity("haar", 10, 100, alphas, draws)
    growth, plateau = [], []
    for alpha in alphas:
        rates, _, _, squares = zip(*found[alpha], strict=True)
        growth.append(sum(rates) / draws)
        plateau.append(sum(squares) / draws)
        print(f"  alpha={alpha:<5g} decades {told(rates)}   V^2 {1e4 * plateau[-1]:.4f}e-4", flush=True)
    # The growth is c2 alpha^2 - c1 alpha: below .1, where it is some hundredths of a decade, the second part shows.
    print(f"  slopes of the logs: growth from alpha = .1 on {slope(alphas[1:], growth[1:]):.3f} (2)", end="")
    print(f", plateau {slope(alphas, plateau):.3f} (1)")


def slope(x: list[float], y: list[float]) -> float:
    u, v = torch.tensor(x).log(), torch.tensor(y).log()
    return ((u - u.mean()) @ (v - v.mean()) / (u - u.mean()).square().sum()).item()


def fractional_shaped(draws: int = 8) -> None:
    print(
        "Shaped activations behind fractional batch normalisation (centred), alpha = .1, Haar, n = 50, d = 100: decades"
    )
    for name in ("relu", "gelu", "tanh", "silu"):
        act, norm, found = leadline.shape(activation(name), DEPTH), FractionalBatchNorm1d(100, affine=False), []
        for seed in range(draws):
            generator = torch.Generator().manual_seed(seed)
            layers, x = weights("haar", 100, generator), torch.randn(50, 100, generator=generator)
            found.append(decades(x, layers, norm, act, generator))
        print(f"  {name:<12} {told(found)}", flush=True)


SECTIONS = {"shaped": shaped, "fractional": fractional, "laws": laws, "fractional-shaped": fractional_shaped}

if __name__ == "__main__":
    for name in sys.argv[1:] or SECTIONS:
        SECTIONS[name]()
