"""Single faults: each kind draws a network, plants the fault in it, and says which codes and places are true of it.

The codes are fixed by what the fault does to the signal. Two are given where both are true of it, which a comment says.
Left out, since they do no harm at the start: a weight or a gain in front of a normalisation times any factor (the next
norm undoes it forward, and divides the gradient of that weight alone); a frozen part (it is meant); a norm or a skip
taken from one block of an ordinary network (what follows sets the scale anew); a residual branch whose last gain is 0.
"""

import math
import random
import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from planted_models import LAST, MAPS, UNBOUNDED, Net, draw, widen
from torch import Tensor, nn

from leadline._core.randomness import seeded


@dataclass(frozen=True, kw_only=True)
class Planted:
    """A network with one fault.

    Attributes:
        net: The network.
        codes: What is true of the fault.
        places: Modules that hold it; ``""`` is the batch.
        what: The fault in words.
    """

    net: Net
    codes: frozenset[str]
    places: tuple[str, ...]
    what: str


Plant = Callable[[str, random.Random], Planted]
# (Kind of fault, family) -> what plants it.
KINDS: dict[tuple[str, str], Plant] = {}


def kind(name: str, *families: str) -> Callable[[Plant], Plant]:
    def register(plant: Plant) -> Plant:
        KINDS.update({(name, family): plant for family in families or ("mlp", "resnet", "gpt", "vit")})
        return plant

    return register


def planted(net: Net, places: str | Sequence[str], what: str, *codes: str) -> Planted:
    places = (places,) if isinstance(places, str) else tuple(places)
    return Planted(net=net, codes=frozenset(codes), places=places, what=what)


def _transformer(family: str, rng: random.Random, **fixed: Any) -> Net:
    return widen(draw(family, rng, **fixed), rng)


def _network(family: str, rng: random.Random, **fixed: Any) -> Net:
    return _transformer(family, rng) if family in ("gpt", "vit") else draw(family, rng, **fixed)


# ---- weights ------------------------------------------------------------------------------------------------------


@kind("weight times 30 to 10000")
@torch.no_grad()
def large(family: str, rng: random.Random) -> Planted:
    """A map that no norm follows, or the gain of the last norm of a branch."""
    net = _network(family, rng, activation=UNBOUNDED)
    if family in ("mlp", "resnet") and net.options["norm"] != "none":
        net = draw(
            family, rng, norm=net.options["norm"], activation=UNBOUNDED, **({"skip": 1} if family == "mlp" else {})
        )
        patterns = ("blocks.*.norm",) if family == "mlp" else ("stage?.*.norm2", "norm")
    else:
        patterns = (*MAPS[family], *(("head",) if family in ("mlp", "resnet") else ("classifier",)))
    path, factor = rng.choice(net.paths(*patterns)), 10 ** rng.uniform(1.4772, 4.0)
    net.module(path).weight.mul_(factor)
    return planted(net, path, f"weight of {path} times {factor:.3g}", "activation-growth")


@kind("weight zero")
@torch.no_grad()
def zero(family: str, rng: random.Random) -> Planted:
    """Behind a zero map everything is constant; behind a ReLU that is zero for every sample too, so both are true."""
    net = _network(family, rng)
    path = rng.choice(net.paths(*MAPS[family]))
    net.module(path).weight.zero_()
    return planted(net, path, f"weight of {path} is 0", "constant-output", "dead-units")


@kind("weight of rank one")
@torch.no_grad()
def rank_one(family: str, rng: random.Random) -> Planted:
    """The nearest weight of rank one, with the norm of the whole and up to 10 % of the rest."""
    net = _network(family, rng)
    path, rest = rng.choice(net.paths(*MAPS[family])), rng.choice((0.0, rng.uniform(0.0, 0.1)))
    weight = net.module(path).weight
    u, s, v = torch.linalg.svd(weight.flatten(1), full_matrices=False)
    main, left = s.norm() * torch.outer(u[:, 0], v[0]), (u[:, 1:] * s[1:]) @ v[1:]
    weight.copy_((main + rest * s.norm() / left.norm() * left).view_as(weight))
    return planted(net, path, f"weight of {path} of rank one, rest {rest:.3g}", "rank-collapse")


