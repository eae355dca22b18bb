"""How many repeats of its block a design carries: the first of several ends that the measured rates lead to."""

import inspect
import math
from collections.abc import Iterator
from dataclasses import dataclass

from leadline._core.diagnosis import DepthLimit, Prediction
from leadline._core.profile import Profile
from leadline._core.rates import Rate, rate
from leadline.doctor.design import Design, recognise
from leadline.doctor.ranges import dtype_range
from leadline.doctor.rules.activations import activation_decay, activation_growth
from leadline.doctor.rules.gradients import gradient_explosion, gradient_vanishing
from leadline.doctor.trends import log10, trend
from leadline.theory import batch_norm_gradient_rate

# Decades over which weight gradients may spread before plain descent has no common rate for all layers.
SPREAD = 3.0
# Decades over the whole depth that the rules call an error, and those by which the rules set a layer apart.
EXPLOSION, VANISHING, GROWTH, DECAY = (
    float(inspect.signature(check).parameters["error"].default)
    for check in (gradient_explosion, gradient_vanishing, activation_growth, activation_decay)
)
APART = float(inspect.signature(gradient_explosion).parameters["step"].default)
# Share of the squared length that tells samples apart, or that lies along other directions than the first: below it, a
# relative difference of 1e-3, it is lost.
LOST = 1e-6
# Rates that theory calls zero, in decades a block: the gains of drawn weights scatter by that much.
ZERO = 2e-3


@dataclass(frozen=True, kw_only=True)
class End:
    """A way for depth to end: a quantity that may move by ``room`` decades, and how fast it moves.

    Attributes:
        mechanism: What gives out, in a phrase.
        room: Decades left at the first block.
        rate: Decades a block towards that end.
        still: Whether theory gives rate 0.
        resolution: Rates below it, a rounding error a block, are not told from 0.
    """

    mechanism: str
    room: float
    rate: Rate
    still: bool = False
    resolution: float = 0.0

    @property
    def estimate(self) -> float:
        """Blocks at the measured rate; ``inf`` where it leads elsewhere, or where theory and measurement say 0."""
        contains = self.rate.low <= self.resolution and self.rate.high >= -self.resolution
        if (self.still and contains) or self.rate.estimate < -self.resolution:
            return math.inf
        return self._blocks(max(self.rate.estimate, self.resolution))

    @property
    def low(self) -> float:
        """Blocks at the fastest rate of the interval."""
        return self._blocks(self.rate.high)

    @property
    def high(self) -> float:
        """Blocks at the slowest rate of the interval."""
        return self._blocks(self.rate.low if self.rate.low > self.resolution else 0.0)

    def _blocks(self, rate: float) -> float:
        return max(self.room, 0.0) / rate if rate > 0 else math.inf


def depth_limit(profile: Profile, predictions: tuple[Prediction, ...]) -> DepthLimit:
    """The repeats after which the first of these happens, at the rates measured along the chain.

    The gradient or the signal leaves the range of the dtype, or drifts as far as the rules call an error; weight
    gradients spread beyond 10³, so that plain descent has no common rate; or samples are no longer told apart
    (distinction below 1e-6), or only along a single direction (the others below 1e-6). Where theory gives rate 0 for
    large batches, what is left is the growth that finite batches add, and the mechanism says so.

    Args:
        profile: What was measured.
        predictions: What theory says of its design.

    Returns:
        The estimate with the interval that the rate's own 95 % interval gives. ``inf`` only where theory gives
        rate 0 and the measured interval contains 0; elsewhere a rate whose interval contains 0 has an open upper end.
        ``nan`` where fewer than two steps were measured, where a parameter or the input is not finite, or where the
        network overflows at a layer and the rates of the others do not lead there.
    """
    if profile.nonfinite_parameters or (profile.inputs is not None and profile.inputs.finite_fraction < 1):
        return _untold("numbers that are not finite")
    design = recognise(profile)
    expected = {prediction.metric: prediction.rate for prediction in predictions}
    ends = [*_backward(profile, design, expected), *_forward(profile, expected)]
    ends = [end for end in ends if end.rate.increments >= 2]
    if _alike_from_the_start(profile):
        return _untold("samples alike from the start")
    if not ends:
        return _untold("too few repeated layers to tell")
    first = min(ends, key=lambda end: end.estimate)
    if first.estimate > _finite_links(profile):
        return _untold("numbers that are not finite")
    return DepthLimit(
        estimate=first.estimate,
        low=min(first.estimate, *(end.low for end in ends)),
        high=max(first.estimate, min(end.high for end in ends)),
        mechanism=first.mechanism if math.isfinite(first.estimate) else "nothing that the rates show",
    )


