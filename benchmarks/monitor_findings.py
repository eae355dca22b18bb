"""What a monitor finds in short real trainings: no error in healthy ones, the right thing in planted ones.

    python benchmarks/monitor_findings.py [--steps 120]

Healthy runs are perceptrons and residual networks on digits and a small transformer on text, each at several rates of
learning, with the loss lower at the end than at the start. Planted ones have a rate that is too large, rectifiers
pushed below zero, or many layers without a normalisation. A line each: the first finding of each code and its step,
the step at which the loss left the finite numbers or grew tenfold, and whether that is as it should be: for planted
ones, a right finding in that step or before it; runs planted with a rate that trained all the same do not count.
"""

import argparse
import math
from collections.abc import Callable

import timing  # noqa: F401 (one thread)
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F

from leadline.train import Monitor

Batches = Callable[[torch.Generator], tuple[Tensor, Tensor]]
TEXT = (__doc__ or "") * 8


def digits(*, image: bool) -> Batches:
    pixels, labels = load_digits(return_X_y=True)
    x, y = torch.tensor(pixels, dtype=torch.float32), torch.tensor(labels)
    x = (x - x.mean()) / x.std()
    x = x.view(-1, 1, 8, 8) if image else x

    def draw(generator: torch.Generator) -> tuple[Tensor, Tensor]:
        rows = torch.randint(len(x), (64,), generator=generator)
        return x[rows], y[rows]

    return draw


def text() -> Batches:
    codes = torch.tensor([min(ord(c), 127) for c in TEXT])

    def draw(generator: torch.Generator) -> tuple[Tensor, Tensor]:
        starts = torch.randint(len(codes) - 33, (16, 1), generator=generator) + torch.arange(33)
        return codes[starts[:, :-1]], codes[starts[:, 1:]].flatten()

    return draw


def perceptron(depth: int, *, norm: bool = True, activation: type[nn.Module] = nn.ReLU) -> nn.Module:
    parts: list[nn.Module] = []
    for _ in range(depth):
        parts += [nn.Linear(64, 64), *([nn.BatchNorm1d(64)] if norm else []), activation()]
        if not norm and activation is nn.ReLU:
            nn.init.kaiming_normal_(parts[-2].weight, nonlinearity="relu")  # pyright: ignore[reportArgumentType]
    return nn.Sequential(*parts, nn.Linear(64, 10))


class Residual(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.branch = nn.Sequential(
            nn.Conv2d(width, width, 3, 1, 1), nn.BatchNorm2d(width), nn.ReLU(),
            nn.Conv2d(width, width, 3, 1, 1), nn.BatchNorm2d(width),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.branch(x))


def residual(blocks: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, 1, 1), *(Residual(16) for _ in range(blocks)),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10),
    )  # fmt: skip


class Transformer(nn.Module):
    def __init__(self, depth: int):
        super().__init__()
        self.tokens, self.positions = nn.Embedding(128, 64), nn.Embedding(32, 64)
        layer = nn.TransformerEncoderLayer(64, 4, 128, dropout=0.0, batch_first=True, norm_first=True)
        self.body = nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)
        self.head = nn.Linear(64, 128)

    def forward(self, x: Tensor) -> Tensor:
        mask = nn.Transformer.generate_square_subsequent_mask(x.shape[1])
        x = self.tokens(x) + self.positions(torch.arange(x.shape[1]))
        return self.head(self.body(x, mask=mask, is_causal=True)).flatten(0, 1)


def dead(depth: int) -> nn.Module:
    model = perceptron(depth, norm=False)
    nn.init.constant_(model[2].bias, -30.0)  # pyright: ignore[reportArgumentType, reportIndexIssue]
    return model


def train(build: Callable[[], nn.Module], draw: Batches, *, adam: bool, rate: float, steps: int, every: int):
    generator = torch.Generator().manual_seed(1)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = build()
    optimiser = (torch.optim.Adam if adam else torch.optim.SGD)(model.parameters(), lr=rate)
    losses: list[float] = []
    with Monitor(model, every=every, spectrum_every=None) as monitor:
        for _ in range(steps):
            x, y = draw(generator)
            loss = F.cross_entropy(model(x), y)
            optimiser.zero_grad()
            loss.backward()
            monitor.step(loss)
            optimiser.step()
            losses.append(loss.item())
    return monitor.findings, losses


