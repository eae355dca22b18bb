"""The figures of a profile that say whether a network trains, and how what each costs is told."""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from leadline._core.profile import LayerProfile, Profile
from leadline.doctor.layers import layer_of, starts_at_zero
from leadline.doctor.ranges import rounding
from leadline.doctor.ways import Way, hidden, shortest_way

# Logarithms are cut here: beyond, a float32 network over- or underflows anyway, and one dead unit makes a gap infinite.
_DECADES = 30.0
_NATS = 30.0
# Gradients of a classification span about as many directions as there are classes; the fit's networks had ten.
_DIRECTIONS = 10
# Share of its stream below which a block adds next to nothing, as behind a scale of 1e-6: what is in it may wait.
_FAINT = 1e-3

FIGURES = (
    "gradient_directions",
    "distinct_signal",
    "isometry_gap",
    "gradient_entry",
    "gradient_spread",
    "gradient_scale",
    "plain_depth",
)


@dataclass(frozen=True, kw_only=True)
class Mechanism:
    """One way in which training fails, with its fitted cost.

    Attributes:
        name: What is judged, in a phrase that is neither good nor bad.
        harmful: What it says of the network where it harms.
        unit: Unit of the figure; empty for a pure number.
        figure: The figure of ``measure`` that shows it.
        harm: 1 where large values harm, -1 where small ones do.
        knots: Where harm begins and where it may steepen: the best twentieth and the median of networks that trained.
        scale: The interquartile range of the figure in networks that trained.
        weights: Cost in nats of log odds per e-fold of the excess over each knot, at least 0.
    """

    name: str
    harmful: str
    unit: str
    figure: str
    harm: int
    knots: tuple[float, float]
    scale: float
    weights: tuple[float, float]

    def excesses(self, value: float) -> tuple[float, float]:
        """Logarithms of one plus the excess of ``value`` over each knot, in units of the scale."""
        low, high = (math.log1p(max(self.harm * (value - knot), 0.0) / self.scale) for knot in self.knots)
        return low, high

    def contribution(self, value: float) -> float:
        """What the figure adds to the log odds beside the median of networks that trained; 0 where it is unknown."""
        if math.isnan(value):
            return 0.0
        usual, here = self.excesses(self.knots[1]), self.excesses(value)
        return sum(weight * (a - b) for weight, a, b in zip(self.weights, usual, here, strict=True))


def measure(profile: Profile, *, whole: bool = False) -> dict[str, float]:
    """The figures by name, of a profile in which some weight has a gradient; ``nan`` where it lacks what they rest on.

    They are read on the shortest way through the network (``ways``): what a skip or a shorter branch goes around may
    stand still, and the rest learns; so may what is in a block that adds next to nothing. A gradient that is too large
    harms wherever it is.

    ``gradient_directions``: the fewest directions that the samples' gradients span in a layer of the chain, as the
    logarithm of the participation ratio over that of ten (of n, in smaller batches): 0 when all are alike.
    ``distinct_signal``: decades of the root mean square of what differs between samples, at its least; layers that read
    a constant, behind which samples differ all the same, do not count.
    ``isometry_gap``: nats, the median of the chain: how much fainter most directions are than the strongest.
    ``gradient_entry``: decades of a weight gradient's root mean square, the median of the weights, over the norm of the
    output's gradient, as Adam does not feel the scale of the loss.
    ``gradient_spread``: decades between the largest weight gradient of all and the smallest that is not 0.
    ``gradient_scale``: decades of the norm of all gradients together, of tokens and positions too, which plain descent
    feels.
    ``plain_depth``: decades of one plus the layers of the chain that no skip goes around.

    Args:
        profile: The profile.
        whole: Whether all but the last are read on the whole chain instead.
    """
    way = shortest_way(profile)
    felt = _felt(profile)
    needed = felt if whole else _needed(way, profile, felt)
    chain = hidden(profile) if whole else _on(way, profile)
    several = [layer for layer in chain if layer.n > 1 and not starts_at_zero(profile, layer)]
    largest = max(norm for norm, _ in felt.values())
    return {
        "gradient_directions": min(
            _known(gradient_directions(layer) for layer in several if layer.grad_norm > 0), default=math.nan
        ),
        "distinct_signal": min(_known(distinct_signal(layer) for layer in _of_batch(several)), default=math.nan),
        "isometry_gap": _median(min(layer.isometry_gap, _NATS) for layer in several),
        "gradient_entry": _entry(needed) - log10(_arriving(profile)),
        "gradient_spread": log10(largest) - min(log10(norm) for norm, _ in needed.values()),
        "gradient_scale": log10(math.hypot(*(min(norm, 1e150) for norm, _ in gradients(profile).values()))),
        "plain_depth": math.log10(1 + way.plain),
    }


