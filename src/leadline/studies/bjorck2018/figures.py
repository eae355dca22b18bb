"""The figures of Bjorck, Gomes, Selman and Weinberger 2018."""

import math

import numpy as np

from leadline import theory
from leadline._core.figures import Curve, FigurePanel
from leadline.nn.norms import MapNormName
from leadline.studies.bjorck2018.channels import step_moments
from leadline.studies.bjorck2018.gradients import LAYERS, contribution_rows
from leadline.studies.bjorck2018.products import singular_values
from leadline.studies.bjorck2018.rates import DEPTHS, NORMS, RATES, largest_rates, losses_of, trained_grid
from leadline.studies.bjorck2018.resnets import IMAGES, generated, network, sound
from leadline.studies.bjorck2018.steps import GRID, relative_losses
from leadline.studies.bjorck2018.training import accuracies
from leadline.studies.figures import curve, figure, middle, published
from leadline.studies.images import labelled_digits

_NORMS = {"batch": "batch norm", "none": "none"}


@figure(
    "D.fig1",
    "Test accuracy: at a small rate the same with batch normalisation and without, at a large one better.",
    where="fig. 1, right",
    seconds=30,
    deviations="640 digits, 14 layers, 100 epochs of plain SGD at .5 and .03 in place of CIFAR-10, ResNet-110 and "
    "rates of .1 to 1e-4: the levels are not to be compared. Published are the ends.",
)
def fig1(seed: int) -> tuple[FigurePanel, ...]:
    cases: tuple[tuple[str, MapNormName, float, float], ...] = (
        ("batch norm, large rate", "batch", 0.5, 0.933),
        ("batch norm, small rate", "batch", 0.03, 0.813),
        ("none, small rate", "none", 0.03, 0.820),
    )
    images, shares, curves = labelled_digits(), np.arange(1, 26) / 25, list[Curve]()
    for name, norm, rate, end in cases:
        found = accuracies(images, norm, rate=rate, epochs=100, seed=seed, points=25)
        curves += [curve(name, shares, found), published(name, (1.0,), (end,))]
    return (FigurePanel(title="Test accuracy", x="share of training", y="accuracy", curves=tuple(curves)),)


@figure(
    "D.fig2",
    "Gradients at initialisation are larger without batch normalisation and have heavy tails.",
    where="fig. 2",
    seconds=4,
    deviations=IMAGES,
)
def fig2(seed: int) -> tuple[FigurePanel, ...]:
    panels = []
    for norm, name in _NORMS.items():
        grad = sound(network(norm, seed), generated(seed), layers=(55,)).weight_grad(55).double().flatten().numpy()
        reach = float(np.abs(grad).max())
        counts, edges = np.histogram(grad, bins=101, range=(-reach, reach))
        panels.append(
            FigurePanel(
                title=f"Kernel of layer 55, {name}", x="gradient", y="entries", y_scale="log",
                curves=(curve(name, (edges[1:] + edges[:-1]) / 2, counts),),
            )
        )  # fmt: skip
    return tuple(panels)


@figure(
    "D.fig3",
    "The loss along the gradient: with batch normalisation steps may be larger by orders of magnitude.",
    where="fig. 3, the first batch",
    seconds=45,
    deviations=f"{IMAGES}; geometric means of 3 draws, at initialisation.",
)
def fig3(seed: int) -> tuple[FigurePanel, ...]:
    seen = {"batch": ((0.03, 0.2), (10**-0.07, 10**0.44)), "none": ((2.5e-4, 3e-3), (0.1, 1e6))}
    curves: list[Curve] = []
    for norm, name in (*_NORMS.items(), ("last", "last layer only")):
        logs = np.log([[min(v, 1e30) for v in relative_losses(norm, seed + draw).values()] for draw in range(3)])
        curves.append(curve(name, GRID, np.exp(logs.mean(0))))
        if norm in seen:
            curves.append(published(name, *seen[norm]))
    return (
        FigurePanel(
            title="Loss after a step over the loss before", x="step", y="relative loss", x_scale="log", y_scale="log",
            curves=tuple(curves),
        ),
    )  # fmt: skip


