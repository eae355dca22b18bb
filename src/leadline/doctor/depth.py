"""How many repeats of its block a design carries: the first of several ends that the measured rates lead to."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from leadline._core.diagnosis import DepthLimit, Prediction
from leadline._core.profile import Profile
from leadline._core.rates import Rate
from leadline.doctor.ranges import dtype_range
from leadline.doctor.trends import log10, trend

# Weight gradients that spread further than this over the layers leave plain descent no common rate.
SPREAD = 3.0
# Share of the squared length that tells samples apart: below it, a relative difference of 1e-3, they are lost.
DISTINCTION = -6.0
# Rates that theory calls zero: below one decade in 10,000 layers.
ZERO = 1e-4


@dataclass(frozen=True, kw_only=True)
class _End:
    """A quantity that may move by ``room`` decades, its rate, and whether theory says that it does not move at all."""

    mechanism: str
    room: float
    rate: Rate
    still: bool = False

    def depth(self, rate: float) -> float:
        return self.room / rate if rate > 0 else math.inf


def depth_limit(profile: Profile, predictions: tuple[Prediction, ...]) -> DepthLimit:
    """The repeats after which the first of these happens, at the rates measured along the chain.

    The gradient or the signal leaves the range of the dtype; weight gradients spread beyond 10³, so that plain descent
    has no common rate; samples are no longer told apart (distinction below 1e-6); or, where theory gives rate 0 for
    large batches, the growth that finite batches add reaches one of these.

    Args:
        profile: What was measured.
        predictions: What theory says of its design.

    Returns:
        The estimate with the interval that the rate's own 95 % interval gives. ``inf`` only where theory gives
        rate 0 and the measured interval contains 0; elsewhere a rate whose interval contains 0 has an open upper end.
        ``nan`` where fewer than three links were measured.
    """
    ends = [end for end in _ends(profile, predictions) if end.rate.increments >= 2]
    if not ends:
        return DepthLimit(estimate=math.nan, low=math.nan, high=math.nan, mechanism="too few repeated layers to tell")
    estimates = [_estimate(end) for end in ends]
    first = min(range(len(ends)), key=lambda i: estimates[i])
    if math.isinf(estimates[first]):
        return DepthLimit(estimate=math.inf, low=_low(ends), high=math.inf, mechanism="nothing that the rates show")
    return DepthLimit(
        estimate=estimates[first],
        low=_low(ends),
        high=min(end.depth(end.rate.low) for end in ends),
        mechanism=ends[first].mechanism,
    )


def _low(ends: list[_End]) -> float:
    return min(end.depth(end.rate.high) for end in ends)


def _estimate(end: _End) -> float:
    """``inf`` only where theory says so and the measurement agrees; otherwise at the rate, or at its upper end."""
    contains = not end.rate.excludes(0.0)
    if end.still and contains:
        return math.inf
    if end.rate.estimate > 0:
        return end.depth(end.rate.estimate)
    return end.depth(end.rate.high)


def _ends(profile: Profile, predictions: tuple[Prediction, ...]) -> Iterator[_End]:
    expected = {prediction.metric: prediction.rate for prediction in predictions}
    still = abs(expected.get("grad_norm", math.nan)) < ZERO
    gradient = trend(profile, "grad_norm").rate
    bounds = dtype_range(profile.dtype)
    cause = " (finite-batch growth)" if still and gradient.excludes(0.0) else ""
    start = max((log10(layer.grad_max_abs) for layer in profile.chain[-1:]), default=math.nan)
    towards_input = _turned(gradient)
    if math.isfinite(start):
        room = math.log10(bounds.largest) - start
        yield _End(mechanism=f"gradients leave {profile.dtype}{cause}", room=room, rate=towards_input, still=still)
        room = start - math.log10(bounds.smallest_normal)
        yield _End(mechanism=f"gradients fall below {profile.dtype}", room=room, rate=gradient, still=still)
    spread = trend(profile, "weight_grad_norm").rate
    for rate in (spread, _turned(spread)):
        yield _End(mechanism=f"weight gradients spread beyond 10³{cause}", room=SPREAD, rate=rate, still=still)
    yield from _forward(profile, expected)


def _forward(profile: Profile, expected: dict[str, float]) -> Iterator[_End]:
    chain = profile.chain
    bounds = dtype_range(profile.dtype)
    signal = trend(profile, "rms").rate
    still = abs(expected.get("rms", math.nan)) < ZERO
    start = log10(chain[0].max_abs) if chain else math.nan
    if math.isfinite(start):
        room = math.log10(bounds.largest) - start
        yield _End(mechanism=f"activations leave {profile.dtype}", room=room, rate=signal, still=still)
        room = start - math.log10(bounds.smallest_normal)
        yield _End(mechanism=f"activations fall below {profile.dtype}", room=room, rate=_turned(signal), still=still)
    apart = log10(chain[0].distinction) if chain else math.nan
    if math.isfinite(apart):
        rate = _turned(trend(profile, "distinction").rate)
        yield _End(mechanism="samples are no longer told apart", room=max(apart - DISTINCTION, 0.0), rate=rate)


def _turned(rate: Rate) -> Rate:
    return Rate(estimate=-rate.estimate, low=-rate.high, high=-rate.low, increments=rate.increments, over=rate.over)
