"""Gradients through many layers: bounded for orthogonal weights, exploding for Gaussian ones and degenerate batches."""

import math
from typing import Any

import numpy as np
import pandas as pd
import torch

from leadline import theory
from leadline._core.claims import Published
from leadline.simulate import Chain, propagate
from leadline.studies.claims import Evidence, claim
from leadline.studies.images import Images
from leadline.studies.meterez2023.isometry import batch_norm, haar
from leadline.studies.parts import exact, mean, ratio

_SECOND = 1  # the published figures show the second linear layer, fc_1


def by_depth(
    depths: tuple[int, ...], *, draws: int, seed: int, x: torch.Tensor | None = None, **design: Any
) -> pd.DataFrame:
    """Log-norm of the weight gradient of the second layer of square networks, cross entropy of random labels.

    Samples are Gaussian but where ``x`` gives them.
    """
    rows = []
    for depth in depths:
        chain = Chain(width=100, depth=depth, **design)
        found = propagate(chain, x, batch=100, draws=draws, seed=seed, loss="cross_entropy", metrics=())
        logs = found.array("log_weight_grad_norm")[:, _SECOND]
        rows += [{"depth": depth, "draw": i, "log_norm": value} for i, value in enumerate(logs)]
    return pd.DataFrame(rows)


def _first_layer(images: Images | None, seed: int) -> torch.Tensor | None:
    """A batch of 100 images behind a semi-orthogonal map to 100 features; ``None`` where Gaussian samples will do.

    The chain's first weight is Haar, so that it makes no difference which map this is.
    """
    if images is None:
        return None
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.randperm(len(images.labels), generator=generator)[:100].to(images.labels.device)
    x = images.standardised[chosen].flatten(1).double()
    normal = torch.randn(x.shape[1], 100, generator=generator, dtype=torch.float64)
    return x @ torch.linalg.qr(normal).Q.to(x.device)


def _change(data: pd.DataFrame, first: int, last: int) -> np.ndarray:
    """Between two depths, draw by draw."""
    wide = data.pivot(index="draw", columns="depth", values="log_norm")
    return (wide[last] - wide[first]).to_numpy()


@claim(
    "A9",
    "With orthogonal weights the first layer's gradient does not depend on depth.",
    where="fig. 3 and theorem 5",
    rule="d = n = 100, identity, depths 100 to 1000, 5 draws: mean change of the log-norm from depth 100 below .15 "
    "in size. 99 % intervals.",
    seconds=60,
    deviations="Gaussian samples in place of CIFAR-10, 5 draws in place of 10.",
    published=Published(
        rule="d = n = 100, identity, a batch of CIFAR-10, depths 100, 200, 500 and 1000, 10 draws of the weights: mean "
        "change of the log-norm from depth 100 below .15 in size. 99 % intervals.",
        data="cifar10",
    ),
    sizes={"deeper": (200, 500, 1000), "draws": 10},
)
def a9(seed: int, *, images: Images | None = None, deeper: tuple[int, ...] = (300, 1000), draws: int = 5) -> Evidence:
    data = by_depth((100, *deeper), draws=draws, seed=seed, x=_first_layer(images, seed))
    parts = [
        mean(f"change from depth 100 to {depth}", _change(data, 100, depth), least=-0.15, most=0.15) for depth in deeper
    ]
    return Evidence(parts=tuple(parts), data=data)


