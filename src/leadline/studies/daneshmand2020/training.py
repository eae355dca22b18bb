"""Rank at initialisation and training: the paper's pre-training, and which networks learn faster."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import pandas as pd
import torch
from torch import nn

from leadline._core.claims import Published
from leadline.init import maximise_rank
from leadline.metrics import participation_ratio
from leadline.nn.designs import mlp
from leadline.nn.designs.mlp import MLP
from leadline.nn.norms import FeatureNormName
from leadline.studies.claims import Evidence, claim
from leadline.studies.images import Images, labelled_digits
from leadline.studies.parts import mean
from leadline.train import fit, shuffled

_BATCH, _LAST = 32, 50
_DIGITS = (
    "Digits in place of Fashion-MNIST, pre-training by Adam at 1e-4 since plain SGD does not move a net of this depth"
)


def _perceptron(images: Images, depth: int, seed: int, **design: Any) -> MLP:
    net = mlp(images.features, images.classes, depth=depth, width=128, seed=seed, **design)
    return net.to(images.labels.device)


def plain(images: Images, depth: int, seed: int) -> MLP:
    """ReLU without normalisation: normal weights of Xavier's variance, biases as PyTorch draws them."""
    net, generator = _perceptron(images, depth, seed), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for part in net.modules():
            if isinstance(part, nn.Linear):
                spread = math.sqrt(2 / sum(part.weight.shape))
                part.weight.copy_(torch.empty(part.weight.shape).normal_(0.0, spread, generator=generator))
    return net


def _normalised(images: Images, seed: int, *, positive: bool) -> MLP:
    """Tanh behind batch normalisation, weights of PyTorch's default law or twice their magnitudes."""
    net = _perceptron(images, 30, seed, norm="batch", activation="tanh")
    if positive:
        with torch.no_grad():
            for part in net.modules():
                if isinstance(part, nn.Linear):
                    part.weight.abs_().mul_(2)
    return net


@dataclass(frozen=True, kw_only=True)
class Trained:
    """Participation ratio of the last hidden layer before training, and the loss of every step.

    Attributes:
        ratio: Of a batch of 32.
        losses: As many as there were steps, but for a run that diverged.
        steps: Steps that were asked for.
    """

    ratio: float
    losses: tuple[float, ...]
    steps: int

    @property
    def loss(self) -> float:
        """Mean of the last 50; infinite where it diverged."""
        return sum(self.losses[-_LAST:]) / _LAST if len(self.losses) == self.steps else math.inf


def pre_trained(images: Images, depth: int, seed: int) -> MLP:
    """The plain network after the pre-training of its rank."""
    net = plain(images, depth, seed)
    maximise_rank(net, images.unit.flatten(1), generator=torch.Generator().manual_seed(seed))
    return net


def trained(net: MLP, images: Images, *, steps: int, seed: int, rate: float = 0.01, batch: int = _BATCH) -> Trained:
    """Train by SGD on the images in [0, 1]."""
    samples = images.unit.flatten(1)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        chosen = torch.randperm(len(samples), generator=generator)[:_BATCH].to(samples.device)
        hidden = net.blocks(samples[chosen])
    batches = shuffled(samples, images.labels, size=batch, generator=generator)
    losses = fit(net, batches, steps=steps, optimiser="sgd", learning_rate=rate, seed=seed).losses
    return Trained(ratio=float(participation_ratio(hidden.double())), losses=losses, steps=steps)


def training_accuracy(images: Images, norm: FeatureNormName, depth: int, *, steps: int, seed: int) -> float:
    """Of all images in train mode after training with batches of 128: plain by SGD at .01, with a norm by Adam."""
    net = _perceptron(images, depth, seed, norm=norm)
    samples, generator = images.unit.flatten(1), torch.Generator().manual_seed(seed)
    batches = shuffled(samples, images.labels, size=128, generator=generator)
    optimiser, rate = ("sgd", 0.01) if norm == "none" else ("adam", 0.01 if depth < 9 else 0.005)
    fit(net, batches, steps=steps, optimiser=optimiser, learning_rate=rate, seed=seed)
    with torch.no_grad():
        return float((net(samples).argmax(1) == images.labels).double().mean())