@kind("nan or infinity")
@torch.no_grad()
def nonfinite(family: str, rng: random.Random) -> Planted:
    net = _network(family, rng)
    name, parameter = rng.choice(list(net.model.named_parameters()))
    value = rng.choice((torch.nan, torch.inf, -torch.inf))
    parameter.view(-1)[rng.randrange(parameter.numel())] = value
    return planted(net, name.rpartition(".")[0], f"{value} in {name}", "nonfinite")


@kind("biases far below zero")
@torch.no_grad()
def dead(family: str, rng: random.Random) -> Planted:
    """Of 80 to 100 % of the units, by 6 to 60 standard deviations of what the units get, and 5 for a GELU's tail."""
    net = _network(family, rng, activation="relu")
    normed = net.options.get("norm") != "none"
    patterns = {
        "mlp": "blocks.*.norm" if normed else "blocks.*.linear",
        "resnet": f"stage?.*.{'norm' if normed else 'conv'}1",
    }
    path = rng.choice(net.paths(patterns.get(family, "*.mlp.c_fc" if family == "gpt" else "*.mlp.fc1")))
    module, share = net.module(path), rng.uniform(0.8, 1.0)
    if getattr(module, "bias", None) is None:  # an RMS norm
        path = path.replace("norm", "linear")
        net.replace(path.replace("linear", "norm"), None)
        module = net.module(path)
    low = -5.0 - rng.uniform(6.0, 60.0) * net.output(path).std().item()
    module.bias[: math.ceil(share * len(module.bias))] = low
    return planted(net, path, f"{share:.0%} of the biases of {path} are {low:.3g}", "dead-units")


# ---- the batch ----------------------------------------------------------------------------------------------------


