"""What networks with and without batch normalisation learn, at which rates."""

import pandas as pd
import torch

from leadline.nn.designs import resnet
from leadline.nn.norms import MapNormName
from leadline.studies.claims import Evidence, claim
from leadline.studies.images import Images, labelled_digits
from leadline.studies.parts import mean
from leadline.studies.training import shuffled
from leadline.train import fit

_SOME, _TRAIN, _BATCH = 1797, 640, 64
_TOO_LARGE = "It needs the published size: ResNet-110 on CIFAR-10, 165 epochs and more, which takes a GPU."


@claim(
    "D17",
    "A large rate is what batch normalisation gains by: of ResNet-110 with it, the largest rate tests best.",
    where="fig. 1",
    rule="ResNet-110 on CIFAR-10: test accuracies within 1 point of 93.3 (rate .1), 90.4 (.003) and 81.3 (1e-4) with "
    "batch normalisation, and of 82.0 (1e-4) without.",
    seconds=0,
)
def d17(seed: int) -> Evidence:
    return Evidence(reason=_TOO_LARGE)


def accuracies(
    images: Images, norm: MapNormName, *, rate: float, epochs: int, seed: int, points: int = 1
) -> list[float]:
    """Share of 1157 images kept aside that a residual network of 14 layers tells, at even points of plain SGD."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(images.labels), generator=generator)[:_SOME].to(images.labels.device)
    samples, labels = images.standardised[order], images.labels[order]
    batches = shuffled(samples[:_TRAIN], labels[:_TRAIN], size=_BATCH, generator=generator)
    net = resnet(samples.shape[1], images.classes, depth=14, width=8, norm=norm, init="xavier", seed=seed)
    net = net.to(samples.device)
    steps, found = epochs * _TRAIN // _BATCH, list[float]()

    def test(done: int) -> None:
        if done * points % steps < points:
            net.eval()
            with torch.no_grad():
                found.append((net(samples[_TRAIN:]).argmax(1) == labels[_TRAIN:]).double().mean().item())
            net.train()

    fit(net, batches, steps=steps, optimiser="sgd", learning_rate=rate, seed=seed, on_step=test)
    return found


@claim(
    "D18",
    "At the same small rate networks with and without batch normalisation test alike; a large rate, which it allows, "
    "tests better.",
    where="fig. 1",
    rule="Residual networks of 14 layers on 640 digits, SGD, 6 seeds: mean difference of the test accuracies after 100 "
    "epochs at rate .03 within .03; mean gain of 50 epochs at .5 with batch normalisation above 0. 99 % intervals.",
    seconds=140,
    deviations="Digits, a shallow network and plain SGD in place of CIFAR-10, ResNet-110 and momentum.",
)
def d18(seed: int, *, images: Images | None = None) -> Evidence:
    images, rows = images or labelled_digits(), []
    for draw in range(6):
        small, none = (
            accuracies(images, norm, rate=0.03, epochs=100, seed=seed + draw)[-1] for norm in ("batch", "none")
        )
        large = accuracies(images, "batch", rate=0.5, epochs=50, seed=seed + draw)[-1]
        rows.append({"batch, small rate": small, "none, small rate": none, "batch, large rate": large})
    apart = [row["batch, small rate"] - row["none, small rate"] for row in rows]
    gain = [row["batch, large rate"] - row["batch, small rate"] for row in rows]
    return Evidence(
        parts=(
            mean("with less without, small rate", apart, least=-0.03, most=0.03),
            mean("large less small rate", gain, least=0),
        ),
        data=pd.DataFrame(rows),
    )


@claim(
    "D19",
    "Batch normalisation before the last layer alone gives two thirds of what it gains.",
    where="section 3.1",
    rule="ResNet-110 on CIFAR-10, one batch normalisation before the head: test accuracy within 1.5 points of 89.5.",
    seconds=0,
)
def d19(seed: int) -> Evidence:
    return Evidence(reason=_TOO_LARGE)
