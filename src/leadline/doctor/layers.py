"""Which layer of a profile a parameter belongs to, and which parameters are alike."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from leadline._core.profile import LINEAR_KINDS, LayerProfile, Profile


def layer_of(profile: Profile, module: str) -> str:
    """The layer of the profile that holds the module or parameter ``module``; ``module`` itself where none does."""
    return next((path for path in (module, *parents(module)) if path in profile.named), module)


def parents(path: str) -> Iterator[str]:
    """The modules around a module or parameter, the nearest first.

    >>> list(parents("h.0.fc.weight"))
    ['h.0.fc', 'h.0', 'h']
    """
    while path := path.rpartition(".")[0]:
        yield path


def weights_by_layer(profile: Profile) -> dict[str, list[str]]:
    """Layer -> names of the weights of linear maps inside it, in the model's order."""
    held = {name: [] for name in profile.named}
    for weight in profile.weight_shapes:
        if weight in profile.weight_norms:
            for path in parents(weight):
                if path in held:
                    held[path].append(weight)
    return held


def module_of(parameter: str) -> str:
    """The module of a parameter: ``"h.0.fc"`` of ``"h.0.fc.weight"``; the parameter itself at the top."""
    return parameter.rpartition(".")[0] or parameter


def alike(profile: Profile, parameters: Iterable[str]) -> list[list[str]]:
    """Parameters grouped with their like: those at the same place of blocks whose names differ in numbers only.

    Outside of blocks those whose own names are the same with every number between dots left open.
    """
    groups = defaultdict(list)
    for name in parameters:
        block = block_of(profile, name)
        groups[_NUMBER.sub("*", block), name.removeprefix(block) if block else pattern(name)].append(name)
    return list(groups.values())


_NUMBER = re.compile(r"\d+")


def block_of(profile: Profile, parameter: str) -> str:
    """The block of the profile that holds ``parameter``; empty where none does."""
    layer = layer_of(profile, parameter)
    return layer if layer in profile.named and profile.named[layer].role == "block" else ""


def pattern(name: str) -> str:
    """``name`` with every number between dots left open, and without the number of the call.

    >>> pattern("h.0.fc#2")
    'h.*.fc'
    """
    return ".".join("*" if part.isdigit() else part for part in name.partition("#")[0].split("."))


def depth_of(profile: Profile, layer: str) -> int:
    """Place of ``layer`` in the order of execution; behind all others for what is no layer of the profile."""
    return profile.named[layer].depth if layer in profile.named else len(profile.layers)


def starts_at_zero(profile: Profile, layer: LayerProfile) -> bool:
    """Whether ``layer`` is the last, with weights of 0: a step changes them, and from the next on all others."""
    if layer is not profile.layers[-1]:
        return False
    held = [profile.weight_norms[name] for name in weights_by_layer(profile)[layer.name]]
    return not (any(held) if held else layer.rms)


def repeats(chain: Sequence[LayerProfile]) -> bool:
    """Whether most of the chain is further calls of modules in it: one step of training changes all of them."""
    return sum("#" in layer.name for layer in chain) * 2 > len(chain)


def multiplies(layer: LayerProfile) -> bool:
    """Whether ``layer`` is a linear map, or a block, which holds some: neither an embedding nor a norm by itself."""
    return layer.kind in LINEAR_KINDS or layer.role == "block"


def is_norm(profile: Profile, layer: LayerProfile) -> bool:
    """Whether ``layer`` is a normalisation that took the statistics of this batch, and so sets the scale anew."""
    return "Norm" in layer.kind and not (profile.mode == "eval" and "BatchNorm" in layer.kind)