@kind("repeated samples")
def repeated(family: str, rng: random.Random) -> Planted:
    net = _network(family, rng)
    n = len(net.inputs)
    if family != "gpt" and rng.random() < 0.2:
        noise = 10 ** rng.uniform(-8.0, -5.0)
        drawn = torch.Generator().manual_seed(rng.randrange(2**31))
        first = net.inputs[:1]
        net.inputs = first + noise * first.std() * torch.randn(net.inputs.shape, generator=drawn)
        return planted(net, "", f"one sample with noise of {noise:.3g}", "degenerate-batch")
    kept = rng.randint(1, round(0.8 * n))
    net.inputs = net.inputs[:kept].repeat(n // kept + 1, *[1] * (net.inputs.ndim - 1))[:n]
    return planted(net, "", f"{n - kept} of {n} samples repeat others", "degenerate-batch")


@kind("batch of 2 to 4 with batch norm", "mlp", "resnet")
def few(family: str, rng: random.Random) -> Planted:
    """The last stage of the residual network has one position, so that it takes statistics of the samples alone."""
    shape = {} if family == "mlp" else {"input_shape": rng.choice(([[3, 4, 4]], [[1, 4, 4]]))}
    net = draw(family, rng, norm="batch", batch=(2, 2, 3, 4), **shape)
    norms = net.paths("blocks.*.norm", "stage3.*.norm?")
    return planted(net, norms, f"batch of {len(net.inputs)}", "small-batch-norm")


# ---- the wiring ---------------------------------------------------------------------------------------------------


@kind("unused part")
def unused(family: str, rng: random.Random) -> Planted:
    """A spare module, or a block that hands on what it gets."""
    net = _network(family, rng)
    alike = [path for path in net.blocks if not _changes_shape(net.module(path))]
    if rng.random() < 0.5 and alike:
        path = rng.choice(alike)
        net.module(path).forward = lambda x, *_, **__: x
        return planted(net, path, f"{path} hands on what it gets", "unused-layer")
    parent, name = rng.choice(["", *net.blocks]), rng.choice(("spare", "gate", "proj2"))
    with seeded(rng.randrange(2**31)):
        net.module(parent).add_module(name, nn.Linear(4, 4))
    path = f"{parent}.{name}".lstrip(".")
    return planted(net, path, f"{path} never runs", "unused-layer")


def _changes_shape(block: nn.Module) -> bool:
    if getattr(block, "shortcut", None) is not None:
        return True
    linear = getattr(block, "linear", None)
    return linear is not None and linear.in_features != linear.out_features


@kind("detached part")
def detached(family: str, rng: random.Random) -> Planted:
    """A block, or the last map of a branch, without gradient: what lies in front of it gets none, so both are true."""
    net = _network(family, rng)
    paths = net.paths(*LAST.get(family, ("stage?.*.conv2",)))
    path = rng.choice([*net.blocks, *paths])
    module = net.module(path)
    forward = module.forward
    module.forward = lambda *args, **kwargs: forward(*args, **kwargs).detach()
    return planted(net, path, f"output of {path} detached", "unused-layer", "gradient-vanishing")


@kind("skip dropped, branches start at zero")
@torch.no_grad()
def dropped(family: str, rng: random.Random) -> Planted:
    """Behind it all is zero: constant, and behind a ReLU dead, so both are true."""
    net = draw(family, rng, **_SKIPPED.get(family, {}))
    for path in net.paths(*LAST.get(family, ("blocks.*.norm", "stage?.*.norm2"))):
        if path == "blocks.0.norm":  # it has no skip
            continue
        for parameter in net.module(path).parameters():
            parameter.zero_()
    path = rng.choice(net.blocks[1:] if family == "mlp" else net.blocks)
    _without_skip(net, path, rng.choice(("attention", "mlp")))
    return planted(net, path, f"{path} without its skip", "constant-output", "dead-units")


_SKIPPED = {
    # A branch that ends in a ReLU could not start at zero: nothing would ever change it.
    "mlp": {"norm": ("batch", "layer"), "skip": 1, "activation": ("gelu", "silu", "elu", "tanh")},
    "resnet": {"norm": ("batch", "layer", "group")},
}


@kind("all skips dropped", "mlp", "resnet")
def plain(family: str, rng: random.Random) -> Planted:
    """A chain of batch norm and ReLU: the gradient grows by 0.083 decades a map, over 50 and more."""
    depth = range(50, 80) if family == "mlp" else (56, 80, 110)
    net = draw(family, rng, norm="batch", activation="relu", depth=depth, batch=(32, 64))
    net.options["skip"] = "dropped"
    for path in net.blocks:
        _without_skip(net, path)
    return planted(net, net.blocks, "all skips dropped", "gradient-explosion")


@kind("attention without skips", "gpt", "vit")
def averaged(family: str, rng: random.Random) -> Planted:
    """Attention at its start averages positions: without its skip they become alike."""
    net = draw(family, rng, depth=range(8, 13))
    for path in net.blocks:
        _without_skip(net, path)
    return planted(net, net.blocks, "all skips of attention dropped", "token-collapse")


def _without_skip(net: Net, path: str, around: str = "attention") -> None:
    """Take away the skip of a block; of a transformer the one around its attention or its feed-forward part."""
    block = net.module(path)
    if net.family == "mlp":
        block.skip = 0.0
    else:
        forwards = {"resnet": _resnet_block, "gpt": _gpt_block, "vit": _vit_block}
        block.forward = types.MethodType(forwards[net.family], block)
        block.without = around


def _resnet_block(self: Any, x: Tensor) -> Tensor:
    y = self.conv1(x)
    y = self.conv2(self.activation1(y if self.norm1 is None else self.norm1(y)))
    return self.activation2(y if self.norm2 is None else self.norm2(y))


def _gpt_block(self: Any, x: Tensor, past: Any = None, mask: Any = None, *_: Any, **options: Any) -> Tensor:
    branch, _ = self.attn(self.ln_1(x), past_key_values=past, attention_mask=mask, **_known(options))
    return _stream(self, x, branch, lambda y: self.mlp(self.ln_2(y)))


def _known(options: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in options.items() if not key.startswith("encoder")}


def _vit_block(self: Any, x: Tensor, *args: Any, **options: Any) -> Tensor:
    branch, _ = self.attention(self.layernorm_before(x), *args, **options)
    return _stream(self, x, branch, lambda y: self.mlp(self.layernorm_after(y)))


def _stream(block: Any, x: Tensor, branch: Tensor, feed_forward: Callable[[Tensor], Tensor]) -> Tensor:
    y = branch if block.without == "attention" else x + branch
    return y + feed_forward(y) if block.without == "attention" else feed_forward(y)


# ---- the signal ---------------------------------------------------------------------------------------------------


@kind("run of sigmoids", "mlp")
def sigmoids(family: str, rng: random.Random) -> Planted:
    """Eight blocks or more behind one another: each takes 0.45 decades or more, of gradient and of what differs."""
    net = draw(family, rng, norm="none", skip=0, activation="relu", depth=range(8, 25))
    long = rng.randint(8, len(net.blocks))
    start = rng.randint(0, len(net.blocks) - long)
    run = net.blocks[start : start + long]
    for path in run:
        net.replace(f"{path}.activation", nn.Sigmoid())
    return planted(net, run, f"sigmoids in {run[0]} to {run[-1]}", "gradient-vanishing", "rank-collapse")


@kind("wrong gain throughout", "mlp", "resnet")
def gain(family: str, rng: random.Random) -> Planted:
    """Signal and gradient have the same factor a layer, so both codes are true; a ResNet without norm doubles."""
    if family == "resnet":
        net = draw(family, rng, norm="none", depth=(56, 80, 110), gain=1.0, activation=("relu", "leaky_relu"))
        return planted(net, net.blocks, "no norm", "activation-growth", "gradient-explosion")
    depth, over, sign = rng.randint(10, 40), rng.uniform(4.0, 10.0), rng.choice((-1, 1))
    value = round(10 ** (sign * over / depth), 4)
    net = draw(family, rng, norm="none", skip=0, activation=("relu", "leaky_relu"), depth=depth, gain=value)
    codes = ("activation-growth", "gradient-explosion") if sign > 0 else ("activation-decay", "gradient-vanishing")
    return planted(net, net.blocks, f"gain {value}", *codes)


@kind("branches that grow with depth")
@torch.no_grad()
def growing(family: str, rng: random.Random) -> Planted:
    """From some block on, by a constant factor a block, 1.5 to 5 decades in all."""
    fixed = {"mlp": {"skip": 1, "norm": ("batch", "layer", "rms"), "depth": range(6, 40), "activation": UNBOUNDED},
             "resnet": {"norm": ("batch", "layer", "group"), "depth": (20, 32, 44, 56)}}  # fmt: skip
    net = draw(family, rng, **fixed[family]) if family in fixed else _transformer(family, rng, depth=range(6, 13))
    blocks = net.blocks
    start, over = rng.randint(0, len(blocks) // 2), rng.uniform(1.5, 5.0)
    last = rng.choice([LAST[family], LAST[family][:1], LAST[family][1:]]) if family in LAST else ("*.norm", "*.norm2")
    for i, block in enumerate(blocks[start:]):
        for path in net.paths(*(f"{block}.{each.removeprefix('*.')}" for each in last)):
            net.module(path).weight.mul_(10 ** (over * i / (len(blocks) - start - 1)))
    return planted(
        net, blocks[start:], f"branches grow by {over:.3g} decades from {blocks[start]}", "activation-growth"
    )


@kind("tanh far out", "mlp", "resnet")
@torch.no_grad()
def far_out(family: str, rng: random.Random) -> Planted:
    """A layer's tanh gets a standard deviation of 4 to 100; beyond 30 times its like its map is too large as well."""
    norm = {"mlp": ("none", "batch", "layer", "rms"), "resnet": ("batch", "layer", "group")}[family]
    net = draw(family, rng, activation="tanh", norm=norm)
    name = {"mlp": "blocks.*.linear" if net.options["norm"] == "none" else "blocks.*.norm"}.get(
        family, "stage?.*.norm1"
    )
    path, wanted = rng.choice(net.paths(name)), 10 ** rng.uniform(0.6, 2.0)
    factor = wanted / net.output(path).std().item()
    net.module(path).weight.mul_(factor)
    codes = ("saturation", "activation-growth") if factor > 30 else ("saturation",)
    return planted(net, path, f"{path} times {factor:.3g}, in front of a tanh", *codes)


@kind("norm removed where it hid the gain", "mlp", "resnet")
@torch.no_grad()
def bare(family: str, rng: random.Random) -> Planted:
    """Weights in front of norms 10 to 300 times as large as usual, which every norm but one undoes."""
    if family == "mlp":
        times = round(10 ** rng.uniform(1.0, 2.0), 2)
        net = draw(family, rng, norm=("batch", "layer", "rms"), skip=0, activation="tanh", gain=times)
        path = rng.choice(net.paths("blocks.*.norm"))
        place, code = path.replace("norm", "linear"), "saturation"
    else:
        times = round(10 ** rng.uniform(1.5, 2.5), 2)
        net = draw(family, rng, norm=("batch", "layer", "group"), activation="relu", gain=times)
        path = rng.choice(net.paths("stage?.*.norm2"))
        place, code = path.replace("norm", "conv"), "activation-growth"
    net.module("head").weight.div_(times)
    net.replace(path, None)
    return planted(net, place, f"{path} removed", code)


@kind("constant output")
@torch.no_grad()
def constant(family: str, rng: random.Random) -> Planted:
    """A norm on the only path starts at zero: constant, and behind a ReLU dead, so both are true."""
    fixed = {"mlp": {"norm": ("batch", "layer", "rms"), "skip": 0}, "resnet": {"norm": ("batch", "layer", "group")}}
    net = _network(family, rng, **fixed.get(family, {}))
    path = rng.choice(net.paths("blocks.*.norm", "norm", "transformer.ln_f", "vit.layernorm"))
    net.module(path).weight.zero_()
    return planted(net, path, f"gain of {path} is 0", "constant-output", "dead-units")


@kind("positions made alike", "gpt", "vit")
def alike(family: str, rng: random.Random) -> Planted:
    """The output of a block becomes its mean over positions and up to 1 % of what differs."""
    net = _transformer(family, rng)
    path, rest = rng.choice(net.blocks), rng.choice((0.0, 10 ** rng.uniform(-6.0, -2.0)))
    module = net.module(path)
    forward = module.forward

    def averaged(*args: Any, **kwargs: Any) -> Tensor:
        x = forward(*args, **kwargs)
        mean = x.mean(1, keepdim=True)
        return mean + rest * (x - mean)

    module.forward = averaged
    return planted(net, path, f"output of {path} averaged over positions, rest {rest:.3g}", "token-collapse")


@kind("beyond the range of the dtype")
@torch.no_grad()
def overflow(family: str, rng: random.Random) -> Planted:
    """A map whose output comes within a factor of 8 of the end, or past it: its weight is too large as well."""
    norms = {"mlp": {"norm": "none", "activation": ("relu", "leaky_relu")}}
    net = _network(family, rng, **norms.get(family, {}))
    dtype = rng.choice((torch.float16, torch.bfloat16))
    path, share = rng.choice(net.paths(*MAPS[family])), rng.choice((rng.uniform(1 / 8, 1 / 2), rng.uniform(2.0, 8.0)))
    weight, largest = net.module(path).weight, torch.finfo(dtype).max
    wanted = share * largest / net.output(path).abs().max().item()
    factor = min(wanted, largest / 2 / weight.abs().max().item())
    weight.copy_(factor * weight.double())
    net.model.to(dtype)
    net.inputs = net.inputs.to(dtype) if net.inputs.is_floating_point() else net.inputs
    share *= factor / wanted
    codes = ("nonfinite" if share > 1 else "overflow-risk", "activation-growth")
    return planted(net, path, f"{path} reaches {share:.3g} times the end of {dtype}", *codes)
