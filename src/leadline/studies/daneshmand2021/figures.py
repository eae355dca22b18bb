"""The figures of Daneshmand, Joudaki and Bach 2021."""

from itertools import islice

import numpy as np
import torch

from leadline import theory
from leadline._core.figures import Curve, FigurePanel
from leadline.data import digits
from leadline.metrics import orthogonality_gap
from leadline.nn.designs import mlp
from leadline.simulate import Chain, states
from leadline.studies.daneshmand2021.chains import gaps_along, relu_chains, relu_maps, two_samples
from leadline.studies.daneshmand2021.training import conv_losses, epoch_losses, network, orthogonalised
from leadline.studies.figures import curve, figure, published
from leadline.studies.images import labelled_digits


@figure(
    "B.fig1",
    "Two nearly equal samples become orthogonal with batch normalisation; without it they align.",
    where="fig. 1",
    seconds=1,
    deviations="200 draws in place of 20.",
)
def fig1(seed: int) -> tuple[FigurePanel, ...]:
    cosines, layers = two_samples(draws=200, seed=seed), np.arange(1, 51)
    seen = {
        "batch norm": (
            (1, 3, 4, 5, 6, 7, 8, 10, 20, 50), (1, 0.995, 0.951, 0.783, 0.536, 0.315, 0.165, 0.136, 0.115, 0.142)
        ),
        "none": ((1, 2, 5, 10, 20, 30, 40, 50), (0, 0.152, 0.279, 0.352, 0.593, 0.576, 0.635, 0.760)),
    }  # fmt: skip
    curves: list[Curve] = []
    for name, found in cosines.items():
        curves += [curve(name, layers, found), published(name, *seen[name])]
    return (FigurePanel(title="Angle of two samples", x="layer (1 is the input)", y="|cos|", curves=tuple(curves)),)


@figure(
    "B.fig2",
    "The gap decays exponentially to a plateau, which falls like the root of the width.",
    where="fig. 2",
    seconds=15,
    deviations="200 and 20 draws. The published points of the left panel are read by eye; of the right one the slope "
    "is known, drawn through our first point: its axis is shifted by a division by the number of runs.",
)
def fig2(seed: int) -> tuple[FigurePanel, ...]:
    layers, curves = np.arange(50), []
    for d, seen in ((32, (-0.14, -1.6)), (512, (-0.14, -3.0))):
        logs = np.log(gaps_along(4, d, depth=49, draws=200, seed=seed))
        plateau = np.full(50, np.log(theory.orthogonality_plateau(n=4, d=d, weights="gaussian")))
        curves += [
            curve(f"width {d}", layers, logs),
            published(f"width {d}", (0, 49), seen),
            curve(f"law of the plateau, width {d}", layers, plateau),
        ]
    decay = FigurePanel(title="Decay", x="layer", y="mean log gap", curves=tuple(curves))
    widths = (16, 32, 64, 128, 256, 512)
    means = np.stack([gaps_along(4, d, depth=500, draws=20, seed=seed + d)[:, 1:].mean(1) for d in widths], axis=1)
    line = np.exp(np.log(means.mean(0)[0]) - 0.46 * np.log(np.array(widths) / widths[0]))
    width = FigurePanel(
        title="Width", x="width", y="gap, mean over 500 layers", x_scale="log", y_scale="log",
        curves=(curve("gap", widths, means), published("published slope -.46", widths, line)),
    )  # fmt: skip
    return decay, width


@figure(
    "B.fig3",
    "At Xavier's initialisation the gap of the last layer grows with depth.",
    where="fig. 3a, at initialisation",
    seconds=30,
    deviations="Digits in place of CIFAR-10, 2 draws in place of 4. The published gap is another measure than the "
    "paper's V, and of the logits; both are drawn. The published loss needs training.",
)
def fig3(seed: int) -> tuple[FigurePanel, ...]:
    depths = (15, 30, 45, 60, 75)
    images = digits().take(500, seed=seed).samples.flatten(1)
    true, logits = np.empty((2, len(depths))), np.empty((2, len(depths)))
    for draw in range(2):
        for at, depth in enumerate(depths):
            net = mlp(64, 10, depth=depth - 1, width=800, norm="none", init="xavier", gain=2**0.5, seed=seed + draw)
            with torch.no_grad():
                hidden = net.blocks(images)
                sigma = torch.linalg.svdvals(net(images).double())
            true[draw, at] = float(orthogonality_gap(hidden.double()))
            logits[draw, at] = float((sigma / sigma.norm() - 10**-0.5).norm())
    curves = (
        curve("of the logits", depths, logits),
        published("of the logits", depths, (0.935, 1.049, 1.067, 1.093, 1.123)),
        curve("V of the last hidden layer", depths, true),
    )
    return (FigurePanel(title="Gap at initialisation", x="depth", y="gap", curves=curves),)


