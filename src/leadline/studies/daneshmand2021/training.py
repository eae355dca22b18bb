"""Training without batch normalisation: Xavier's initialisation against the iterative orthogonalisation."""

import math
import statistics
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pandas as pd
import torch
from torch import nn

from leadline._core.claims import Published
from leadline._core.randomness import seeded
from leadline.init import orthogonalise
from leadline.metrics import orthogonality_gap
from leadline.nn.designs import mlp
from leadline.nn.designs.mlp import MLP
from leadline.studies.claims import Evidence, claim
from leadline.studies.images import Images, labelled_digits
from leadline.studies.parts import geometric_mean, mean
from leadline.train import fit, shuffled

_BATCH = 60


def network(images: Images, depth: int, width: int, seed: int) -> MLP:
    """ReLU perceptron of ``depth`` linear maps, normal weights of Xavier's variance times 2."""
    net = mlp(
        images.features, images.classes, depth=depth - 1, width=width, init="xavier", gain=math.sqrt(2), seed=seed
    )
    return net.to(images.labels.device)


def orthogonalised(images: Images, depth: int, width: int, seed: int) -> MLP:
    """The same, with the hidden layers set from three times as many images as the width."""
    net, generator = network(images, depth, width, seed), torch.Generator().manual_seed(seed)
    chosen = torch.randperm(len(images.labels), generator=generator)[: 3 * width].to(images.labels.device)
    orthogonalise(net.blocks, images.standardised[chosen].flatten(1), exponent=0.5, generator=generator)
    return net


def epoch_losses(
    net: nn.Module,
    images: Images,
    *,
    epochs: int,
    rate: float = 0.01,
    batch: int = _BATCH,
    seed: int,
    flat: bool = True,
) -> list[float]:
    """Mean loss of each epoch of plain SGD; infinite from the one in which it diverged."""
    samples = images.standardised.flatten(1) if flat else images.standardised
    generator, whole = torch.Generator().manual_seed(seed), len(samples) // batch
    batches = shuffled(samples, images.labels, size=batch, generator=generator)
    losses = fit(net, batches, steps=whole * epochs, optimiser="sgd", learning_rate=rate, seed=seed).losses
    parts = [losses[epoch * whole : (epoch + 1) * whole] for epoch in range(epochs)]
    return [statistics.fmean(part) if len(part) == whole else math.inf for part in parts]


@claim(
    "B17",
    "Without batch normalisation Xavier's initialisation loses orthogonality with depth.",
    where="fig. 3a, at initialisation",
    rule="ReLU, width 800, 500 digits, 12 draws: mean gap of the last hidden layer rises from 15 to 30, 45, 60 and 75 "
    "layers, and exceeds .95 at 75. 99 % intervals of the differences.",
    seconds=15,
    deviations="Digits in place of CIFAR-10, normal weights in place of uniform ones. V itself: the published gap is "
    "of the logits and in another measure.",
    published=Published(
        rule="ReLU, width 800, 500 images of CIFAR-10, 12 draws: mean gap of the last hidden layer rises from 15 to "
        "30, 45, 60 and 75 layers, and exceeds .95 at 75. 99 % intervals of the differences.",
        data="cifar10",
    ),
)
def b17(seed: int, *, images: Images | None = None) -> Evidence:
    images = images or labelled_digits()
    depths, rows = (15, 30, 45, 60, 75), []
    for draw in range(12):
        net, generator = network(images, 75, 800, seed + draw), torch.Generator().manual_seed(seed + draw)
        h = images.standardised.flatten(1)
        h = h[torch.randperm(len(h), generator=generator)[:500].to(h.device)]
        with torch.no_grad():
            for layer, block in enumerate(net.blocks, start=1):
                h = block(h)
                if layer + 1 in depths:
                    rows.append({"draw": draw, "depth": layer + 1, "gap": float(orthogonality_gap(h.double()))})
    gaps = {(row["draw"], row["depth"]): row["gap"] for row in rows}
    parts = [
        mean(
            f"gap at depth {deep} less that at {shallow}",
            [gaps[draw, deep] - gaps[draw, shallow] for draw in range(12)],
            least=0,
        )
        for shallow, deep in pairwise(depths)
    ]
    parts.append(mean("gap at depth 75", [gaps[draw, 75] for draw in range(12)], least=0.95))
    return Evidence(parts=tuple(parts), data=pd.DataFrame(rows))