def diverged(losses: list[float]) -> float:
    return next((i for i, v in enumerate(losses) if not math.isfinite(v) or v > 10 * losses[0]), math.inf)


def linear() -> nn.Module:
    return nn.Sequential(*(nn.Linear(64, 64) for _ in range(4)), nn.Linear(64, 10))


def runs():
    plain, image, words = digits(image=False), digits(image=True), text()
    for rate in (0.01, 0.03, 0.1):
        for depth in (3, 10):
            yield f"perceptron {depth} SGD {rate}", lambda d=depth: perceptron(d), plain, False, rate, ()
    for rate in (3e-4, 1e-3, 3e-3):
        yield f"perceptron 5 plain Adam {rate}", lambda: perceptron(5, norm=False), plain, True, rate, ()
        yield (
            f"perceptron 4 tanh Adam {rate}",
            lambda: perceptron(4, norm=False, activation=nn.Tanh),
            plain,
            True,
            rate,
            (),
        )
    for rate in (0.01, 0.03, 0.1):
        yield f"residual 3 SGD {rate}", lambda: residual(3), image, False, rate, ()
    for rate in (3e-4, 1e-3, 3e-3):
        yield f"residual 2 Adam {rate}", lambda: residual(2), image, True, rate, ()
    for rate in (3e-4, 1e-3, 3e-3):
        for depth in (2, 4):
            yield f"transformer {depth} Adam {rate}", lambda d=depth: Transformer(d), words, True, rate, ()
    growth = ("overflow-risk", "nonfinite", "gradient-explosion")
    for rate in (0.3, 1.0, 3.0):
        yield f"too fast: perceptron 5 plain SGD {rate}", lambda: perceptron(5, norm=False), plain, False, rate, growth
    for rate in (1.0, 3.0, 10.0):
        yield f"too fast: linear 5 SGD {rate}", linear, plain, False, rate, growth
    for rate in (0.03, 0.05, 0.1):
        yield (
            f"too fast: perceptron 20 plain SGD {rate}",
            lambda: perceptron(20, norm=False),
            plain,
            False,
            rate,
            growth,
        )
    for depth in (3, 6):
        yield f"dead: perceptron {depth}", lambda d=depth: dead(d), plain, False, 0.01, ("dead-units",)
    collapse = ("rank-collapse", "gradient-vanishing")
    for depth in (40, 80):
        yield f"no norm: perceptron {depth} tanh", lambda d=depth: perceptron(d, norm=False, activation=nn.Tanh), (
            plain
        ), False, 0.01, collapse  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=120)
    steps = parser.parse_args().steps
    counts = {"healthy": [0, 0, 0], "planted": [0, 0, 0]}
    for name, build, draw, adam, rate, wanted in runs():
        found, losses = train(build, draw, adam=adam, rate=rate, steps=steps, every=1 if wanted else 2)
        end = diverged(losses)
        if name.startswith("too fast") and end == math.inf:
            print(f"     {name:<42} loss {losses[0]:.2f} to {losses[-1]:.3g}: not too fast", flush=True)
            continue
        if wanted:
            right = any(f.code in wanted and f.evidence["step"] <= end for f in found)
        else:
            right = not any(f.severity == "error" for f in found)
            if not losses[-1] < losses[0]:
                name += " (NOT HEALTHY: the loss did not fall)"
        first: dict[str, object] = {}
        for f in found:
            first.setdefault(f.code, f.evidence["step"])
        own = counts["planted" if wanted else "healthy"]
        own[0], own[1], own[2] = own[0] + 1, own[1] + right, own[2] + bool(found)
        told = ", ".join(f"{code} at {step}" for code, step in first.items()) or "nothing"
        print(
            f"{'ok  ' if right else 'FAIL'} {name:<42} loss {losses[0]:.2f} to {losses[-1]:.3g}, off at {end}: {told}",
            flush=True,
        )
    for kind, (count, right, any_) in counts.items():
        print(f"{kind}: {right} of {count} as they should be, {any_} with any finding")


if __name__ == "__main__":
    main()
