"""Normalisations by name, for vectors and for maps."""

from typing import Literal

from torch import nn

from leadline._core.errors import UsageError
from leadline._core.names import check_choice
from leadline.nn.normalisation import FractionalBatchNorm1d, FractionalBatchNorm2d, alpha_for_depth

FeatureNormName = Literal["none", "batch", "fractional", "layer", "rms"]
MapNormName = Literal["none", "batch", "fractional", "layer", "group"]

# Those that subtract a feature's mean: a bias in front of them would have the gradient zero.
TAKES_THE_BIAS = ("batch", "fractional")
_CHANNELS_PER_GROUP = 8


def feature_norm(kind: str, width: int, *, alpha: float | None = None) -> nn.Module | None:
    """A normalisation of ``width`` features, affine, with torch's default epsilon.

    Args:
        kind: ``"batch"`` (over the samples), ``"fractional"`` (the same with ``FractionalBatchNorm1d``), ``"layer"`` or
            ``"rms"`` (over the features), or ``"none"``.
        width: Number of features.
        alpha: Exponent of ``"fractional"``; without it that class's default.

    Returns:
        The module, or ``None`` for ``"none"``.

    Raises:
        UsageError: If ``kind`` is none of these, or ``alpha`` is outside [0, 1].

    Example:
        >>> feature_norm("layer", 16).normalized_shape
        (16,)
    """
    norms = {
        "none": None,
        "batch": nn.BatchNorm1d,
        "fractional": lambda width: FractionalBatchNorm1d(width, alpha=alpha),
        "layer": nn.LayerNorm,
        "rms": nn.RMSNorm,
    }
    norm = norms[check_choice("norm", kind, norms)]
    return None if norm is None else norm(width)


def map_norm(kind: str, channels: int, *, alpha: float | None = None) -> nn.Module | None:
    """A normalisation of maps with ``channels`` channels, affine, with torch's default epsilon.

    Args:
        kind: ``"batch"`` (a channel over samples and positions), ``"fractional"`` (the same with
            ``FractionalBatchNorm2d``), ``"layer"`` (a sample over channels and positions), ``"group"`` (likewise, in
            groups of eight channels; in one group where eight does not divide ``channels``), or ``"none"``.
        channels: Number of channels.
        alpha: Exponent of ``"fractional"``; without it that class's default.

    Returns:
        The module, or ``None`` for ``"none"``.

    Raises:
        UsageError: If ``kind`` is none of these, or ``alpha`` is outside [0, 1].

    Example:
        >>> map_norm("group", 16).num_groups
        2
    """
    check_choice("norm", kind, ("none", "batch", "fractional", "layer", "group"))
    if kind == "none":
        return None
    if kind == "batch":
        return nn.BatchNorm2d(channels)
    if kind == "fractional":
        return FractionalBatchNorm2d(channels, alpha=alpha)
    divides = kind == "group" and channels % _CHANNELS_PER_GROUP == 0
    return nn.GroupNorm(channels // _CHANNELS_PER_GROUP if divides else 1, channels)


def exponent(kind: str, *, alpha: float | None, depth: int) -> float | None:
    """``alpha`` of a design with ``depth`` normalised layers, chosen from the depth where it is not given.

    Raises:
        UsageError: If ``alpha`` is given for another normalisation than the fractional one.

    Example:
        >>> exponent("fractional", alpha=None, depth=40), exponent("batch", alpha=None, depth=40)
        (0.5, None)
    """
    if kind == "fractional":
        return alpha_for_depth(depth) if alpha is None else alpha
    if alpha is not None:
        raise UsageError(f"alpha is the exponent of norm='fractional'; got alpha={alpha} with norm={kind!r}.")
    return None
