"""Which design a profile shows: what one link of the chain is made of, and how large its weights are."""

import math
from collections import Counter
from dataclasses import dataclass
from statistics import median
from typing import Literal

from leadline._core.profile import LINEAR_KINDS, LayerProfile, Profile
from leadline.doctor.layers import weights_by_layer
from leadline.theory import TORCH_NAMES

# Class of a normalisation -> its family.
NORM_KINDS = {
    "BatchNorm1d": "batch",
    "BatchNorm2d": "batch",
    "BatchNorm3d": "batch",
    "SyncBatchNorm": "batch",
    "FractionalBatchNorm": "fractional",
    "FractionalBatchNorm1d": "fractional",
    "FractionalBatchNorm2d": "fractional",
    "FractionalBatchNorm3d": "fractional",
    "LayerNorm": "layer",
    "RMSNorm": "rms",
    "LlamaRMSNorm": "rms",
    "T5LayerNorm": "rms",
}


@dataclass(frozen=True, kw_only=True)
class Design:
    """One link of a chain of like links.

    Attributes:
        parts: Linear maps, norms and activations of the link, by class, in order of execution.
        activation: Name of the activation in ``leadline.theory``; ``"identity"`` where there is none.
        norm: ``"none"``, ``"batch"``, ``"fractional"``, ``"layer"`` or ``"rms"``.
        order: ``"norm_act"`` or ``"act_norm"``; meaningless without norm.
        residual: Whether a skip leads around the link.
        maps: Linear maps in the link.
        weight_std: σ_w = ‖W‖_F/√outputs of every link, the root of fan_in times the variance of a weight.
        bias_std: Standard deviation of the biases if they are torch's default; 0 where there are none.
        orthogonal: Whether the weights have equal singular values, as Haar matrices have, and not those of independent
            entries.
        width: Inputs of a map, median over the links.
        values: Values that a channel's statistics would be taken over: samples times positions.
        pre_activation: Whether the outputs measured are those of the linear maps, in front of the activation.
    """

    parts: tuple[str, ...]
    activation: str
    norm: str
    order: Literal["norm_act", "act_norm"]
    residual: bool
    maps: int
    weight_std: tuple[float, ...]
    bias_std: float
    orthogonal: bool
    width: int
    values: int
    pre_activation: bool

    @property
    def alternates(self) -> bool:
        """Whether there is one linear map to every activation and norm, as the laws of plain chains suppose."""
        return sum(part in LINEAR_KINDS for part in self.parts) == 1

    def __str__(self) -> str:
        return " + ".join(self.parts) + (" with a skip" if self.residual else "")


def recognise(profile: Profile) -> Design | None:
    """The design of the chain, or ``None`` where most links are not built of linear maps, one norm and one activation.

    So it is where theory has no law of the norm, as of group norm: without it the chain would be another.
    Where the links are linear maps themselves, what runs between two of them belongs to the first.
    """
    chain = profile.chain
    if len(chain) < 2:
        return None
    contents = _contents(profile)
    usual, count = Counter(contents).most_common(1)[0]
    links = [layer for layer, parts in zip(chain, contents, strict=True) if parts == usual]
    maps = [part for part in usual if part in LINEAR_KINDS]
    if not maps or 2 * count < len(chain) or any("Norm" in part and part not in NORM_KINDS for part in usual):
        return None
    norms = {NORM_KINDS[part] for part in usual if part in NORM_KINDS}
    activations = {TORCH_NAMES[part] for part in usual if part in TORCH_NAMES}
    if len(norms) > 1 or len(activations) > 1:
        return None
    norm = next(iter(norms), "none")
    weights = weights_by_layer(profile)
    own = [name for layer in links for name in weights[layer.name]]
    return Design(
        parts=_period(usual),
        activation=next(iter(activations), "identity"),
        norm=norm,
        order=_order(usual),
        residual=sum(layer.residual for layer in links) * 2 > len(links),
        maps=len(maps),
        weight_std=tuple(_weight_std(profile, weights[layer.name]) for layer in chain),
        bias_std=_bias_std(profile, links[-1], weights[links[-1].name]),
        orthogonal=_orthogonal(profile, own),
        width=int(median(profile.weight_shapes[name][1] for name in own)) if own else 0,
        values=_values(links[0]),
        pre_activation=links[0].kind in LINEAR_KINDS,
    )


def _contents(profile: Profile) -> list[tuple[str, ...]]:
    """Linear maps, norms and activations of each link: its own, and behind a linear map those up to the next link."""
    contents: list[list[str]] = []
    links = {layer.name for layer in profile.chain}
    open_ended = False
    for layer in profile.layers:
        if layer.name in links:
            contents.append([])
            open_ended = layer.kind in LINEAR_KINDS
        if layer.name in links or open_ended:
            contents[-1] += layer.parts or (layer.kind,)
    return [tuple(part for part in parts if _is_known(part) and part != "Identity") for parts in contents]


def _is_known(part: str) -> bool:
    return part in LINEAR_KINDS or "Norm" in part or part in TORCH_NAMES


def _period(parts: tuple[str, ...]) -> tuple[str, ...]:
    """The shortest sequence whose repetition gives ``parts``.

    >>> _period(("Linear", "ReLU", "Linear", "ReLU"))
    ('Linear', 'ReLU')
    """
    sizes = (size for size in range(1, len(parts) + 1) if len(parts) % size == 0)
    return next(parts[:size] for size in sizes if parts[:size] * (len(parts) // size) == parts)


def _order(parts: tuple[str, ...]) -> Literal["norm_act", "act_norm"]:
    first = next((part for part in parts if part in NORM_KINDS or part in TORCH_NAMES), "")
    return "act_norm" if first in TORCH_NAMES else "norm_act"


def _weight_std(profile: Profile, weights: list[str]) -> float:
    """Geometric mean of σ_w over the weights of a layer; ``nan`` where it has none."""
    stds = [profile.weight_norms[name] / math.sqrt(profile.weight_shapes[name][0]) for name in weights]
    if not stds or min(stds) <= 0:
        return 0.0 if stds else math.nan
    return math.exp(sum(math.log(std) for std in stds) / len(stds))


def _bias_std(profile: Profile, layer: LayerProfile, weights: list[str]) -> float:
    """Torch's default, 1/√(3 fan_in), where the layer is one map with a bias and its weight is torch's default too.

    That is told by its standard deviation, which n uniform entries have to a relative standard error of √(0.2/n).
    """
    if len(weights) != 1:
        return 0.0
    rows, columns = profile.weight_shapes[weights[0]]
    off = abs(_weight_std(profile, weights) * math.sqrt(3) - 1)
    is_default = off <= 4 * math.sqrt(0.2 / (rows * columns)) and layer.parameters == rows * columns + rows
    return 1 / math.sqrt(3 * columns) if is_default else 0.0


def _orthogonal(profile: Profile, weights: list[str]) -> bool:
    """Whether participation ratios of the weights are nearer to min(r, c) than to rc/(r + c) of independent entries.

    Of r × c weights seen through 16 random columns 1/ratio is 1/16 larger than that of the weight itself.
    """
    excess = [
        (1 / profile.weight_ranks[name] - 1 / 16) * rows * columns / (rows + columns)
        for name in weights
        for rows, columns in [profile.weight_shapes[name]]
        if profile.weight_ranks.get(name, 0.0) > 0 and rows == columns
    ]
    return bool(excess) and median(excess) < 0.75


def _values(layer: LayerProfile) -> int:
    samples, *features = layer.shape or (0,)
    return samples * math.prod(features[1:])
