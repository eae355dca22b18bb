"""How large a step may be: the loss along the gradient, and the rates at which training diverges."""

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch.nn import functional as F

from leadline._core.claims import Published
from leadline.metrics import relative_loss
from leadline.studies.bjorck2018.resnets import BATCH, IMAGES, PUBLISHED_BATCH, batch_of, generated, network
from leadline.studies.claims import Evidence, claim
from leadline.studies.images import Images
from leadline.studies.parts import exact, mean

GRID = tuple(10 ** (k / 4) for k in range(-20, -1))  # 1e-5 … 0.32
_DRAWS = 6
# By a factor of more than this a loss has diverged.
_DIVERGED = 1e3
_RATES = tuple(10 ** (k / 2) for k in range(-12, 5))
_DEPTHS = (8, 20, 32, 56, 110)


def relative_losses(norm: str, seed: int, *, images: Images | None = None, size: int = BATCH) -> dict[float, float]:
    """Step -> loss after it over the loss before; infinite where it is no number."""
    samples, labels = batch_of(images, seed, size=size)
    found = relative_loss(network(norm, seed).to(samples.device), samples, labels, steps=GRID).tolist()
    return {step: value if math.isfinite(value) else math.inf for step, value in zip(GRID, found, strict=True)}


def _rows(norm: str, curves: list[dict[float, float]]) -> list[dict[str, object]]:
    return [
        {"norm": norm, "draw": draw, "step": step, "relative loss": value}
        for draw, curve in enumerate(curves)
        for step, value in curve.items()
    ]


@claim(
    "D11",
    "Without batch normalisation small steps along the gradient already make the loss explode; with it large ones "
    "do not.",
    where="fig. 3",
    rule="ResNet-110, Xavier, 6 draws: loss over the loss before the step, on the same batch, above 1e3 at a step of "
    "1e-3 in every draw without; below 20 up to .32 in every draw with.",
    seconds=40,
    deviations=f"{IMAGES}; at initialisation only.",
    published=Published(
        rule="The same of batches of 128 of CIFAR-10.",
        data="cifar10",
    ),
    sizes={"size": PUBLISHED_BATCH},
)
def d11(seed: int, *, images: Images | None = None, size: int = BATCH) -> Evidence:
    none, normed = (
        [relative_losses(norm, seed + draw, images=images, size=size) for draw in range(_DRAWS)]
        for norm in ("none", "batch")
    )
    within = [max(value for step, value in curve.items() if step <= 1.001e-3) for curve in none]
    return Evidence(
        parts=(
            exact("least of the largest up to 1e-3, without", min(within), least=1e3),
            exact("largest up to .32, with", max(max(curve.values()) for curve in normed), most=20),
        ),
        data=pd.DataFrame(_rows("none", none) + _rows("batch", normed)),
    )


@claim(
    "D12",
    "The best step along the gradient is larger with batch normalisation by more than an order of magnitude.",
    where="fig. 3",
    rule="ResNet-110, Xavier, 6 draws, four steps a decade: mean log10 of the ratio of the best steps above log10(30). "
    "99 % intervals.",
    seconds=40,
    deviations=f"{IMAGES}; at initialisation only.",
    published=Published(
        rule="The same of batches of 128 of CIFAR-10.",
        data="cifar10",
    ),
    sizes={"size": PUBLISHED_BATCH},
)
def d12(seed: int, *, images: Images | None = None, size: int = BATCH) -> Evidence:
    rows = []
    for draw in range(_DRAWS):
        best = {norm: min(curve, key=curve.__getitem__) for norm in ("batch", "none")
                for curve in (relative_losses(norm, seed + draw, images=images, size=size),)}  # fmt: skip
        rows.append(best | {"log10 of the ratio": math.log10(best["batch"] / best["none"])})
    data = pd.DataFrame(rows)
    return Evidence(
        parts=(mean("log10 of the ratio of best steps", data["log10 of the ratio"], least=math.log10(30)),), data=data
    )