def gradient_size(profile: Profile) -> float:
    """Decades of a weight gradient's root mean square, the median of the weights on the shortest way."""
    return _entry(_needed(shortest_way(profile), profile, _felt(profile)))


def _felt(profile: Profile) -> dict[str, tuple[float, int]]:
    """Of the weights that have one; of tokens and positions, which are added and multiply nothing, only without any."""
    felt = {name: own for name, own in gradients(profile).items() if own[0] > 0}
    return {name: own for name, own in felt.items() if "weight" in name.rpartition(".")[2]} or felt


def _needed(way: Way, profile: Profile, felt: dict[str, tuple[float, int]]) -> dict[str, tuple[float, int]]:
    """Those that the way holds; all where it holds none."""
    return {name: own for name, own in felt.items() if _holds(way, profile, name)} or felt


def _entry(felt: Mapping[str, tuple[float, int]]) -> float:
    return _median(log10(norm / math.sqrt(entries)) for norm, entries in felt.values())


def _on(way: Way, profile: Profile) -> Sequence[LayerProfile]:
    """The layers of the chain on the way; where it goes around them all, those that are on it but for the last."""
    chain = [layer for layer in hidden(profile) if layer.name in way.names]
    return chain or [layer for layer in profile.layers[:-1] if layer.name in way.names] or hidden(profile)


def _holds(way: Way, profile: Profile, weight: str) -> bool:
    """Whether the layer that holds the weight is on the way and adds something to it, or there is none."""
    layer = profile.named.get(layer_of(profile, weight))
    if layer is None:
        return True
    return layer.name in way.paths and not (layer.residual and layer.branch_rms < _FAINT * layer.stream_rms)


def gradients(profile: Profile) -> dict[str, tuple[float, int]]:
    """Weight -> norm and number of entries of its gradient; of each layer where the weights are not listed."""
    if profile.weights:
        shapes = profile.weight_shapes
        return {name: (norm, math.prod(shapes.get(name, (1, 1)))) for name, norm in profile.weights.items()}
    own = {layer.name: (layer.weight_grad_norm, max(layer.trained, 1)) for layer in profile.layers}
    return {name: found for name, found in own.items() if not math.isnan(found[0])}


def _arriving(profile: Profile) -> float:
    """Norm of the gradient that the loss sends into the network."""
    return profile.outputs.grad_norm if profile.outputs else profile.layers[-1].grad_norm


def _of_batch(chain: Sequence[LayerProfile]) -> list[LayerProfile]:
    """The layers without those that are constant while a later one is not: they read no sample."""
    last = max((i for i, layer in enumerate(chain) if layer.distinction > rounding(layer, times=200)), default=0)
    return [layer for i, layer in enumerate(chain) if i >= last or layer.distinction > rounding(layer)]


def gradient_directions(layer: LayerProfile) -> float:
    """Logarithm of the participation ratio of the samples' gradients over that of ten of them."""
    return log10(max(layer.grad_participation_ratio, 1.0)) / math.log10(max(min(layer.n, _DIRECTIONS), 2))


def distinct_signal(layer: LayerProfile) -> float:
    """Decades of the root mean square of what differs between samples."""
    return log10(layer.rms * math.sqrt(max(layer.distinction, 0.0)))


def log10(value: float) -> float:
    """Decimal logarithm, cut where float32 ends; ``nan`` stays."""
    if 0 < value < math.inf:
        return min(max(math.log10(value), -_DECADES), _DECADES)
    return math.nan if math.isnan(value) else math.copysign(_DECADES, value - 1)


def _known(values: Iterable[float]) -> list[float]:
    return [value for value in values if not math.isnan(value)]


def _median(values: Iterable[float]) -> float:
    known = _known(values)
    return statistics.median(known) if known else math.nan
