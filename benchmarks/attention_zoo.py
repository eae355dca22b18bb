"""Small transformers, good and bad, labelled by training: networks of a kind that the score was not fitted to.

    python benchmarks/attention_zoo.py OUT.jsonl [--count 60] [--seed 0]
    python benchmarks/trainability.py score OUT.jsonl benchmarks/attention_zoo.py

The task is 8×8 digits, a row of pixels a token; trainer, rates and rule are those of ``Diagnosis.trainable_rule``.
"""

import math
import random

import torch
from labelled_zoo import BATCH, STEPS, Config, batch, digits, label  # noqa: F401 (asked for by who loads this file)
from torch import Tensor, nn

from leadline._core.randomness import seeded

SIDE = 8


class Block(nn.Module):
    """Attention and a perceptron, each with norm in front of it, behind the sum, or none, and with or without skips."""

    def __init__(self, width: int, *, norm: str, skip: float):
        super().__init__()
        self.attention = nn.MultiheadAttention(width, 4, batch_first=True)
        self.perceptron = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.norms = nn.ModuleList(nn.LayerNorm(width) if norm != "none" else nn.Identity() for _ in range(2))
        self.pre, self.skip = norm == "pre", skip

    def forward(self, x: Tensor) -> Tensor:
        branches = (lambda h: self.attention(h, h, h, need_weights=False)[0], self.perceptron)
        for norm, branch in zip(self.norms, branches, strict=True):
            x = self.skip * x + branch(norm(x)) if self.pre else norm(self.skip * x + branch(x))
        return x


class Transformer(nn.Module):
    def __init__(self, config: Config):
        super().__init__()
        width = config["width"]
        self.embedding = nn.Linear(SIDE, width)
        self.position = nn.Parameter(torch.randn(SIDE, width))
        blocks = [Block(width, norm=config["norm"], skip=config["skip"]) for _ in range(config["depth"])]
        self.blocks, self.head = nn.Sequential(*blocks), nn.Linear(width, 10)
        with torch.no_grad():
            for name, weight in self.blocks.named_parameters():
                if weight.ndim > 1 and "norm" not in name:
                    weight.mul_(config["gain"])

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.embedding(images.view(-1, SIDE, SIDE)) + self.position
        return self.head(self.blocks(tokens).mean(1))


def build(config: Config) -> nn.Module:
    """The network that ``config`` describes, at initialisation."""
    with seeded(config["seed"]):
        return Transformer(config)


def drawn(rng: random.Random) -> Config:
    return {
        "depth": round(math.exp(rng.uniform(math.log(2), math.log(24)))),
        "width": rng.choice((32, 64)),
        "norm": rng.choice(("pre", "post", "none")),
        "skip": rng.choice((1.0, 1.0, 0.0)),
        "gain": round(math.exp(rng.uniform(math.log(0.4), math.log(3.0))), 3),
        "seed": rng.randrange(2**31),
        "activation": "gelu",
        "init": "default",
    }


if __name__ == "__main__":
    label(__doc__, drawn, build)