def perceptrons(images: Images, depth: int) -> dict[str, Callable[[int], MLP]]:
    """Kind -> the network of a seed, as in figure 4."""
    return {
        "batch norm": partial(_perceptron, images, depth, norm="batch"),
        "pre-trained": partial(pre_trained, images, depth),
        "plain": partial(plain, images, depth),
    }


def networks(images: Images, seed: int) -> dict[str, MLP]:
    """The four kinds of figure 6, 30 hidden layers each."""
    return {
        "batch norm": _normalised(images, seed, positive=False),
        "pre-trained": pre_trained(images, 30, seed),
        "plain": plain(images, 30, seed),
        "one sign": _normalised(images, seed, positive=True),
    }


@claim(
    "C21",
    "Pre-training without labels raises the participation ratio of batches that it has not seen.",
    where="section 5, algorithm of fig. 4",
    rule="10 hidden layers of 128 ReLU, Xavier, plain SGD at 1e-3, 40 steps on each of 40 batches of 64, 8 draws: mean "
    "ratio of a batch kept aside below 2 before and above 5 after. 99 % intervals.",
    seconds=25,
    deviations="Digits in 0 to 255 in place of CIFAR-10, 40 batches in place of 1000, zero biases.",
    published=Published(
        rule="The same on CIFAR-10 in 0 to 255, 40 steps on each of 1000 batches of 64, 8 draws: mean ratio of a batch "
        "kept aside below 2 before and above 5 after. 99 % intervals.",
        data="cifar10",
    ),
    sizes={"rounds": 1000},
)
def c21(seed: int, *, images: Images | None = None, rounds: int = 40) -> Evidence:
    images = images or labelled_digits()
    samples, rows = 255 * images.unit.flatten(1), []
    for draw in range(8):
        net = _perceptron(images, 10, seed + draw, init="xavier")
        generator = torch.Generator().manual_seed(seed + draw)
        found = maximise_rank(net, samples, version="last", rounds=rounds, steps=40, generator=generator)
        rows.append({"before": found.before, "after": found.after})
    return Evidence(
        parts=(
            mean("ratio before", [row["before"] for row in rows], most=2),
            mean("ratio after", [row["after"] for row in rows], least=5),
        ),
        data=pd.DataFrame(rows),
    )


@claim(
    "C22",
    "A plain network of 30 layers does not train; after pre-training of its rank it does.",
    where="fig. 6",
    rule="30 hidden layers of 128 ReLU, Xavier, SGD at .01, 2250 steps, 3 draws: mean loss of the last 50 steps above "
    "2.2 without and below 1.6 with pre-training. 99 % intervals.",
    seconds=120,
    deviations=f"{_DIGITS}.",
    published=Published(
        rule="The same on Fashion-MNIST, 28,125 steps (15 epochs), 5 draws: mean loss of the last 50 steps above 2.2 "
        "without and below 1.6 with pre-training. 99 % intervals.",
        data="fashion-mnist",
    ),
    sizes={"steps": 28_125, "draws": 5},
)
def c22(seed: int, *, images: Images | None = None, steps: int = 2250, draws: int = 3) -> Evidence:
    images, rows = images or labelled_digits(), []
    for draw in range(draws):
        without = trained(plain(images, 30, seed + draw), images, steps=steps, seed=seed + draw)
        raised = trained(pre_trained(images, 30, seed + draw), images, steps=steps, seed=seed + draw)
        rows.append({"plain": without.loss, "pre-trained": raised.loss, "ratio": raised.ratio})
    return Evidence(
        parts=(
            mean("last loss, plain", [row["plain"] for row in rows], least=2.2),
            mean("last loss, pre-trained", [row["pre-trained"] for row in rows], most=1.6),
        ),
        data=pd.DataFrame(rows),
    )


