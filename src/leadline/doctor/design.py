"""Which design a profile shows: what one link of the chain is made of, and how large its weights are."""

import math
from collections import Counter
from dataclasses import dataclass
from statistics import median
from typing import Literal

from leadline._core.profile import LINEAR_KINDS, LayerProfile, Profile
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

    Where the links are linear maps themselves, what runs between two of them belongs to the first.
    """
    chain = profile.chain
    if len(chain) < 2:
        return None
    contents = {layer.name: _contents(profile, layer) for layer in chain}
    usual, count = Counter(contents.values()).most_common(1)[0]
    links = [layer for layer in chain if contents[layer.name] == usual]
    maps = [part for part in usual if part in LINEAR_KINDS]
    if not maps or 2 * count < len(chain):
        return None
    norms = {NORM_KINDS[part] for part in usual if part in NORM_KINDS}
    activations = {TORCH_NAMES[part] for part in usual if part in TORCH_NAMES}
    if len(norms) > 1 or len(activations) > 1:
        return None
    norm = next(iter(norms), "none")
    return Design(
        parts=_period(usual),
        activation=next(iter(activations), "identity"),
        norm=norm,
        order=_order(usual),
        residual=sum(layer.residual for layer in links) * 2 > len(links),
        maps=len(maps),
        weight_std=tuple(_weight_std(profile, layer) for layer in chain),
        bias_std=_bias_std(profile, links[-1]),
        orthogonal=_orthogonal(profile, links),
        width=_width(profile, links),
        values=_values(links[0]),
        pre_activation=links[0].kind in LINEAR_KINDS,
    )


def _contents(profile: Profile, layer: LayerProfile) -> tuple[str, ...]:
    """Linear maps, norms and activations of a link: its own parts, or up to the next linear map of the chain."""
    parts = list(layer.parts or (layer.kind,))
    if layer.kind in LINEAR_KINDS:
        links = {each.name for each in profile.chain}
        for behind in profile.layers[layer.depth + 1 :]:
            if behind.name in links:
                break
            parts += behind.parts or (behind.kind,)
    known = [part for part in parts if part in LINEAR_KINDS or part in NORM_KINDS or part in TORCH_NAMES]
    return tuple(part for part in known if part != "Identity")


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


def weights_of(profile: Profile, layer: LayerProfile) -> list[str]:
    """Names of the weights of linear maps in the layer."""
    return [
        name for name in profile.weight_shapes if name.startswith(f"{layer.name}.") and name in profile.weight_norms
    ]


def _weight_std(profile: Profile, layer: LayerProfile) -> float:
    """Geometric mean of σ_w over the weights of the layer; ``nan`` where it has none."""
    stds = [profile.weight_norms[n] / math.sqrt(profile.weight_shapes[n][0]) for n in weights_of(profile, layer)]
    if not stds or min(stds) <= 0:
        return 0.0 if stds else math.nan
    return math.exp(sum(math.log(std) for std in stds) / len(stds))


def _bias_std(profile: Profile, layer: LayerProfile) -> float:
    """Torch's default, 1/√(3 fan_in), where the layer is one map with a bias and its weight is torch's default too."""
    weights = weights_of(profile, layer)
    if len(weights) != 1 or abs(_weight_std(profile, layer) * math.sqrt(3) - 1) > 0.05:
        return 0.0
    rows, columns = profile.weight_shapes[weights[0]]
    return 1 / math.sqrt(3 * columns) if layer.parameters == rows * columns + rows else 0.0


def _orthogonal(profile: Profile, links: list[LayerProfile]) -> bool:
    """Whether participation ratios of the weights are nearer to min(r, c) than to rc/(r + c) of independent entries.

    Of r × c weights seen through 16 random columns 1/ratio is 1/16 larger than that of the weight itself.
    """
    excess = [
        (1 / profile.weight_ranks[name] - 1 / 16) * rows * columns / (rows + columns)
        for layer in links
        for name in weights_of(profile, layer)
        for rows, columns in [profile.weight_shapes[name]]
        if profile.weight_ranks.get(name, 0.0) > 0 and rows == columns
    ]
    return bool(excess) and median(excess) < 0.75


def _width(profile: Profile, links: list[LayerProfile]) -> int:
    columns = [profile.weight_shapes[name][1] for layer in links for name in weights_of(profile, layer)]
    return int(median(columns)) if columns else 0


def _values(layer: LayerProfile) -> int:
    samples, *features = layer.shape or (0,)
    return samples * math.prod(features[1:])
