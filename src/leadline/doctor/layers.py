"""Which layer of a profile a parameter belongs to, and which parameters are alike."""

from collections import defaultdict
from collections.abc import Iterable

from leadline._core.profile import Profile


def layer_of(profile: Profile, module: str) -> str:
    """The layer of the profile that holds the module or parameter ``module``; ``module`` itself where none does."""
    holding = [layer.name for layer in profile.layers if module == layer.name or module.startswith(f"{layer.name}.")]
    return max(holding, key=len, default=module)


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
    return next((each.depth for each in profile.layers if each.name == layer), len(profile.layers))