@claim(
    "D13",
    "One batch normalisation before the last layer is enough to keep a step from diverging.",
    where="section 3.1",
    rule="ResNet-110 without normalisation but before its head, Xavier, 6 draws: no step up to .32 takes the loss of "
    "its batch above 1.1 of what it was, and that is between 2 and 4 nats.",
    seconds=20,
    deviations=f"{IMAGES}; at initialisation only.",
    published=Published(
        rule="The same of batches of 128 of CIFAR-10.",
        data="cifar10",
    ),
    sizes={"size": PUBLISHED_BATCH},
)
def d13(seed: int, *, images: Images | None = None, size: int = BATCH) -> Evidence:
    curves = [relative_losses("last", seed + draw, images=images, size=size) for draw in range(_DRAWS)]
    losses = []
    for draw in range(_DRAWS):
        samples, labels = batch_of(images, seed + draw, size=size)
        with torch.no_grad():
            losses.append(F.cross_entropy(network("last", seed + draw).to(samples.device)(samples), labels).item())
    return Evidence(
        parts=(
            exact("largest relative loss", max(max(curve.values()) for curve in curves), most=1.1),
            exact("least first loss", min(losses), least=2),
            exact("largest first loss", max(losses), most=4),
        ),
        data=pd.DataFrame(_rows("last", curves)),
    )


def _survives(norm: str, *, depth: int, rate: float, seed: int, images: Images | None, size: int) -> bool:
    """Whether ten steps of plain SGD, each on a batch of its own, keep the loss within a thousand times the first."""
    net, first = network(norm, seed, depth=depth), math.inf
    descent = torch.optim.SGD(net.parameters(), lr=rate)
    for step in range(11):
        draw = 100 * seed + step
        samples, labels = generated(draw, size=size, side=16) if images is None else batch_of(images, draw, size=size)
        net.to(samples.device)
        descent.zero_grad()
        loss = F.cross_entropy(net(samples), labels)
        first = loss.item() if step == 0 else first
        if not loss.item() <= _DIVERGED * first:
            return False
        loss.backward()
        descent.step()
    return True


def _largest_rate(norm: str, **settings: Any) -> float:
    """The largest rate of the grid that survives, by bisection; not a number where none does."""
    low, high = -1, len(_RATES)
    while high - low > 1:
        middle = (low + high) // 2
        if _survives(norm, rate=_RATES[middle], **settings):
            low = middle
        else:
            high = middle
    return _RATES[low] if low >= 0 else math.nan


@claim(
    "D20",
    "Without batch normalisation the largest rate that does not diverge falls with depth; with it it hardly does.",
    where="section 4",
    rule="Residual networks of 8, 20, 32, 56 and 110 layers, Xavier, 6 draws, ten steps of SGD, two rates a decade: "
    "without, the mean log10 of the rate does not rise from a depth to the next by more than .5, a step of the "
    "grid, and falls by more than 2 from 8 to 110 layers; with, it changes by less than 1. 99 % intervals.",
    seconds=120,
    deviations="32 generated images of 16x16 pixels a step, the first on untrained weights; a run has diverged when "
    "its loss is a thousand times the first.",
    published=Published(
        rule="The same of batches of 128 of CIFAR-10.",
        data="cifar10",
    ),
    sizes={"size": PUBLISHED_BATCH},
)
def d20(seed: int, *, images: Images | None = None, size: int = 32) -> Evidence:
    base = seed % 2**20
    rows = [
        {
            "norm": norm,
            "draw": draw,
            "depth": depth,
            "log10 rate": np.log10(_largest_rate(norm, depth=depth, seed=base + draw, images=images, size=size)),
        }
        for norm in ("none", "batch")
        for draw in range(6)
        for depth in _DEPTHS
    ]
    logs = {(row["norm"], row["draw"], row["depth"]): row["log10 rate"] for row in rows}

    def change(norm: str, shallow: int, deep: int) -> list[float]:
        return [float(logs[norm, draw, deep] - logs[norm, draw, shallow]) for draw in range(6)]

    parts = [
        mean(f"log10 of the rate, {deep} over {shallow} layers, without", change("none", shallow, deep), most=0.5)
        for shallow, deep in pairwise(_DEPTHS)
    ]
    parts.append(mean("110 over 8 layers, without", change("none", 8, 110), most=-2))
    parts.append(mean("110 over 8 layers, with", change("batch", 8, 110), least=-1, most=1))
    return Evidence(parts=tuple(parts), data=pd.DataFrame(rows))