@claim(
    "C23",
    "The rank at initialisation orders networks by how fast they train.",
    where="fig. 6",
    rule="30 hidden layers of 128, SGD at .01, 1000 steps, 6 draws: participation ratio and last loss order batch "
    "normalisation with PyTorch's weights before pre-trained before both plain and batch normalisation with weights of "
    "one sign: mean differences of the last loss above .2, of the ratio above 1. 99 % intervals.",
    seconds=140,
    deviations=f"{_DIGITS}. As in the published code, nets with batch normalisation have tanh and the others ReLU; "
    "their scales and shifts are left as they are.",
    published=Published(
        rule="The same on Fashion-MNIST, 28,125 steps (15 epochs), 6 draws: participation ratio and last loss order "
        "the four in the same way, mean differences of the last loss above .2, of the ratio above 1. 99 % intervals.",
        data="fashion-mnist",
    ),
    sizes={"steps": 28_125},
)
def c23(seed: int, *, images: Images | None = None, steps: int = 1000) -> Evidence:
    images, rows = images or labelled_digits(), []
    for draw in range(6):
        drawn = networks(images, seed + draw)
        rows.append({name: trained(net, images, steps=steps, seed=seed + draw) for name, net in drawn.items()})
    parts = []
    for what, sign, least in (("loss", 1, 0.2), ("ratio", -1, 1.0)):
        first, second, third, fourth = (
            [sign * getattr(row[name], what) for row in rows]
            for name in ("batch norm", "pre-trained", "plain", "one sign")
        )
        last = [min(pair) for pair in zip(third, fourth, strict=True)]
        for name, better, worse in (("batch norm", first, second), ("pre-trained", second, last)):
            gain = [b - a for a, b in zip(better, worse, strict=True)]
            parts.append(mean(f"{what}: how much {name} is ahead of the next", gain, least=least))
    data = pd.DataFrame(
        [{"net": name, "loss": run.loss, "ratio": run.ratio} for row in rows for name, run in row.items()]
    )
    return Evidence(parts=tuple(parts), data=data)


@claim(
    "C24",
    "Pre-trained plain networks and networks with parts of batch normalisation train in the published order.",
    where="figs. 4 and 5",
    rule="At the published size only.",
    seconds=0,
    deviations="Of figure 4 alone, whose depths and values are not known: 32 hidden layers. Of figure 5 rates, epochs "
    "and values are not known, and in its code the parts of batch normalisation are full batch normalisation while it "
    "trains.",
    published=Published(
        rule="CIFAR-10, 32 hidden layers of 128, SGD, batches of 64, 100 epochs, the best of the rates 1e-2, 1e-3 and "
        "1e-4, 5 draws: mean loss of the last 50 steps of the plain network above that of "
        "the pre-trained one by more than .5, and of that above the one with batch normalisation by less than .5. 99 % "
        "intervals.",
        data="cifar10",
    ),
    sizes={"whole": True},
)
def c24(seed: int, *, images: Images | None = None, whole: bool = False) -> Evidence:
    if images is None or not whole:
        return Evidence(reason="It needs the published size (--scale paper): CIFAR-10 for 100 epochs, and a GPU.")
    rows, steps = [], 100 * (len(images.labels) // 64)
    for draw in range(5):
        rows.append({
            name: min(
                trained(build(seed + draw), images, steps=steps, rate=rate, batch=64, seed=seed + draw).loss
                for rate in (1e-2, 1e-3, 1e-4)
            )
            for name, build in perceptrons(images, 32).items()
        })  # fmt: skip
    gain = [row["plain"] - row["pre-trained"] for row in rows]
    behind = [row["pre-trained"] - row["batch norm"] for row in rows]
    return Evidence(
        parts=(
            mean("loss of plain less that of pre-trained", gain, least=0.5),
            mean("loss of pre-trained less that with batch norm", behind, most=0.5),
        ),
        data=pd.DataFrame(rows),
    )
