"""The figures of Daneshmand, Kohler, Bach, Hofmann and Lucchi 2020."""

import numpy as np
import torch

from leadline._core.figures import Curve, FigurePanel
from leadline.metrics import numerical_rank
from leadline.studies.daneshmand2020.dense import chain, gaussian, moments, uniform
from leadline.studies.daneshmand2020.laws import last_ranks
from leadline.studies.daneshmand2020.rank import stationary
from leadline.studies.daneshmand2020.training import networks, perceptrons, trained, training_accuracy
from leadline.studies.daneshmand2020.variants import VARIANTS, best_losses
from leadline.studies.figures import curve, figure, published
from leadline.studies.images import labelled_digits
from leadline.studies.training import moving_mean

_MARKS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000)


@figure(
    "C.fig1",
    "At the default initialisation the last hidden layer loses its rank with depth; batch normalisation keeps it.",
    where="fig. 1",
    seconds=110,
    deviations="Digits of 64 pixels in place of Fashion-MNIST; 10 draws of the ranks, one of the training, of 1500 "
    "steps in place of 35,100. As in the published code the net with batch normalisation is trained by Adam and the "
    "plain one by SGD; two of its published accuracies were changed by hand before they were drawn.",
)
def fig1(seed: int) -> tuple[FigurePanel, ...]:
    images, depths = labelled_digits(), tuple(range(1, 34, 2))
    seen = {"none": (125, 100, 69, 56, 34, 14, 3.5, 1, 1), "batch": (127.5,) * len(depths)}
    curves = []
    for norm in ("none", "batch"):
        found = [[last_ranks(images, norm, depth, seed + draw) for depth in depths] for draw in range(10)]
        curves += [curve(norm, depths, found), published(norm, depths, seen[norm])]
    trained_depths, accuracies = (1, 5, 9, 13, 17, 25, 33), list[Curve]()
    reached = {
        "none": (0.935, 0.955, 0.945, 0.10, 0.10, 0.10, 0.10),
        "batch": (0.987, 0.987, 0.987, 0.987, 0.97, 0.97, 0.93),
    }
    for norm in ("none", "batch"):
        ours = [training_accuracy(images, norm, depth, steps=1500, seed=seed) for depth in trained_depths]
        accuracies += [curve(norm, trained_depths, ours), published(norm, trained_depths, reached[norm])]
    return (
        FigurePanel(title="After training", x="hidden layers", y="training accuracy", curves=tuple(accuracies)),
        FigurePanel(
            title="Rank at initialisation", x="hidden layers", y="numerical rank, float32", curves=tuple(curves)
        ),
    )


@figure(
    "C.fig2",
    "The numerical rank settles near twice the root of the width with batch normalisation, at one without.",
    where="fig. 2",
    seconds=25,
    deviations="2000 layers in place of 50,000, 10 draws in place of one. The published panel named ReLU is tanh; both "
    "are drawn.",
)
def fig2(seed: int) -> tuple[FigurePanel, ...]:
    seen = {("batch norm", "identity"): (31, 11), ("vanilla", "identity"): (32, 3)}
    panels = []
    for activation, title in (("identity", "Linear"), ("tanh", "tanh, published as ReLU"), ("relu", "ReLU")):
        curves = []
        for name in ("batch norm", "vanilla"):
            curves.append(curve(name, _MARKS, _ranks(activation, vanilla=name == "vanilla", seed=seed)))
            if points := seen.get((name, activation)):
                curves.append(published(name, (1, 1000), points))
        panels.append(
            FigurePanel(title=title, x="layer", y="numerical rank, float64", x_scale="log", curves=tuple(curves))
        )
    return tuple(panels)


def _ranks(activation: str, *, vanilla: bool, seed: int) -> np.ndarray:
    generator = torch.Generator().manual_seed(seed)
    h = gaussian((10, 32, 32), generator)
    states = chain(
        h, depth=_MARKS[-1], generator=generator, law=uniform, centred=True, vanilla=vanilla, activation=activation
    )
    found = [numerical_rank(h.mT).double().numpy() for layer, h in enumerate(states, 1) if layer in _MARKS]
    return np.stack(found, axis=1)


