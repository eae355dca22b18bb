"""Rank at initialisation and training: the paper's pre-training, and which networks learn faster."""

import math
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor, nn

from leadline.init import maximise_rank
from leadline.metrics import participation_ratio
from leadline.nn.designs import mlp
from leadline.nn.designs.mlp import MLP
from leadline.studies.claims import Evidence, claim
from leadline.studies.parts import mean
from leadline.studies.training import labelled_digits, shuffled
from leadline.train import fit

_BATCH, _LAST = 32, 50
_DIGITS = (
    "Digits in place of Fashion-MNIST, pre-training by Adam at 1e-4 since plain SGD does not move a net of this depth"
)


def _images() -> tuple[Tensor, Tensor]:
    """Digits in [0, 1], flat, and their labels."""
    samples, labels = labelled_digits()
    x = samples.flatten(1)
    return (x - x.min()) / (x.max() - x.min()), labels


def _xavier(depth: int, seed: int) -> MLP:
    """ReLU without normalisation: normal weights of Xavier's variance, biases as PyTorch draws them."""
    net = mlp(64, 10, depth=depth, width=128, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for part in net.modules():
            if isinstance(part, nn.Linear):
                part.weight.normal_(0.0, math.sqrt(2 / sum(part.weight.shape)), generator=generator)
    return net


def _normalised(seed: int, *, positive: bool) -> MLP:
    """Tanh behind batch normalisation, weights of PyTorch's default law or twice their magnitudes."""
    net = mlp(64, 10, depth=30, width=128, norm="batch", activation="tanh", seed=seed)
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


def _pre_trained(depth: int, seed: int) -> MLP:
    net = _xavier(depth, seed)
    maximise_rank(net, _images()[0], generator=torch.Generator().manual_seed(seed))
    return net


def trained(net: MLP, *, steps: int, seed: int) -> Trained:
    """Train by SGD at .01 on batches of 32."""
    samples, labels = _images()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        hidden = net.blocks(samples[torch.randperm(len(samples), generator=generator)[:_BATCH]])
    batches = shuffled(samples, labels, size=_BATCH, generator=generator)
    losses = fit(net, batches, steps=steps, optimiser="sgd", learning_rate=0.01, seed=seed).losses
    return Trained(ratio=float(participation_ratio(hidden.double())), losses=losses, steps=steps)


def networks(seed: int) -> dict[str, MLP]:
    """The four kinds of figure 6, 30 hidden layers each."""
    return {
        "batch norm": _normalised(seed, positive=False),
        "pre-trained": _pre_trained(30, seed),
        "plain": _xavier(30, seed),
        "one sign": _normalised(seed, positive=True),
    }


@claim(
    "C21",
    "Pre-training without labels raises the participation ratio of batches that it has not seen.",
    where="section 5, algorithm of fig. 4",
    rule="10 hidden layers of 128 ReLU, Xavier, plain SGD at 1e-3, 40 steps on each of 40 batches of 64, 8 draws: mean "
    "ratio of a batch kept aside below 2 before and above 5 after. 99 % intervals.",
    seconds=25,
    deviations="Digits in 0 to 255 in place of CIFAR-10, 40 batches in place of 1000, zero biases.",
)
def c21(seed: int) -> Evidence:
    samples, rows = 255 * _images()[0], []
    for draw in range(8):
        net = mlp(64, 10, depth=10, width=128, init="xavier", seed=seed + draw)
        generator = torch.Generator().manual_seed(seed + draw)
        found = maximise_rank(net, samples, version="last", rounds=40, steps=40, generator=generator)
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
)
def c22(seed: int) -> Evidence:
    rows = []
    for draw in range(3):
        plain = trained(_xavier(30, seed + draw), steps=2250, seed=seed + draw)
        raised = trained(_pre_trained(30, seed + draw), steps=2250, seed=seed + draw)
        rows.append({"plain": plain.loss, "pre-trained": raised.loss, "ratio": raised.ratio})
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
)
def c23(seed: int) -> Evidence:
    rows = []
    for draw in range(6):
        rows.append({name: trained(net, steps=1000, seed=seed + draw) for name, net in networks(seed + draw).items()})
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
    rule="CIFAR-10, perceptrons and VGG-19 for 100 epochs: order of the curves. Their values are not known.",
    seconds=0,
    deviations="In the published code the parts of batch normalisation are full batch normalisation while it trains.",
)
def c24(seed: int) -> Evidence:
    return Evidence(reason="It needs the published size: VGG-19 on CIFAR-10 for 100 epochs, which takes a GPU.")
