"""Gradients at initialisation: whether samples agree on them, how large they are, and what their tails are."""

import math
from typing import Any

import pandas as pd
import torch
from scipy.stats import kurtosis
from torch import Tensor
from torch.nn import functional as F

from leadline._core.claims import Published
from leadline.metrics import cancellation, contribution_size, mean_cosine
from leadline.nn.weights import InitName
from leadline.studies.bjorck2018.resnets import BATCH, IMAGES, PUBLISHED_BATCH, batch_of, network, sound
from leadline.studies.claims import Evidence, claim
from leadline.studies.images import Images
from leadline.studies.parts import exact, geometric_mean, mean

LAYERS = (18, 54, 90)


def contribution_rows(
    seed: int, *, draws: int, images: Images | None = None, size: int = BATCH
) -> list[dict[str, Any]]:
    """The ratio of absolute contributions to absolute gradient, and over what random signs give."""
    rows = []
    for draw in range(draws):
        for norm in ("batch", "none"):
            found = sound(network(norm, seed + draw), batch_of(images, seed + draw, size=size), layers=LAYERS)
            for layer, (convolution, given, grad) in found.convolutions.items():
                value = cancellation(given, grad, layer=convolution, weight_grad=found.weight_grad(layer)).item()
                signs = math.sqrt(math.pi * grad[:, 0].numel() / 2)
                rows.append({"norm": norm, "layer": layer, "ratio": value, "of random signs": value / signs})
    return rows


@claim(
    "D6",
    "Without batch normalisation all samples push a kernel's weight the same way; with it their pushes cancel.",
    where="table of gradients of convolution kernels",
    rule="Layers 18, 54 and 90 of ResNet-110, Xavier, 16 draws: geometric mean of the ratio of absolute contributions "
    "to absolute gradient within 25 % of 165, 75 and 27.5 with batch normalisation, between 1 and 10 without. 99 % "
    "intervals.",
    seconds=40,
    deviations=f"{IMAGES}; half the paper's batch, so that its 252, 113 and 41 become about 0.7 times as large.",
    published=Published(
        rule="The same of batches of 128 of CIFAR-10: within 25 % of 252, 113 and 41 with batch normalisation, between "
        "1 and 10 without. 99 % intervals over 16 draws.",
        data="cifar10",
    ),
    sizes={"size": PUBLISHED_BATCH, "known": (251.8, 112.8, 40.7)},
)
def d6(
    seed: int,
    *,
    images: Images | None = None,
    size: int = BATCH,
    known: tuple[float, float, float] = (165.0, 75.0, 27.5),
) -> Evidence:
    rows = contribution_rows(seed, draws=16, images=images, size=size)
    parts = []
    for layer, expected in zip(LAYERS, known, strict=True):
        for norm, least, most in (("batch", 0.75 * expected, 1.25 * expected), ("none", 1.0, 10.0)):
            logs = [math.log(row["ratio"]) for row in rows if (row["norm"], row["layer"]) == (norm, layer)]
            parts.append(geometric_mean(f"ratio at layer {layer}, {norm}", logs, least=least, most=most))
    return Evidence(parts=tuple(parts), data=pd.DataFrame(rows))


@claim(
    "D7",
    "Contributions add up to the gradient, and their absolute values to no less.",
    where="table of gradients of convolution kernels",
    rule="Every kernel entry of layers 18, 54 and 90, with batch normalisation and without, from explicit sums over "
    "samples and positions in double precision: the sum is autograd's gradient to 1e-6 of the largest entry, the sum "
    "of absolute values is nowhere smaller, and its total is that of the fast formula to 1e-6.",
    seconds=12,
    deviations=IMAGES,
    published=Published(
        rule="The same of a batch of 128 of CIFAR-10.",
        data="cifar10",
    ),
    sizes={"size": PUBLISHED_BATCH},
)
def d7(seed: int, *, images: Images | None = None, size: int = BATCH) -> Evidence:
    rows = []
    for norm in ("batch", "none"):
        found = sound(network(norm, seed).double(), _double(batch_of(images, seed, size=size)), layers=LAYERS)
        for layer, (convolution, given, grad) in found.convolutions.items():
            autograd = found.weight_grad(layer)
            padded = F.pad(given, (1, 1, 1, 1))
            worst, least, total = 0.0, math.inf, 0.0
            for row in range(3):
                for column in range(3):
                    shifted = padded[:, :, row : row + grad.shape[2], column : column + grad.shape[3]]
                    signed = torch.einsum("boxy,bixy->oi", grad, shifted)
                    absolute = torch.einsum("boxy,bixy->oi", grad.abs(), shifted.abs())
                    worst = max(worst, (signed - autograd[:, :, row, column]).abs().max().item())
                    least = min(least, (absolute - signed.abs()).min().item())
                    total += absolute.sum().item()
            largest = autograd.abs().max().item()
            fast = contribution_size(given, grad, layer=convolution).item()
            rows.append(
                {
                    "norm": norm, "layer": layer, "deviation": worst / largest, "least surplus": least / largest,
                    "fast": abs(fast / total - 1),
                }
            )  # fmt: skip
    return Evidence(
        parts=(
            exact("largest deviation from autograd", max(row["deviation"] for row in rows), most=1e-6),
            exact("least surplus of the absolute sum", min(row["least surplus"] for row in rows), least=0),
            exact("largest deviation of the fast formula", max(row["fast"] for row in rows), most=1e-6),
        ),
        data=pd.DataFrame(rows),
    )