@figure(
    "C.fig3",
    "The rank grows like the root of the width, and comes back from nearly one.",
    where="fig. 3",
    seconds=25,
    deviations="Widths to 64; the released notebook averages another quantity than the figure shows, which is the soft "
    "rank at .5.",
)
def fig3(seed: int) -> tuple[FigurePanel, ...]:
    widths = (8, 16, 32, 64)

    def ranks(metric: str, skip: float | None) -> np.ndarray:
        return np.stack([stationary(d, seed=seed + d, skip=skip)[metric] for d in widths], axis=1)

    curves = (
        curve("no skip", widths, ranks("soft_rank", None)),
        published("no skip", widths, 2.0 ** np.array([1.502, 2.200, 2.812, 3.455])),
        curve("gamma = 1", widths, ranks("soft_rank", 1.0)),
        curve("participation ratio, no skip", widths, ranks("participation_ratio", None)),
        curve("root of the width", widths, np.sqrt(widths)),
    )
    width = FigurePanel(
        title="Rank and width", x="width", y="rank, mean over layers", x_scale="log", y_scale="log", curves=curves
    )
    generator = torch.Generator().manual_seed(seed)
    h = torch.ones(10, 50, 50, dtype=torch.float64) + 1e-5 * gaussian((10, 50, 50), generator)
    states = chain(h, depth=100, generator=generator, gamma=1.0)
    spectra = torch.stack([torch.linalg.eigvalsh(moments(x)).flip(-1)[:, :6] for x in states], dim=1)
    logs = spectra.clamp(min=1e-12).log10().mean(0).numpy()
    recovery = [curve(f"eigenvalue {k + 1}", np.arange(1, 101), 10.0 ** logs[:, k]) for k in range(6)]
    recovery += [published("eigenvalue 1", (1, 6), (50, 50)), published("eigenvalue 2", (8,), (20,))]
    return width, FigurePanel(
        title="From nearly rank one",
        x="layer",
        y="eigenvalue of the moment matrix",
        y_scale="log",
        curves=tuple(recovery),
    )


@figure(
    "C.fig4",
    "After pre-training of its rank a plain deep network trains, though not as fast as with batch normalisation.",
    where="fig. 4",
    seconds=60,
    deviations="Digits in [0, 1] in place of CIFAR-10 in 0 to 255, 32 hidden layers, 1500 steps at the best of two "
    "rates, pre-training by Adam. The published values are not known.",
)
def fig4(seed: int) -> tuple[FigurePanel, ...]:
    images, steps, curves = labelled_digits(), 1500, list[Curve]()
    for name, build in perceptrons(images, 32).items():
        runs = [trained(build(seed), images, steps=steps, rate=rate, batch=64, seed=seed) for rate in (1e-1, 1e-2)]
        best = min(runs, key=lambda run: run.loss)
        means = moving_mean(best.losses, 50)
        curves.append(curve(name, np.arange(len(means)) + 50, means))
    return (FigurePanel(title="Training", x="step", y="loss, mean of 50 steps", curves=tuple(curves)),)


@figure(
    "C.fig5",
    "Of batch normalisation it is the scale that makes a deep convolutional network train.",
    where="fig. 5",
    seconds=60,
    deviations="Digits and a VGG-19 of 8 to 64 channels, 400 steps of SGD at the best of two rates, in place of "
    "CIFAR-10 and the full width. In the published code the parts are full batch normalisation while it trains; here "
    "they are what they are called. The published values are not known.",
)
def fig5(seed: int) -> tuple[FigurePanel, ...]:
    images, curves = labelled_digits(), list[Curve]()
    for name in VARIANTS:
        means = moving_mean(best_losses(images, name, steps=400, rates=(1e-1, 1e-2), seed=seed), 20)
        curves.append(curve(name, np.arange(len(means)) + 20, means))
    return (FigurePanel(title="Training", x="step", y="loss, mean of 20 steps", curves=tuple(curves)),)


@figure(
    "C.fig6",
    "Networks train the faster the higher their rank is at the start.",
    where="fig. 6a",
    seconds=40,
    deviations="Digits in place of Fashion-MNIST, 1500 steps; pre-training by Adam. The published losses are not "
    "known, and too large by a fifth.",
)
def fig6(seed: int) -> tuple[FigurePanel, ...]:
    images, curves = labelled_digits(), []
    for name, net in networks(images, seed).items():
        run = trained(net, images, steps=1500, seed=seed)
        losses = moving_mean(run.losses, 50)
        curves.append(curve(f"{name}, r = {run.ratio:.1f}", np.arange(len(losses)) + 50, losses))
    return (FigurePanel(title="Training", x="step", y="loss, mean of 50 steps", curves=tuple(curves)),)
