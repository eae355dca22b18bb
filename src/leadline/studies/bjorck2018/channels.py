"""Means and variances of channels: over depth at initialisation, and over a step that diverges."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from leadline._core.claims import Published
from leadline.nn.weights import InitName
from leadline.studies.bjorck2018.resnets import BATCH, IMAGES, PUBLISHED_BATCH, batch_of, network, sound
from leadline.studies.claims import Evidence, claim
from leadline.studies.images import Images
from leadline.studies.parts import mean, median

_BLOCKS = tuple(range(7, 104, 12))


def _log_spreads(norm: str, init: InitName, seed: int, images: Images | None, size: int) -> list[float]:
    """Mean over channels of the log standard deviation of the stream at layers 7, 19, … 103."""
    streams = sound(network(norm, seed, init=init), batch_of(images, seed, size=size)).streams
    return [streams[layer].std((0, 2, 3)).log().mean().item() for layer in _BLOCKS]


@claim(
    "D9",
    "Without batch normalisation channels grow exponentially with depth at initialisation; with it they stay level.",
    where="fig. 5",
    rule="ResNet-110, Xavier, 8 draws: slope of the log standard deviation over layers 7 to 103 above .04 a layer "
    "without; with, the absolute slope below .012 and all values within .3 and 1.3. 99 % intervals.",
    seconds=30,
    deviations=f"{IMAGES}. Standard deviations of the sums of blocks, before the activation.",
    published=Published(
        rule="The same of batches of 128 of CIFAR-10.",
        data="cifar10",
    ),
    sizes={"size": PUBLISHED_BATCH},
)
def d9(seed: int, *, images: Images | None = None, size: int = BATCH) -> Evidence:
    rows, slopes, normed = [], {"batch": [], "none": []}, []
    for draw in range(8):
        for norm in ("batch", "none"):
            spreads = _log_spreads(norm, "xavier", seed + draw, images, size)
            slopes[norm].append(np.polyfit(_BLOCKS, spreads, 1)[0])
            rows += [
                {"norm": norm, "draw": draw, "layer": layer, "log spread": spread}
                for layer, spread in zip(_BLOCKS, spreads, strict=True)
            ]
            if norm == "batch":
                normed.append(spreads)
    return Evidence(
        parts=(
            mean("slope without normalisation", slopes["none"], least=0.04),
            mean("slope with normalisation", slopes["batch"], least=-0.012, most=0.012),
            mean("least log spread with normalisation", [min(each) for each in normed], least=0.3),
            mean("largest log spread with normalisation", [max(each) for each in normed], most=1.3),
        ),
        data=pd.DataFrame(rows),
    )


@claim(
    "D10",
    "How fast channels grow without normalisation depends on the initialisation: He's explodes, PyTorch's does not.",
    where="section 4",
    rule="ResNet-110 without normalisation, 24 draws: growth of the mean log standard deviation from layer 7 to layer "
    "103 within 15 % of 17.2 (He) and 5.6 (Xavier), and within .5 of -.15 (default). 99 % intervals.",
    seconds=70,
    deviations=f"{IMAGES}. Growth in place of the value at layer 103, which has the images' own spread in it.",
    published=Published(
        rule="The same of batches of 128 of CIFAR-10.",
        data="cifar10",
    ),
    sizes={"size": PUBLISHED_BATCH},
)
def d10(seed: int, *, images: Images | None = None, size: int = BATCH) -> Evidence:
    parts, rows = [], []
    cases: tuple[tuple[InitName, float, float], ...] = (
        ("he", 17.2, 2.58), ("xavier", 5.6, 0.84), ("default", -0.15, 0.5)
    )  # fmt: skip
    for init, expected, within in cases:
        spreads = [_log_spreads("none", init, seed + draw, images, size) for draw in range(24)]
        growth = [each[-1] - each[0] for each in spreads]
        parts.append(mean(f"growth of the log spread, {init}", growth, least=expected - within, most=expected + within))
        rows += [{"init": init, "growth": value} for value in growth]
    return Evidence(parts=tuple(parts), data=pd.DataFrame(rows))


@claim(
    "D14",
    "In a step that diverges the moments of channels explode late in depth and late in the step.",
    where="fig. 4",
    rule="ResNet-110 without normalisation, Xavier, a step of 1e-3 along the gradient, 24 draws: median log10 of the "
    "largest channel variance of layer 80 over that of layer 8 at its end above 4; of layer 80 at its end over two "
    "fifths of it above 2. 99 % intervals, between two draws.",
    seconds=60,
    deviations=f"{IMAGES}. Medians, since the size of the explosion differs by forty decades between draws.",
    published=Published(
        rule="The same of batches of 128 of CIFAR-10.",
        data="cifar10",
    ),
    sizes={"size": PUBLISHED_BATCH},
)
def d14(seed: int, *, images: Images | None = None, size: int = BATCH) -> Evidence:
    moments = (step_moments(seed + draw, images=images, size=size).assign(draw=draw) for draw in range(24))
    data = pd.concat(moments, ignore_index=True)
    variance = {
        (row["draw"], row["share"], row["layer"]): math.log10(row["variance"]) for row in data.to_dict("records")
    }
    depth = [variance[draw, 1.0, 80] - variance[draw, 1.0, 8] for draw in range(24)]
    late = [variance[draw, 1.0, 80] - variance[draw, 0.4, 80] for draw in range(24)]
    return Evidence(
        parts=(
            median("log10 of variances, layer 80 over layer 8", depth, least=4),
            median("log10 of variances at layer 80, end over two fifths", late, least=2),
        ),
        data=data,
    )


def step_moments(
    seed: int,
    *,
    images: Images | None = None,
    size: int = BATCH,
    step: float = 1e-3,
    shares: Sequence[float] = (0.0, 0.4, 1.0),
    layers: Sequence[int] = (8, 44, 80),
) -> pd.DataFrame:
    """Largest absolute mean and variance over the channels of some layers, at shares of a step along the gradient."""
    net, batch, rows = network("none", seed), batch_of(images, seed, size=size), []
    sound(net, batch)
    start = [(p, p.detach().clone(), p.grad) for p in net.parameters() if p.grad is not None]
    for share in shares:
        with torch.no_grad():
            for parameter, value, grad in start:
                parameter.copy_(value - share * step * grad)
        rows += [{"share": share} | moments for moments in _largest_moments(net, batch[0], layers)]
    return pd.DataFrame(rows)


def _largest_moments(net: nn.Module, samples: Tensor, layers: Sequence[int]) -> list[dict[str, float]]:
    """Largest absolute mean and variance over the channels of each layer."""
    convolutions = [part for part in net.modules() if isinstance(part, nn.Conv2d)]
    found: list[dict[str, float]] = []

    def measure(layer: int) -> Callable[..., None]:
        def hook(_: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> None:
            x = output.double()
            largest = x.mean((0, 2, 3)).abs().max().item()
            found.append({"layer": layer, "mean": largest, "variance": x.var((0, 2, 3), correction=0).max().item()})

        return hook

    hooks = [convolutions[layer - 1].register_forward_hook(measure(layer)) for layer in layers]
    with torch.no_grad():
        net(samples)
    for hook in hooks:
        hook.remove()
    return found