@claim(
    "D8",
    "Without batch normalisation gradients are larger by orders of magnitude and have heavy tails.",
    where="fig. 2",
    rule="Kernel of layer 55 of ResNet-110, Xavier, 16 draws: geometric means of the ratio of standard deviations "
    "above 100, of the kurtosis above 10 without and below 5 with. 99 % intervals.",
    seconds=40,
    deviations=IMAGES,
    published=Published(
        rule="The same of batches of 128 of CIFAR-10.",
        data="cifar10",
    ),
    sizes={"size": PUBLISHED_BATCH},
)
def d8(seed: int, *, images: Images | None = None, size: int = BATCH) -> Evidence:
    rows = []
    for draw in range(16):
        row = {}
        for norm in ("batch", "none"):
            net = network(norm, seed + draw)
            grad = sound(net, batch_of(images, seed + draw, size=size), layers=(55,)).weight_grad(55)
            values = grad.double().flatten().numpy()
            row |= {f"spread, {norm}": float(values.std()), f"kurtosis, {norm}": float(kurtosis(values, fisher=False))}
        rows.append(row)
    scale = [math.log(row["spread, none"] / row["spread, batch"]) for row in rows]
    none, batch = ([math.log(row[f"kurtosis, {norm}"]) for row in rows] for norm in ("none", "batch"))
    return Evidence(
        parts=(
            geometric_mean("ratio of spreads", scale, least=100),
            geometric_mean("kurtosis without normalisation", none, least=10),
            geometric_mean("kurtosis with normalisation", batch, most=5),
        ),
        data=pd.DataFrame(rows),
    )


@claim(
    "D15",
    "Without batch normalisation the gradients at the output are aligned over the batch.",
    where="fig. 6",
    rule="Mean cosine of all pairs of rows of dL/dz, 12 draws of ResNet-110: Xavier and He without normalisation "
    "within .1 of .53; with it below .43, of Xavier and of PyTorch's default. 99 % intervals.",
    seconds=70,
    deviations=f"{IMAGES}. The share of images of one predicted class, which the paper looks at, is 1 with batch "
    "normalisation and large weights too.",
    published=Published(
        rule="The same of batches of 128 of CIFAR-10.",
        data="cifar10",
    ),
    sizes={"size": PUBLISHED_BATCH},
)
def d15(seed: int, *, images: Images | None = None, size: int = BATCH) -> Evidence:
    cases: tuple[tuple[str, InitName], ...] = (
        ("none", "xavier"),
        ("none", "he"),
        ("batch", "xavier"),
        ("batch", "default"),
    )
    rows = []
    for draw in range(12):
        for norm, init in cases:
            grads = sound(network(norm, seed + draw, init=init), batch_of(images, seed + draw, size=size)).logit_grads
            value = mean_cosine(grads.double()).item()
            rows.append({"norm": norm, "init": init, "draw": draw, "mean cosine": value})

    def cosines(norm: str, init: str) -> list[float]:
        return [row["mean cosine"] for row in rows if (row["norm"], row["init"]) == (norm, init)]

    return Evidence(
        parts=(
            mean("none, Xavier", cosines("none", "xavier"), least=0.43, most=0.63),
            mean("none, He", cosines("none", "he"), least=0.43, most=0.63),
            mean("batch, Xavier", cosines("batch", "xavier"), most=0.43),
            mean("batch, default", cosines("batch", "default"), most=0.43),
        ),
        data=pd.DataFrame(rows),
    )


@claim(
    "D16",
    "An entry of the gradient at the output is at most one over the batch size; without normalisation it gets there.",
    where="fig. 6",
    rule="ResNet-110, Xavier, 4 draws with batch normalisation and without: no entry above 1/64; without, the largest "
    "within 1 % of it in every draw.",
    seconds=13,
    deviations=IMAGES,
    published=Published(
        rule="The same of batches of 128 of CIFAR-10: no entry above 1/128; without, the largest within 1 % of it."
        " 4 draws.",
        data="cifar10",
    ),
    sizes={"size": PUBLISHED_BATCH},
)
def d16(seed: int, *, images: Images | None = None, size: int = BATCH) -> Evidence:
    rows = []
    for draw in range(4):
        for norm in ("batch", "none"):
            grads = sound(network(norm, seed + draw), batch_of(images, seed + draw, size=size)).logit_grads
            rows.append({"norm": norm, "largest over limit": grads.abs().max().item() * size})
    without = [row["largest over limit"] for row in rows if row["norm"] == "none"]
    return Evidence(
        parts=(
            exact("largest entry times the batch size", max(row["largest over limit"] for row in rows), most=1),
            exact("least of them without normalisation", min(without), least=0.99),
        ),
        data=pd.DataFrame(rows),
    )


def _double(batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    return batch[0].double(), batch[1]