@figure(
    "D.fig4",
    "In a step that diverges the channels' moments explode late in depth and late in the step.",
    where="fig. 4",
    seconds=30,
    deviations=f"{IMAGES}. The largest channel at each share of the step, geometric means of 5 draws, in place of maps "
    "of all channels; the published points are the ends of their colour bars.",
)
def fig4(seed: int) -> tuple[FigurePanel, ...]:
    shares = tuple(k / 10 for k in range(11))
    frames = [step_moments(seed + draw, shares=shares) for draw in range(5)]
    seen = {"mean": {8: 1.4, 44: 3900, 80: 3.1e8}, "variance": {8: 1.0, 44: 5.4e6, 80: 5.6e16}}
    panels = []
    for moment, ends in seen.items():
        curves: list[Curve] = []
        for layer, end in ends.items():
            logs = [np.log(frame.loc[frame["layer"] == layer, moment]) for frame in frames]
            curves += [
                curve(f"layer {layer}", shares, np.exp(np.mean(logs, axis=0))),
                published(f"layer {layer}", (1.0,), (end,)),
            ]
        panels.append(
            FigurePanel(
                title=f"Largest {moment} of a channel", x="share of the step", y=moment, y_scale="log",
                curves=tuple(curves),
            )
        )  # fmt: skip
    return tuple(panels)


@figure(
    "D.fig5",
    "Channels grow with depth at initialisation without batch normalisation; with it they stay level.",
    where="fig. 5",
    seconds=15,
    deviations=f"{IMAGES}; 5 draws of Xavier's law, sums of blocks in place of layers.",
)
def fig5(seed: int) -> tuple[FigurePanel, ...]:
    at = (6, 18, 30, 42, 54, 66, 78, 90, 102)
    seen = {
        "mean, batch norm": (-0.95, 0.25, 0.55, -0.85, -0.3, 0.15, -1.1, -0.33, 0.03),
        "spread, batch norm": (0.1, 0.6, 0.9, 0.05, 0.65, 1.0, 0.0, 0.6, 0.9),
        "mean, none": (-1.55, -1.45, -0.25, -0.3, -0.35, 0.8, 1.25, 1.9, 2.85),
        "spread, none": (-1.25, -1.15, -0.25, -0.2, 0.15, 0.9, 1.4, 2.2, 3.05),
    }
    curves: dict[str, list[Curve]] = {"spread": [], "mean": []}
    for norm, name in _NORMS.items():
        runs = [sound(network(norm, seed + draw), generated(seed + draw)).streams for draw in range(5)]
        layers = sorted(runs[0])
        logs = {
            "spread": [[run[layer].std((0, 2, 3)).mean().log().item() for layer in layers] for run in runs],
            "mean": [[run[layer].mean((0, 2, 3)).abs().mean().log().item() for layer in layers] for run in runs],
        }
        for moment, found in logs.items():
            label = f"{moment}, {name}"
            curves[moment] += [curve(label, layers, found), published(label, at, seen[label])]
    return tuple(
        FigurePanel(title=f"Channels' {what}", x="layer", y=f"log of the mean {what}", curves=tuple(curves[moment]))
        for moment, what in (("spread", "standard deviation"), ("mean", "absolute mean"))
    )


@figure(
    "D.fig6",
    "Gradients at the output: without batch normalisation the same class for every image.",
    where="fig. 6",
    seconds=3,
    deviations=IMAGES,
)
def fig6(seed: int) -> tuple[FigurePanel, ...]:
    panels = []
    for norm, name in _NORMS.items():
        grads = sound(network(norm, seed), generated(seed)).logit_grads
        cells = tuple(tuple(row) for row in grads.tolist())
        panels.append(FigurePanel(title=f"dL/dz, {name}", x="class", y="image", cells=cells))
    return tuple(panels)


