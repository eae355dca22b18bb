"""Which options of a built-in design decide how deep it goes, and what else they might be."""

from collections.abc import Mapping, Sequence
from typing import Any

from leadline._core.errors import UsageError
from leadline.targets.built_in import DESIGNS
from leadline.targets.grammar import parse
from leadline.targets.options import read

# What is tried in place of an activation: the usual ones, of each kind.
ACTIVATIONS = ("relu", "leaky_relu", "gelu", "silu", "elu", "selu", "tanh", "sin")
_CHOICES: Mapping[str, Sequence[Any]] = {
    "norm": ("none", "batch", "layer", "rms", "fractional", "group"),
    "activation": ACTIVATIONS,
    "init": ("default", "he", "xavier", "orthogonal", "gaussian"),
    "gain": (),
    "skip": (0.0, 1.0),
}


def variants(target: str) -> tuple[Mapping[str, Any], Mapping[str, Sequence[Any]]]:
    """The options of a design, and other values of those that decide how deep it goes.

    Args:
        target: A built-in design with its options.

    Returns:
        Option -> its value, of all; and option -> values that may be tried, empty where any number may.

    Raises:
        UsageError: If the target is no built-in design, or has none of these options.

    Example:
        >>> now, choices = variants("mlp:depth=30,activation=tanh")
        >>> now["activation"], choices["skip"]
        ('tanh', (0.0, 1.0))
    """
    spec = parse(target)
    if spec.kind != "design":
        raise UsageError(f"{target} is no built-in design, and of its options nothing is known.")
    options = {option.name: option for option in DESIGNS[spec.place].options}
    now = read(options.values(), spec.options, whose=spec.place)
    choices = {
        name: tuple(value for value in values if not options[name].choices or value in options[name].choices)
        for name, values in _CHOICES.items()
        if name in options
    }
    if not choices:
        raise UsageError(f"{spec.place} has no option that could be changed: none of {', '.join(_CHOICES)}.")
    return now, choices