@claim(
    "B18",
    "Orthogonalising the layers at initialisation removes the slowdown with depth.",
    where="fig. 4",
    rule="ReLU, width 60, digits, SGD at .01, 30 epochs, 8 draws, 60 and 75 layers: mean loss of the last epoch below "
    ".05 with it, above 1 with Xavier's. 99 % intervals.",
    seconds=120,
    deviations="Digits and width 60 in place of CIFAR-10 and 800. The exponent 1/2 of the paper; its code for "
    "perceptrons has 1. Singular values are clamped, layers checked on samples held out.",
    published=Published(
        rule="ReLU, width 800, CIFAR-10, SGD at .01, batches of 500, 30 epochs, 4 draws: mean loss of the last epoch "
        "at 75 layers with it, less that at 15, below .1; from Xavier's, above .3. 99 % intervals.",
        data="cifar10",
    ),
    sizes={"whole": True},
)
def b18(seed: int, *, images: Images | None = None, whole: bool = False) -> Evidence:
    images = images or labelled_digits()
    if whole:
        return _slowdown(images, seed)
    parts, rows = [], []
    for depth in (60, 75):
        for name, build, limits in (
            ("orthogonalised", orthogonalised, {"most": 0.05}),
            ("Xavier", network, {"least": 1.0}),
        ):
            losses = [
                epoch_losses(build(images, depth, 60, seed + draw), images, epochs=30, seed=seed + draw)[-1]
                for draw in range(8)
            ]
            parts.append(mean(f"last loss at depth {depth}, {name}", losses, **limits))
            rows += [{"depth": depth, "init": name, "loss": loss} for loss in losses]
    return Evidence(parts=tuple(parts), data=pd.DataFrame(rows))


def _wide_loss(images: Images, name: str, depth: int, seed: int) -> float:
    """Loss of the last of 30 epochs at the published width and batch."""
    build = orthogonalised if name == "orthogonalised" else network
    return epoch_losses(build(images, depth, 800, seed), images, epochs=30, batch=500, seed=seed)[-1]


def _slowdown(images: Images, seed: int) -> Evidence:
    parts, rows = [], []
    for name, limits in (("orthogonalised", {"most": 0.1}), ("Xavier", {"least": 0.3})):
        losses = {depth: [_wide_loss(images, name, depth, seed + draw) for draw in range(4)] for depth in (15, 75)}
        more = [deep - shallow for shallow, deep in zip(losses[15], losses[75], strict=True)]
        parts.append(mean(f"loss at 75 layers less that at 15, {name}", more, **limits))
        rows += [{"init": name, "depth": depth, "loss": loss} for depth, found in losses.items() for loss in found]
    return Evidence(parts=tuple(parts), data=pd.DataFrame(rows))


# Depth -> loss after 30 epochs, from Xavier's initialisation and from the other: figs. 3a and 4.
_PUBLISHED_LOSSES = {
    "Xavier": {15: 0.751, 30: 0.965, 45: 1.116, 60: 1.196, 75: 1.395},
    "orthogonalised": {15: 0.977, 30: 0.972, 45: 0.976, 60: 0.952, 75: 0.982},
}


@claim(
    "B19",
    "On CIFAR-10 the loss after 30 epochs rises with depth from Xavier's initialisation, and not from the other.",
    where="fig. 4",
    rule="At the published size only.",
    seconds=0,
    published=Published(
        rule="CIFAR-10, ReLU, width 800, SGD at .01, batches of 500, 30 epochs, 4 draws, 15, 30, 45, 60 and 75 layers: "
        "mean loss of the last epoch within .1 of .75, .97, 1.12, 1.20, 1.40 (Xavier) and of .98, .97, .98, .95, .98. "
        "99 % intervals.",
        data="cifar10",
    ),
    sizes={"whole": True},
)
def b19(seed: int, *, images: Images | None = None, whole: bool = False) -> Evidence:
    if images is None or not whole:
        return Evidence(reason="It needs CIFAR-10 and width 800 for 30 epochs (--scale paper); B18 has it on digits.")
    parts, rows = [], []
    for name, known in _PUBLISHED_LOSSES.items():
        for depth, expected in known.items():
            losses = [_wide_loss(images, name, depth, seed + draw) for draw in range(4)]
            limits = {"least": expected - 0.1, "most": expected + 0.1}
            parts.append(mean(f"last loss at depth {depth}, {name}", losses, **limits))
            rows += [{"init": name, "depth": depth, "loss": loss} for loss in losses]
    return Evidence(parts=tuple(parts), data=pd.DataFrame(rows))


@claim(
    "B20",
    "In shallow networks orthogonalising is no better than Xavier's initialisation.",
    where="fig. 4",
    rule="ReLU, 15 layers of width 60, digits, SGD at .01, 60 epochs, 8 draws: geometric mean of the last epoch's loss "
    "with it over that without above 1. 99 % intervals.",
    seconds=70,
    deviations="Digits in place of CIFAR-10. In the first 20 epochs it is ahead there.",
    published=Published(
        rule="CIFAR-10, ReLU, 15 layers of width 800, SGD at .01, batches of 500, 30 epochs, 8 draws: geometric mean "
        "of the last epoch's loss with it over that without above 1. 99 % intervals.",
        data="cifar10",
    ),
    sizes={"whole": True},
)
def b20(seed: int, *, images: Images | None = None, whole: bool = False) -> Evidence:
    images, rows = images or labelled_digits(), []
    for draw in range(8):
        rows.append({
            name: _wide_loss(images, name, 15, seed + draw) if whole
            else epoch_losses(build(images, 15, 60, seed + draw), images, epochs=60, seed=seed + draw)[-1]
            for name, build in (("orthogonalised", orthogonalised), ("Xavier", network))
        })  # fmt: skip
    logs = [math.log(row["orthogonalised"] / row["Xavier"]) for row in rows]
    return Evidence(parts=(geometric_mean("loss over Xavier's", logs, least=1),), data=pd.DataFrame(rows))


