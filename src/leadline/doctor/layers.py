"""Which layer of a profile a parameter belongs to, and which parameters are alike."""

from collections import defaultdict
from collections.abc import Iterable, Iterator

from leadline._core.profile import Profile


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


def alike(parameters: Iterable[str]) -> list[list[str]]:
    """Parameters grouped by their name with every number between dots left open.

    >>> alike(["h.0.fc.weight", "h.1.fc.weight", "head.weight"])
    [['h.0.fc.weight', 'h.1.fc.weight'], ['head.weight']]
    """
    groups = defaultdict(list)
    for name in parameters:
        groups[pattern(name)].append(name)
    return list(groups.values())


def pattern(name: str) -> str:
    """``name`` with every number between dots left open, and without the number of the call.

    >>> pattern("h.0.fc#2")
    'h.*.fc'
    """
    return ".".join("*" if part.isdigit() else part for part in name.partition("#")[0].split("."))


def depth_of(profile: Profile, layer: str) -> int:
    """Place of ``layer`` in the order of execution; behind all others for what is no layer of the profile."""
    return profile.named[layer].depth if layer in profile.named else len(profile.layers)
