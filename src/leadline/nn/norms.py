"""Normalisations by name, for vectors and for maps."""

from typing import Literal

from torch import nn

from leadline._core.names import check_choice

FeatureNorm = Literal["none", "batch", "layer", "rms"]
MapNorm = Literal["none", "batch", "layer", "group"]

_CHANNELS_PER_GROUP = 8


def feature_norm(kind: str, width: int) -> nn.Module | None:
    """A normalisation of ``width`` features, affine, with torch's default epsilon.

    Args:
        kind: ``"batch"`` (over the samples), ``"layer"`` or ``"rms"`` (over the features), or ``"none"``.
        width: Number of features.

    Returns:
        The module, or ``None`` for ``"none"``.

    Raises:
        UsageError: If ``kind`` is none of these.

    Example:
        >>> feature_norm("layer", 16).normalized_shape
        (16,)
    """
    norms = {"none": None, "batch": nn.BatchNorm1d, "layer": nn.LayerNorm, "rms": nn.RMSNorm}
    norm = norms[check_choice("norm", kind, norms)]
    return None if norm is None else norm(width)


def map_norm(kind: str, channels: int) -> nn.Module | None:
    """A normalisation of maps with ``channels`` channels, affine, with torch's default epsilon.

    Args:
        kind: ``"batch"`` (a channel over samples and positions), ``"layer"`` (a sample over channels and
            positions), ``"group"`` (likewise, in groups of eight channels; in one group where eight does not
            divide ``channels``), or ``"none"``.
        channels: Number of channels.

    Returns:
        The module, or ``None`` for ``"none"``.

    Raises:
        UsageError: If ``kind`` is none of these.

    Example:
        >>> map_norm("group", 16).num_groups
        2
    """
    check_choice("norm", kind, ("none", "batch", "layer", "group"))
    if kind == "none":
        return None
    if kind == "batch":
        return nn.BatchNorm2d(channels)
    divides = kind == "group" and channels % _CHANNELS_PER_GROUP == 0
    return nn.GroupNorm(channels // _CHANNELS_PER_GROUP if divides else 1, channels)