@figure(
    "B.fig4",
    "The loss after training rises with depth from Xavier's initialisation, and not where layers are orthogonalised.",
    where="fig. 4",
    seconds=60,
    deviations="Digits, width 60, batches of 60 and 2 draws in place of CIFAR-10, 800, 500 and 4: the levels are not "
    "to be compared.",
)
def fig4(seed: int) -> tuple[FigurePanel, ...]:
    images, depths, curves = labelled_digits(), (15, 30, 45, 60, 75), list[Curve]()
    for name, build, seen in (
        ("Xavier", network, (0.751, 0.965, 1.116, 1.196, 1.395)),
        ("orthogonalised", orthogonalised, (0.977, 0.972, 0.976, 0.952, 0.982)),
    ):
        losses = [
            [
                epoch_losses(build(images, depth, 60, seed + draw), images, epochs=30, seed=seed + draw)[-1]
                for depth in depths
            ]
            for draw in range(2)
        ]
        curves += [curve(name, depths, np.mean(losses, axis=0)), published(name, depths, seen)]
    return (FigurePanel(title="Loss after 30 epochs", x="depth", y="loss", curves=tuple(curves)),)


@figure(
    "B.fig5",
    "ReLU networks keep a low gap with batch normalisation, without it the gap rises.",
    where="fig. 5",
    seconds=10,
    deviations="Gaussian samples in place of CIFAR-10, whose gap is .70 at the input; of the convolutions digits, 10 "
    "draws in place of 50. The published points were read by eye, those of the convolutions are not known; their maps "
    "are padded with zeros, as the caption says, and by reflection in the code.",
)
def fig5(seed: int) -> tuple[FigurePanel, ...]:
    seen = {"batch norm": ((2, 5, 30), (0.29, 0.20, 0.20)), "none": ((5, 10, 30), (0.83, 0.89, 0.93))}
    found = relu_chains(draws=100, seed=seed)
    curves = [
        each for name in found for each in (curve(name, np.arange(31), found[name]), published(name, *seen[name]))
    ]
    maps = relu_maps(labelled_digits(), draws=10, seed=seed)
    return (
        FigurePanel(title="Multilayer perceptron", x="layer", y="orthogonality gap", curves=tuple(curves)),
        FigurePanel(
            title="Convolutions of 100 channels", x="layer", y="orthogonality gap",
            curves=tuple(curve(name, np.arange(31), gaps) for name, gaps in maps.items()),
        ),
    )  # fmt: skip


@figure(
    "B.fig6",
    "With activations the Gram matrix settles within the root of the width of its mean.",
    where="fig. 6",
    seconds=25,
    deviations="The published figure shows the curve of sin under all four labels; drawn for each activation here.",
)
def fig6(seed: int) -> tuple[FigurePanel, ...]:
    widths = (16, 32, 64, 128, 256)
    curves = [published("sin", widths, np.exp([-1.24, -1.59, -1.97, -2.32, -2.65]))]
    for name in ("relu", "tanh", "sin", "sigmoid"):
        curves.append(curve(name, widths, np.stack([_distances(name, d, seed + d) for d in widths], axis=1)))
    return (
        FigurePanel(
            title="Distance to the stationary mean", x="width", y="mean distance", x_scale="log", y_scale="log",
            curves=tuple(curves),
        ),
    )  # fmt: skip


def _distances(activation: str, d: int, seed: int) -> np.ndarray:
    chain = Chain(width=d, depth=440, weights="gaussian", activation=activation, order="activation-linear-norm")
    after = islice(states(chain, batch=4, draws=8, seed=seed), 41, None)
    found = np.stack([(x @ x.mT / x.shape[-1] / 4).numpy() for x in after])
    return np.linalg.norm(found - found.mean((0, 1)), axis=(-2, -1)).mean(0)


@figure(
    "B.fig7",
    "Orthogonalising lets a convolutional network of 80 layers train from the start.",
    where="fig. 7",
    seconds=75,
    deviations="Digits, 16 channels and 5 epochs in place of CIFAR-10, an AlexNet of 256 and 20: the levels are not to "
    "be compared. At 20 layers the published order is the other one.",
)
def fig7(seed: int) -> tuple[FigurePanel, ...]:
    panels = []
    for depth, ends in ((20, {"Xavier": 0.92, "orthogonalised": 1.17}), (80, {"Xavier": 1.91, "orthogonalised": 1.30})):
        curves = list[Curve]()
        for name, end in ends.items():
            losses = conv_losses(labelled_digits(), depth, name, seed)
            curves += [curve(name, np.arange(1, 6), losses), published(name, (1, 20), (2.3, end))]
        panels.append(FigurePanel(title=f"{depth} layers", x="epoch", y="loss", curves=tuple(curves)))
    return tuple(panels)
