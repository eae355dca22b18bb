"""Networks with ways around their layers, labelled by training: of kinds that the score was not fitted to.

    python benchmarks/ways_zoo.py OUT.jsonl [--count 60] [--seed 0]
    python benchmarks/trainability.py score OUT.jsonl benchmarks/ways_zoo.py

Skips and sums in the model's own forward, long skips, towers of unequal depth side by side, dense connections, U-shapes
and joined parts of layers, at gains that let the signal die, live or grow. The task is 8×8 digits; trainer, rates and
rule are those of ``Diagnosis.trainable_rule``.
"""

import math
import random

import torch
from labelled_zoo import BATCH, STEPS, Config, batch, digits, label  # noqa: F401 (asked for by who loads this file)
from torch import Tensor, nn

from leadline._core.randomness import seeded

PIXELS, CLASSES = 64, 10
ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh, "gelu": nn.GELU, "sigmoid": nn.Sigmoid, "silu": nn.SiLU}


def maps(count: int, inputs: int, width: int, config: Config) -> list[nn.Module]:
    """That many linear maps, each with its activation behind it."""
    act = ACTIVATIONS[config["activation"]]
    return [m for i in range(count) for m in (nn.Linear(width if i else inputs, width), act())]


class Sums(nn.Module):
    """Layers of which every few are added to a stream, in the forward of the model itself."""

    def __init__(self, config: Config):
        super().__init__()
        width, self.every = config["width"], config["every"]
        depth = max(config["depth"] // self.every, 1) * self.every
        self.stem, self.head = nn.Linear(PIXELS, width), nn.Linear(width, CLASSES)
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.norms = nn.ModuleList(nn.LayerNorm(width) if config["norm"] else nn.Identity() for _ in range(depth))
        self.activation = ACTIVATIONS[config["activation"]]()

    def forward(self, x: Tensor) -> Tensor:
        stream = z = self.stem(x)
        for i, (layer, norm) in enumerate(zip(self.layers, self.norms, strict=True), start=1):
            z = self.activation(layer(norm(z)))
            if i % self.every == 0:
                stream = z = stream + z
        return self.head(z)


class LongSkip(nn.Module):
    """A plain chain whose head reads the stem as well, added or beside it, or does not."""

    def __init__(self, config: Config):
        super().__init__()
        width, self.join = config["width"], config["join"]
        self.stem = nn.Linear(PIXELS, width)
        self.chain = nn.Sequential(*maps(config["depth"], width, width, config))
        self.head = nn.Linear(2 * width if self.join == "cat" else width, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        z = self.chain(x)
        return self.head({"cat": torch.cat([x, z], 1), "add": x + z}.get(self.join, z))


class Towers(nn.Module):
    """Two or three plain chains of their own depths, read together."""

    def __init__(self, config: Config):
        super().__init__()
        width = config["width"]
        self.towers = nn.ModuleList(nn.Sequential(*maps(d + 1, PIXELS, width, config)) for d in config["depths"])
        self.head = nn.Linear(width * len(self.towers), CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.cat([tower(x) for tower in self.towers], 1))


class Dense(nn.Module):
    """Each layer reads all in front of it and adds eight features."""

    def __init__(self, config: Config):
        super().__init__()
        sizes = [PIXELS + 8 * i for i in range(config["depth"] + 1)]
        self.stem, self.head = nn.Linear(PIXELS, PIXELS), nn.Linear(sizes[-1], CLASSES)
        self.layers = nn.ModuleList(nn.Linear(size, 8) for size in sizes[:-1])
        self.norms = nn.ModuleList(nn.LayerNorm(size) if config["norm"] else nn.Identity() for size in sizes[:-1])
        self.activation = ACTIVATIONS[config["activation"]]()

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for layer, norm in zip(self.layers, self.norms, strict=True):
            x = torch.cat([x, self.activation(layer(norm(x)))], 1)
        return self.head(x)


class UShape(nn.Module):
    """A convolution, a trunk of them at half the size, and what both give joined at the size of the first."""

    def __init__(self, config: Config):
        super().__init__()
        channels, self.join, self.sums = 16, config["join"], config["sums"]
        self.stem, self.down = nn.Conv2d(1, channels, 3, padding=1), nn.Conv2d(channels, channels, 3, 2, 1)
        self.trunk = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1) for _ in range(min(config["depth"], 24)))
        self.up = nn.ConvTranspose2d(channels, channels, 2, 2)
        self.out = nn.Conv2d(2 * channels if self.join == "cat" else channels, channels, 3, padding=1)
        self.head, self.activation = nn.Linear(channels * PIXELS, CLASSES), ACTIVATIONS[config["activation"]]()

    def forward(self, x: Tensor) -> Tensor:
        x = self.activation(self.stem(x.view(-1, 1, 8, 8)))
        z = self.activation(self.down(x))
        for layer in self.trunk:
            z = z + self.activation(layer(z)) if self.sums else self.activation(layer(z))
        z = self.up(z)
        z = torch.cat([z, x], 1) if self.join == "cat" else z + x
        return self.head(self.activation(self.out(z)).flatten(1))


class Parts(nn.Module):
    """Layers made of a few maps side by side whose outputs are joined."""

    def __init__(self, config: Config):
        super().__init__()
        width, parts = config["width"], config["parts"]
        self.stem, self.head = nn.Linear(PIXELS, width), nn.Linear(width, CLASSES)
        self.layers = nn.ModuleList(
            nn.ModuleList(nn.Linear(width, width // parts) for _ in range(parts)) for _ in range(config["depth"])
        )
        norm = nn.LayerNorm if config["norm"] else nn.Identity
        self.norms = nn.ModuleList(norm(width) for _ in self.layers)
        self.activation = ACTIVATIONS[config["activation"]]()

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for layer, norm in zip(self.layers, self.norms, strict=True):
            x = norm(self.activation(torch.cat([part(x) for part in layer], -1)))
        return self.head(x)


KINDS: dict[str, type[nn.Module]] = {
    "sums": Sums,
    "long skip": LongSkip,
    "towers": Towers,
    "dense": Dense,
    "u-shape": UShape,
    "parts": Parts,
}


def build(config: Config) -> nn.Module:
    """The network that ``config`` describes: normal weights of its gain, and the head as torch makes it."""
    with seeded(config["seed"]), torch.no_grad():
        model = KINDS[config["kind"]](config)
        for name, module in model.named_modules():
            if isinstance(module, (nn.Linear, nn.Conv2d)) and name != "head":
                module.weight.normal_(std=config["gain"] / math.sqrt(module.weight[0].numel()))
                module.bias.zero_()
        return model


def drawn(rng: random.Random) -> Config:
    """A kind and its options; a network uses those of its kind."""
    return {
        "kind": rng.choice(tuple(KINDS)),
        "depth": rng.choice((2, 4, 8, 16, 32, 48)),
        "width": rng.choice((32, 64, 96)),
        "activation": rng.choice(tuple(ACTIVATIONS)),
        "gain": rng.choice((0.1, 0.3, 0.6, 1.0, 1.4, 2.0, 3.0)),
        "norm": rng.choice((True, False)),
        "every": rng.choice((1, 2, 4)),
        "join": rng.choice(("cat", "add", "none")),
        "sums": rng.choice((True, False)),
        "parts": rng.choice((2, 4)),
        "depths": [rng.choice((1, 2, 4, 8, 16, 32)) for _ in range(rng.choice((2, 3)))],
        "seed": rng.randrange(2**31),
        "init": "normal",
    }


if __name__ == "__main__":
    label(__doc__, drawn, build)