def _small_convolutions(images: Images, depth: int) -> nn.Sequential:
    """3x3 convolutions of 16 channels, ReLU, no normalisation."""
    parts: list[nn.Module] = []
    for index in range(depth):
        parts += [nn.Conv2d(16 if index else images.standardised.shape[1], 16, 3, padding=1), nn.ReLU()]
    return nn.Sequential(*parts, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(64, images.classes))


def _alexnet(images: Images, depth: int) -> nn.Sequential:
    """The published network of ``depth`` 3x3 convolutions for images of 32x32: table 3, with the code's stride of 2."""
    parts: list[nn.Module] = [
        nn.Conv2d(images.standardised.shape[1], 64, 3, stride=2, padding=1), nn.MaxPool2d(2), nn.ReLU(),
        nn.Conv2d(64, 192, 3, padding=1), nn.MaxPool2d(2), nn.ReLU(),
        nn.Conv2d(192, 256, 3, padding=1), nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(),
    ]  # fmt: skip
    for _ in range(depth - 4):
        parts += [nn.Conv2d(256, 256, 3, padding=1), nn.ReLU()]
    parts += [nn.MaxPool2d(2), nn.ReLU(), nn.Flatten()]
    for fan_in in (1024, 4096):
        parts += [nn.Dropout(0.5), nn.Linear(fan_in, 4096), nn.ReLU()]
    return nn.Sequential(*parts, nn.Linear(4096, images.classes))


def conv_losses(
    images: Images,
    depth: int,
    name: str,
    seed: int,
    *,
    build: Callable[[Images, int], nn.Sequential] = _small_convolutions,
    epochs: int = 5,
) -> list[float]:
    """Losses of each epoch from uniform weights of Xavier's variance times 2, or these orthogonalised."""
    with seeded(seed):
        net = build(images, depth)
        for part in net:
            if isinstance(part, (nn.Conv2d, nn.Linear)) and part.bias is not None:
                nn.init.xavier_uniform_(part.weight, math.sqrt(2))
                nn.init.zeros_(part.bias)
    net = net.to(images.labels.device)
    if name == "orthogonalised":
        orthogonalise(
            net,
            images.standardised[:256],
            generator=torch.Generator().manual_seed(seed),
            where=lambda _, part: isinstance(part, nn.Conv2d) and part.in_channels == part.out_channels,
        )
    return epoch_losses(net, images, epochs=epochs, rate=0.001, batch=30, seed=seed, flat=False)


@claim(
    "B22",
    "In convolutional networks orthogonalising is ahead of Xavier's initialisation at 80 layers and behind it at 20.",
    where="fig. 7",
    rule="16 channels, digits, SGD at .001, 5 epochs of batches of 30, 2 draws: loss of the last epoch with it and "
    "without, at 80 and 20 layers; only reported, since the published size takes a GPU.",
    seconds=75,
    deviations="Digits and 16 channels in place of CIFAR-10 and an AlexNet of 256.",
    published=Published(
        rule="The AlexNet of table 3, CIFAR-10, SGD at .001, 20 epochs of batches of 30, 4 draws: loss of the last "
        "epoch from Xavier's initialisation less that with it above 0 at 80 layers and below 0 at 20. 99 % intervals.",
        data="cifar10",
    ),
    sizes={"whole": True},
)
def b22(seed: int, *, images: Images | None = None, whole: bool = False) -> Evidence:
    images, rows = images or labelled_digits(), []
    settings: dict[str, Any] = {"build": _alexnet, "epochs": 20} if whole else {}
    for depth in (20, 80):
        for draw in range(4 if whole else 2):
            losses = {
                name: conv_losses(images, depth, name, seed + draw, **settings)[-1]
                for name in ("orthogonalised", "Xavier")
            }
            rows.append({"depth": depth} | losses)
    ahead = {
        depth: [row["Xavier"] - row["orthogonalised"] for row in rows if row["depth"] == depth] for depth in (20, 80)
    }
    if whole:
        parts = (
            mean("Xavier's loss less that with it, 80 layers", ahead[80], least=0),
            mean("Xavier's loss less that with it, 20 layers", ahead[20], most=0),
        )
        return Evidence(parts=parts, data=pd.DataFrame(rows))
    deep, shallow = (statistics.fmean(ahead[depth]) for depth in (80, 20))
    return Evidence(
        reason=f"At 16 channels Xavier's loss less that with it is {deep:.2f} nats at 80 layers and {shallow:.2f} at "
        "20, where it is negative on CIFAR-10: that takes a GPU (--scale paper).",
        data=pd.DataFrame(rows),
    )