def _untold(why: str) -> DepthLimit:
    return DepthLimit(estimate=math.nan, low=math.nan, high=math.nan, mechanism=why)


def _alike_from_the_start(profile: Profile) -> bool:
    """Whether nothing that tells samples apart reaches the second link, so that what rates there are say nothing."""
    first = profile.chain[:2]
    return len(first) == 2 and all(
        link.n > 1 and (link.rms == 0 or link.distinction <= dtype_range(link.dtype).eps ** 2) for link in first
    )


def _finite_links(profile: Profile) -> float:
    """Links of the chain up to the first that is not finite, from the input or from the loss; ``inf`` if all are."""
    for metric, links in (("finite_fraction", profile.chain), ("grad_finite_fraction", profile.chain[::-1])):
        for place, layer in enumerate(links):
            if getattr(layer, metric) < 1:
                return place
    return math.inf if math.isfinite(profile.loss) or math.isnan(profile.loss) else len(profile.chain)


def _backward(profile: Profile, design: Design | None, expected: dict[str, float]) -> Iterator[End]:
    bounds = dtype_range(profile.dtype)
    exact = {"still": abs(expected.get("grad_norm", math.nan)) < ZERO, "resolution": bounds.eps / math.log(10)}
    cause = " (finite-batch growth)" if design is not None and _only_finite_batches_grow(design) else ""
    gradient = trend(profile, "grad_norm", apart=APART).rate
    start = log10(profile.chain[-1].grad_max_abs) if profile.chain else 0.0
    if math.isfinite(start):
        room = math.log10(bounds.largest) - start
        yield End(mechanism=f"gradients leave {profile.dtype}{cause}", room=room, rate=_turned(gradient), **exact)
        room = start - math.log10(bounds.smallest)
        yield End(mechanism=f"gradients fall below {profile.dtype}", room=room, rate=gradient, **exact)
    yield End(mechanism=f"gradients explode{cause}", room=EXPLOSION, rate=_turned(gradient), **exact)
    yield End(mechanism="gradients vanish", room=VANISHING, rate=gradient, **exact)
    spread = trend(profile, "weight_grad_norm").rate
    for towards in (spread, _turned(spread)):
        yield End(mechanism=f"weight gradients spread beyond 10³{cause}", room=SPREAD, rate=towards, **exact)


def _only_finite_batches_grow(design: Design) -> bool:
    return design.norm == "batch" and not design.residual and batch_norm_gradient_rate(design.activation) < ZERO


def _forward(profile: Profile, expected: dict[str, float]) -> Iterator[End]:
    if not profile.chain:
        return
    bounds, first = dtype_range(profile.dtype), profile.chain[0]
    exact = {"still": abs(expected.get("rms", math.nan)) < ZERO, "resolution": bounds.eps / math.log(10)}
    signal, start = trend(profile, "rms", apart=APART).rate, log10(first.max_abs)
    yield End(mechanism="activations grow beyond any loss", room=GROWTH, rate=signal, **exact)
    yield End(mechanism="activations vanish", room=DECAY, rate=_turned(signal), **exact)
    if math.isfinite(start):
        room = math.log10(bounds.largest) - start
        yield End(mechanism=f"activations leave {profile.dtype}", room=room, rate=signal, **exact)
        room = start - math.log10(bounds.smallest)
        yield End(mechanism=f"activations fall below {profile.dtype}", room=room, rate=_turned(signal), **exact)
    exact["still"] = abs(expected.get("distinction", math.nan)) < ZERO
    tokens = [layer.token_distinction for layer in profile.chain]
    others = [layer.centred_participation_ratio - 1 for layer in profile.chain]
    apart = {
        "samples are no longer told apart": ([layer.distinction for layer in profile.chain], bounds.eps**2),
        "positions of a sequence are no longer told apart": (tokens, bounds.eps**2),
        "samples differ along a single direction": (others, bounds.eps),
    }
    for mechanism, (shares, floor) in apart.items():
        logs = [log10(share) if share > floor else math.nan for share in shares]
        if math.isfinite(logs[0]):
            lost = _turned(_late_rate(logs) if shares is not others else rate(logs))
            yield End(mechanism=mechanism, room=logs[0] - math.log10(LOST), rate=lost, **exact)


def _late_rate(logs: list[float]) -> Rate:
    """The rate over the second half of what is known: samples come nearer fast at first, and by a power law later."""
    known = [value for value in logs if math.isfinite(value)]
    late = known[len(known) // 2 :]
    return rate(late if len(late) > 3 else known)


def _turned(rate: Rate) -> Rate:
    return Rate(estimate=-rate.estimate, low=-rate.high, high=-rate.low, increments=rate.increments, over=rate.over)