def _growth(chain: Chain, *, n: int, draws: int, seed: int, layers: int, distinct: int | None = None) -> np.ndarray:
    """Of the weight gradient's log-norm over the first ``layers`` layers of one network, towards the input."""
    x = None
    if distinct is not None:
        x = torch.randn(distinct, chain.width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        x = x.repeat(n // distinct, 1)
    found = propagate(chain, x, batch=n, draws=draws, seed=seed, loss="cross_entropy", metrics=())
    logs = found.array("log_weight_grad_norm")
    return logs[:, _SECOND] - logs[:, _SECOND + layers]


@claim(
    "A10",
    "With Gaussian weights it explodes.",
    where="fig. 3",
    rule="The same with Gaussian weights, depths 200 and 1000, 8 draws: mean growth of the log-norm above 6. 99 % "
    "intervals.",
    seconds=95,
    deviations="Gaussian samples in place of CIFAR-10, 8 draws in place of 10.",
    published=Published(
        rule="The same with Gaussian weights, depths 200 and 1000, 10 draws: mean growth of the log-norm above 6. 99 % "
        "intervals.",
        data="cifar10",
    ),
    sizes={"draws": 10},
)
def a10(seed: int, *, images: Images | None = None, draws: int = 8) -> Evidence:
    data = by_depth((200, 1000), draws=draws, seed=seed, x=_first_layer(images, seed), weights="gaussian")
    return Evidence(parts=(mean("growth from depth 200 to 1000", _change(data, 200, 1000), least=6.0),), data=data)


@claim(
    "A11",
    "Repeated samples make it explode with orthogonal weights too.",
    where="fig. 2",
    rule="d = n = 100 with 10 or 20 different samples, 20 networks of 300 layers: growth a layer .053 and .0215 "
    "within 25 %; below .002 without repetition. 99 % intervals.",
    seconds=30,
    deviations="The paper does not say how many samples were repeated; its slope of .0204 is that of about 20 "
    "different ones.",
)
def a11(seed: int) -> Evidence:
    parts, rows = [], []
    for distinct, slope in ((10, 0.053), (20, 0.0215), (100, None)):
        draws, layers = 20 if slope else 5, 200
        growth = _growth(Chain(width=100, depth=300), n=100, draws=draws, seed=seed, layers=layers, distinct=distinct)
        part = mean(f"growth a layer, {distinct} different samples", growth / layers, most=0.002)
        if slope:
            part = ratio(f"growth a layer over {slope}, {distinct} different samples", part, to=slope, within=0.25)
        parts.append(part)
        rows += [{"distinct": distinct, "growth": value} for value in growth]
    return Evidence(parts=tuple(parts), data=pd.DataFrame(rows))


@claim(
    "A12",
    "Subtracting the mean changes nothing.",
    where="fig. G6",
    rule="d = n = 100, identity, depths 50 and 300, 20 draws of the same weights: mean difference of the log-norms "
    "below .05 in size. 99 % intervals.",
    seconds=60,
)
def a12(seed: int) -> Evidence:
    parts, frames = [], []
    for depth in (50, 300):
        arms = {
            centred: by_depth((depth,), draws=20, seed=seed, centred=centred).assign(centred=centred)
            for centred in (False, True)
        }
        difference = arms[True].log_norm.to_numpy() - arms[False].log_norm.to_numpy()
        parts.append(mean(f"difference at depth {depth}", difference, least=-0.05, most=0.05))
        frames += arms.values()
    return Evidence(parts=tuple(parts), data=pd.concat(frames))


@claim(
    "A13",
    "Without shaping gradients explode at a rate of the activation.",
    where="fig. 5, left",
    rule="d = n = 100, standard batch normalisation, depths 100 and 200, 10 draws: growth a layer .085 (tanh) and "
    ".134 (sin) within 5 %. 99 % intervals.",
    seconds=40,
)
def a13(seed: int) -> Evidence:
    parts, frames = [], []
    for name, slope in (("tanh", 0.085), ("sin", 0.134)):
        data = by_depth((100, 200), draws=10, seed=seed, activation=name, centred=True, eps=1e-5)
        growth = mean("", _change(data, 100, 200) / 100)
        parts.append(ratio(f"growth a layer over {slope}, {name}", growth, to=slope, within=0.05))
        frames.append(data.assign(activation=name))
    return Evidence(parts=tuple(parts), data=pd.concat(frames))


@claim(
    "A14",
    "Gains l^-0.4 before the activation bound the gradient at any depth.",
    where="fig. 5, right",
    rule="d = n = 100, tanh and sin, depths 100 and 600, 10 draws: mean log-norm in [-2, -.7] from depth 100 on, "
    "and no rise above .2 from 100 to 600. 99 % intervals.",
    seconds=60,
)
def a14(seed: int) -> Evidence:
    parts, frames = [], []
    for name in ("tanh", "sin"):
        data = by_depth((100, 600), draws=10, seed=seed, activation=name, centred=True, eps=1e-5, gain_exponent=0.4)
        for depth in (100, 600):
            values = data[data.depth == depth].log_norm
            parts.append(mean(f"log-norm at depth {depth}, {name}", values, least=-2.0, most=-0.7))
        parts.append(mean(f"rise from depth 100 to 600, {name}", _change(data, 100, 600), most=0.2))
        frames.append(data.assign(activation=name))
    return Evidence(parts=tuple(parts), data=pd.concat(frames))


def _backward(delta: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The gradient before batch normalisation; features are rows."""
    lengths = np.linalg.norm(y, axis=1, keepdims=True)
    unit = y / lengths
    return (delta - unit * np.sum(delta * unit, axis=1, keepdims=True)) / lengths


@claim(
    "A16",
    "Every draw's gradient obeys a bound of the features' smallest lengths.",
    where="sharpens theorem 5",
    rule="200 networks of 12 layers and sizes 3 to 12: no violation by 1e-9 in any layer.",
    seconds=1,
)
def a16(seed: int) -> Evidence:
    rng, rows = np.random.default_rng(seed), []
    for network in range(200):
        d = int(rng.integers(3, 13))
        x, layers = rng.standard_normal((d, d)), []
        for _ in range(12):
            w = haar(d, rng)
            layers.append((x, w, w @ x))
            x = batch_norm(w @ x)
        delta = rng.standard_normal((d, d))
        allowed = math.log(np.linalg.norm(delta))
        for x, w, y in reversed(layers):
            allowed -= math.log(np.linalg.norm(y, axis=1).min())
            inner = _backward(delta, y)
            excess = math.log(np.linalg.norm(inner @ x.T)) - allowed - math.log(np.linalg.norm(x, 2))
            rows.append({"network": network, "excess": excess})
            delta = w.T @ inner
    data = pd.DataFrame(rows)
    return Evidence(parts=(exact("largest excess", data.excess.max(), most=1e-9),), data=data)


@claim(
    "A17",
    "At isometry the gradient keeps its antisymmetric part and loses the rest, so that it does not vanish.",
    where="complements theorem 5",
    rule="d = n = 10, orthogonal input, 400 layers, 20 draws: norm at the input over the antisymmetric part's "
    "within 1e-6 of 1.",
    seconds=1,
)
def a17(seed: int) -> Evidence:
    rng, ratios = np.random.default_rng(seed), []
    for _ in range(20):
        x, layers = haar(10, rng), []
        for _ in range(400):
            w = haar(10, rng)
            layers.append((w, w @ x))
            x = batch_norm(w @ x)
        delta = rng.standard_normal((10, 10))
        inner = delta @ x.T
        kept = np.linalg.norm(inner - inner.T) / 2
        for w, y in reversed(layers):
            delta = w.T @ _backward(delta, y)
        ratios.append(np.linalg.norm(delta) / kept)
    worst = np.abs(np.array(ratios) - 1).max()
    return Evidence(parts=(exact("largest deviation", worst, most=1e-6),), data=pd.DataFrame({"ratio": ratios}))


@claim(
    "A18",
    "As many samples as features are enough; with fewer gradients explode.",
    where="extends theorem 5",
    rule="d = 50, depths 50 to 250 of one network, 60 draws: growth a layer .0471, .0114 and .0035 within 25 % at n"
    " = 10, 25 and 40, below .001 in size at n = 50 and 100. 99 % intervals.",
    seconds=20,
)
def a18(seed: int) -> Evidence:
    parts, rows = [], []
    for n in (10, 25, 40, 50, 100):
        found = propagate(Chain(width=50, depth=300), batch=n, draws=60, seed=seed + n, metrics=())
        logs = found.array("log_weight_grad_norm")
        growth = (logs[:, 50] - logs[:, 250]) / 200
        part = mean(f"growth a layer, n = {n}", growth, least=-1e-3, most=1e-3)
        slope = {10: 0.0471, 25: 0.0114, 40: 0.0035}.get(n)
        parts.append(ratio(f"growth a layer over {slope}, n = {n}", part, to=slope, within=0.25) if slope else part)
        rows += [{"n": n, "growth": value} for value in growth]
    return Evidence(parts=tuple(parts), data=pd.DataFrame(rows))


@claim(
    "A19",
    "ReLU networks behind batch normalisation explode at (1/2) log(pi/(pi-1)) = .1916 a layer.",
    where="section 5, after Yang et al. 2019",
    rule="d = 4096, orthogonal, n = 16, 32, 64, 60 layers, 6 draws: growth over layers 10 to 50 within 3 % of the "
    "rate at that batch, and its extrapolation to infinite batches within 3 % of .1916. 99 % intervals.",
    seconds=40,
    deviations="The figure is the limit of infinite batches behind infinite width, and no network's.",
)
def a19(seed: int) -> Evidence:
    batches, parts, growths = (16, 32, 64), [], []
    for n in batches:
        chain = Chain(width=4096, depth=60, activation="relu", centred=True)
        logs = propagate(chain, batch=n, draws=6, seed=seed + n, dtype=torch.float32, metrics=()).array("log_grad_norm")
        growths.append((logs[:, 10] - logs[:, 50]) / 40)
        rate = theory.batch_norm_gradient_rate("relu", n=n, d=4096)
        parts.append(ratio(f"growth over the rate, n = {n}", mean("", growths[-1]), to=rate, within=0.03))
    inverse = 1 / np.array(batches)
    limits = np.polyfit(inverse, np.stack(growths), 2)[2]
    parts.append(
        ratio(
            "extrapolated growth over .1916", mean("", limits), to=0.5 * math.log(math.pi / (math.pi - 1)), within=0.03
        )
    )
    return Evidence(
        parts=tuple(parts), data=pd.DataFrame({"n": np.repeat(batches, 6), "growth": np.concatenate(growths)})
    )
