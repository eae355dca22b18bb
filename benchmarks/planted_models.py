"""Networks to plant one fault in: the built-in designs at random depth, width, activation, norm, skip and gain."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, nn

from leadline.targets import load

# Family -> patterns of its blocks, and of the linear maps in them whose output a norm does not scale anew.
BLOCKS = {"mlp": "blocks.*", "resnet": "stage?.*", "gpt": "transformer.h.*", "vit": "vit.layers.*"}
MAPS = {
    "mlp": ("blocks.*.linear",),
    "resnet": ("stage?.*.conv1", "stage?.*.conv2"),
    "gpt": tuple(f"transformer.h.*.{name}" for name in ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")),
    "vit": tuple(f"vit.layers.*.{name}" for name in ("attention.v_proj", "attention.o_proj", "mlp.fc1", "mlp.fc2")),
}
# The last map of every branch of a transformer.
LAST = {"gpt": ("*.attn.c_proj", "*.mlp.c_proj"), "vit": ("*.attention.o_proj", "*.mlp.fc2")}

# Hidden blocks that a perceptron of each activation carries without norm and skip, at the gain that suits it.
_DEPTHS = {"relu": 24, "leaky_relu": 24, "tanh": 16, "gelu": 10, "silu": 10, "elu": 10}
# Those whose outputs have no bound.
UNBOUNDED = ("relu", "leaky_relu", "gelu", "silu", "elu")


@dataclass(kw_only=True)
class Net:
    """A network with its batch."""

    family: str
    options: dict[str, Any]
    model: nn.Module
    inputs: Tensor
    targets: Tensor | None

    def paths(self, *patterns: str) -> list[str]:
        """Modules whose dotted name fits a pattern, part by part, in the model's order."""
        return [path for path, _ in self.model.named_modules() if any(_fits(path, each) for each in patterns)]

    @property
    def blocks(self) -> list[str]:
        return self.paths(BLOCKS[self.family])

    def module(self, path: str) -> Any:
        return self.model.get_submodule(path)

    def replace(self, path: str, module: nn.Module | None) -> None:
        parent, _, name = path.rpartition(".")
        setattr(self.module(parent), name, module)

    def output(self, path: str) -> Tensor:
        """What the module ``path`` gives for the batch."""
        kept: list[Tensor] = []
        handle = self.module(path).register_forward_hook(lambda _, __, output: kept.append(output.detach()))
        with torch.no_grad():
            self.model(self.inputs)
        handle.remove()
        return kept[-1]

    def __str__(self) -> str:
        return f"{self.family} " + " ".join(f"{key}={value}" for key, value in self.options.items())


def _fits(path: str, wanted: str) -> bool:
    parts, patterns = path.split("."), wanted.split(".")
    if patterns[0] == "*":
        parts, patterns = parts[-len(patterns) + 1 :], patterns[1:]
    return len(parts) == len(patterns) and all(map(fnmatchcase, parts, patterns))


def draw(family: str, rng: random.Random, **fixed: Any) -> Net:
    """A network of ``family`` that trains; ``fixed`` are options, or what they are drawn from."""
    fixed = {
        key: rng.choice(value) if isinstance(value, tuple | list | range) else value for key, value in fixed.items()
    }
    batch = {"batch": rng.choice((16, 32, 64)), **_data(family, rng)}
    batch |= {key: fixed.pop(key) for key in ("batch", "input_shape") if key in fixed}
    if batch.get("input_shape"):
        batch.pop("data", None)
    options = _OPTIONS[family](rng, fixed)
    name = "resnet20" if family == "resnet" else family
    words = ",".join(f"{key}={value}" for key, value in options.items())
    target = load(f"{name}:{words}", seed=rng.randrange(2**31), **batch)
    assert isinstance(target.inputs, Tensor)
    return Net(
        family=family, options={**options, **batch}, model=target.model, inputs=target.inputs, targets=target.targets
    )


def _data(family: str, rng: random.Random) -> dict[str, Any]:
    if family == "gpt":
        return {"input_shape": (rng.choice((8, 16, 32)),), "batch": rng.choice((8, 16))}
    return rng.choice(({"data": "digits"}, {"input_shape": (3, 8, 8)}))


def _mlp(rng: random.Random, fixed: dict[str, Any]) -> dict[str, Any]:
    norm = fixed.get("norm", rng.choice(("none", "batch", "layer", "rms")))
    skip = fixed.get("skip", rng.choice((0, 0, 1)) if norm != "none" else 0)
    activation = fixed.get("activation", rng.choice(tuple(_DEPTHS)))
    deepest = 40 if skip else {"batch": 16, "layer": 24, "rms": 24}.get(norm, _DEPTHS.get(activation, 10))
    gain = rng.uniform(0.9, 1.1) if norm == "none" else 10 ** rng.uniform(-0.3, 0.5)
    return {
        "depth": rng.randint(4, deepest),
        "width": rng.choice((32, 64, 128)),
        "activation": activation,
        "norm": norm,
        "skip": skip,
        "init": "xavier" if activation == "tanh" else "he",
        "gain": round(gain, 3),
        **fixed,
    }


def _resnet(rng: random.Random, fixed: dict[str, Any]) -> dict[str, Any]:
    norm = fixed.get("norm", rng.choice(("batch", "batch", "layer", "group", "none")))
    return {
        "depth": rng.choice((8, 14, 20) if norm == "none" else (8, 14, 20, 26, 32, 44, 56)),
        "width": rng.choice((8, 16)),
        "activation": rng.choice(UNBOUNDED),
        "norm": norm,
        "gain": round(rng.uniform(0.5, 1.0) if norm == "none" else 10 ** rng.uniform(-0.3, 0.5), 3),
        **fixed,
    }


def _transformer(rng: random.Random, fixed: dict[str, Any]) -> dict[str, Any]:
    return {
        "depth": rng.randint(2, 10),
        "width": rng.choice((32, 64)),
        "heads": rng.choice((2, 4)),
        **fixed,
    }


_OPTIONS: dict[str, Callable[[random.Random, dict[str, Any]], dict[str, Any]]] = {
    "mlp": _mlp, "resnet": _resnet, "gpt": _transformer, "vit": _transformer
}  # fmt: skip


@torch.no_grad()
def widen(net: Net, rng: random.Random) -> Net:
    """A transformer whose maps start up to six times as large as the library's 0.02 makes them."""
    gain = 10 ** rng.uniform(0.0, 0.8)
    for path in net.paths(*MAPS[net.family]):
        net.module(path).weight.mul_(gain)
    net.options["gain"] = round(gain, 3)
    return net