@figure(
    "D.fig7",
    "Products of Gaussian matrices have ever more tiny singular values.",
    where="fig. 7",
    seconds=4,
    deviations="400 x 400, densities in place of counts, with the exact density of the limit.",
)
def fig7(seed: int) -> tuple[FigurePanel, ...]:
    rng, curves = np.random.default_rng(seed), []
    for factors in (1, 3, 5):
        found = np.concatenate([singular_values(400, factors, rng) for _ in range(4)])
        counts, edges = np.histogram(found, bins=64, range=(0, 4))
        middle = (edges[1:] + edges[:-1]) / 2
        inside = middle[middle < theory.product_edge(factors)]
        density = [float(theory.product_density(float(s), factors=factors)) for s in inside]
        curves += [
            curve(f"{factors} factors" if factors > 1 else "1 factor", middle, counts / len(found) / np.diff(edges)),
            curve(f"law, {factors}", inside, density),
        ]
    return (
        FigurePanel(
            title="Singular values", x="singular value", y="density", y_scale="log", curves=tuple(curves),
        ),
    )  # fmt: skip


@figure(
    "D.grid",
    "Without normalisation the largest learning rate that trains falls with depth; with batch normalisation it stays, "
    "until no rate trains.",
    where="fig. 1, asked over depth",
    seconds=300,
    deviations="Not a figure of the paper: its question on a grid of depths, rates and normalisers. ReLU perceptrons "
    "of width 64 on the digits, weights of He et al., 250 steps of plain SGD on batches of 64, 3 draws. A network "
    "trains where the mean of its last 20 losses is below 1 (guessing has 2.30); rates lie a factor of √10 apart, up "
    "to 10. Where there is no point, most draws train at none. Losses above that of guessing, and of what diverged, "
    "are drawn as that. Up to depth 10 fractional batch normalisation is batch normalisation.",
    bands="the range of the draws, around their median",
)
def grid(seed: int) -> tuple[FigurePanel, ...]:
    rows, guessing = trained_grid(range(seed, seed + 3)), math.log(10)
    largest = [middle(name, DEPTHS, largest_rates(rows, norm)) for norm, name in NORMS.items()]
    panels = [
        FigurePanel(
            title="Largest learning rate that trains", x="depth", y="learning rate", x_scale="log", y_scale="log",
            curves=tuple(largest),
        )
    ]  # fmt: skip
    for norm, name in NORMS.items():
        losses = (middle(f"depth {depth}", RATES, losses_of(rows, norm, depth, most=guessing)) for depth in DEPTHS)
        panels.append(
            FigurePanel(
                title=f"After training, {name}", x="learning rate", y="loss", x_scale="log", curves=tuple(losses)
            )
        )
    return tuple(panels)


@figure(
    "D.tab1",
    "How much a kernel's gradient cancels over the batch.",
    where="table of gradients of convolution kernels",
    seconds=15,
    deviations=f"{IMAGES}: half the paper's batch, whose ratios with batch normalisation are 1.4 times larger; "
    "geometric means of 5 draws.",
)
def tab1(seed: int) -> tuple[FigurePanel, ...]:
    rows, curves = contribution_rows(seed, draws=5), []
    for (norm, name), seen in zip(_NORMS.items(), ((251.8, 112.8, 40.7), (1.7, 2.6, 2.1)), strict=True):
        logs = [[np.log(row["ratio"]) for row in rows if (row["norm"], row["layer"]) == (norm, at)] for at in LAYERS]
        curves += [curve(name, LAYERS, np.exp(np.mean(logs, axis=1))), published(name, LAYERS, seen)]
    return (
        FigurePanel(
            title="Absolute contributions over absolute gradient", x="layer", y="ratio", y_scale="log",
            curves=tuple(curves),
        ),
    )  # fmt: skip
