"""How many repeats of its block a design carries: the first of several ends that its curves lead to."""

import inspect
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from operator import itemgetter

from leadline._core.diagnosis import DepthLimit, Prediction
from leadline._core.profile import Profile
from leadline._core.wording import figure
from leadline.doctor.at_depth import STILL, Course, course, still
from leadline.doctor.design import Design, recognise
from leadline.doctor.ranges import dtype_range
from leadline.doctor.rules.activations import activation_decay, activation_growth
from leadline.doctor.rules.gradients import gradient_explosion, gradient_vanishing
from leadline.doctor.trainable import MOST_WITH_DRIFT, logistic
from leadline.doctor.trainers import TRAINERS, Trainer
from leadline.doctor.trends import log10
from leadline.doctor.ways import goes_around, hidden
from leadline.theory import batch_norm_gradient_rate

# Decades over the whole depth that the rules call an error.
EXPLOSION, VANISHING, GROWTH, DECAY = (
    float(inspect.signature(check).parameters["error"].default)
    for check in (gradient_explosion, gradient_vanishing, activation_growth, activation_decay)
)
# Log odds of 4 in 5, at which the interval begins, and with the other sign of 1 in 5, at which it ends.
DOUBT = math.log(4)
# Depths that are looked at.
LADDER = tuple(2 ** (k / 4) for k in range(121))


@dataclass(frozen=True, kw_only=True)
class End:
    """A way for depth to end.

    Attributes:
        margin: What is left at a depth, with the slopes beyond the measured depth stretched by so many half-widths of
            their intervals towards harm; below 0 the design has ended.
        mechanism: Depth -> what gives out there, in a phrase.
        doubt: How far above and below 0 the margin leaves it open whether it has.
    """

    margin: Callable[[float, float], float]
    mechanism: Callable[[float], str]
    doubt: float = 0.0

    def depth(self, *, stretch: float = 0.0) -> float:
        """Where the margin is used up: 0 if it never is there, ``inf`` if it always is."""
        before, left = 0.0, math.nan
        for depth in LADDER:
            here = self.margin(depth, stretch) - stretch * self.doubt
            if here < 0:
                return before * (depth / before) ** (left / (left - here)) if before else 0.0
            before, left = depth, here
        return math.inf


def depth_limit(profile: Profile, predictions: tuple[Prediction, ...], *, trainer: str = "adam") -> DepthLimit:
    """The repeats after which the first of these happens to networks composed of the curves measured along the chain.

    The score of ``trainable`` falls to one half: weight gradients spread, samples are no longer told apart, or keep a
    single direction, or their gradients do; activations or gradients leave the range of the dtype; or they drift as far
    as the rules call an error. A network of N links has the signal of the first N, and its gradient their gains;
    beyond the measured depth the curves go on at the rate of their later half, or at theory's where its interval
    contains that. Where theory gives rate 0 for large batches, what is left is the growth that finite batches add, and
    the mechanism says so.

    Args:
        profile: What was measured.
        predictions: What theory says of its design.
        trainer: Whose score, as in ``trainable``.

    Returns:
        The estimate, with an interval from where the score is 4 in 5, at the worst rates of their 95 % intervals, to
        where it is 1 in 5, at the best. 0 where even one repeat is past an end. ``inf`` only where theory gives rate 0
        and the measured interval contains 0. ``nan`` where fewer than two steps were measured, where a shorter way
        goes around most of the layers, where a parameter or the input is not finite, or where the network overflows at
        a layer and the rates of the others do not lead there.

    Source:
        leadline: ``benchmarks/depth_limits.py`` holds it against designs trained at many depths.
    """
    if profile.nonfinite_parameters or (profile.inputs is not None and profile.inputs.finite_fraction < 1):
        return _untold("numbers that are not finite")
    if _alike_from_the_start(profile):
        return _untold("samples alike from the start")
    if len(hidden(profile)) < 3:
        return _untold("too few repeated layers to tell")
    if goes_around(profile, hidden(profile)):
        return _untold("a shorter way goes around most of the layers")
    expected = {prediction.metric: prediction.rate for prediction in predictions}
    measured = course(profile, expected)
    if not measured.curves:
        return _untold("no figures of its layers")
    ends = list(_ends(profile, measured, TRAINERS[trainer]))
    estimate, first = min(((end.depth(), end) for end in ends), key=itemgetter(0))
    if estimate > _finite_links(profile):
        return _untold("numbers that are not finite")
    if math.isinf(estimate) and not still(expected):
        estimate = LADDER[-1]
    return DepthLimit(
        estimate=estimate,
        low=min(estimate, *(end.depth(stretch=1.0) for end in ends)),
        high=max(estimate, min(end.depth(stretch=-1.0) for end in ends)),
        mechanism=first.mechanism(max(estimate, 1.0)) if estimate < LADDER[-1] else "nothing that the rates show",
    )


def probabilities(
    profile: Profile, predictions: tuple[Prediction, ...], depths: Sequence[int], *, trainer: str = "adam"
) -> dict[int, float]:
    """Depth -> the score of ``trainable`` for as many links, composed of the measured curves; ``nan`` where none are.

    Past a drift that the rules call an error it is what they leave at most.
    """
    if len(hidden(profile)) < 3:
        return dict.fromkeys(depths, math.nan)
    measured = course(profile, {prediction.metric: prediction.rate for prediction in predictions})
    score, *drifts = _ends(profile, measured, TRAINERS[trainer])
    found = {}
    for depth in depths:
        past = any(end.margin(depth, 0.0) < 0 for end in drifts)
        found[depth] = logistic(min(score.margin(depth, 0.0), MOST_WITH_DRIFT if past else math.inf))
    return found


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


def _ends(profile: Profile, measured: Course, trainer: Trainer) -> Iterator[End]:
    design = recognise(profile)
    cause = " (finite-batch growth)" if design is not None and _only_finite_batches_grow(design) else ""
    yield End(
        margin=lambda depth, stretch: sum(trainer.log_odds(measured.figures(depth, stretch=stretch)).values()),
        mechanism=lambda depth: _worst(measured, depth, trainer) + cause,
        doubt=DOUBT,
    )
    chain, dtype = profile.chain, profile.dtype
    if measured.gradient:
        drift = Drift(what="gradients", grow="explode", dtype=dtype, start=log10(chain[-1].grad_max_abs))
        yield from drift.ends(partial(measured.change, measured.gradient), EXPLOSION, VANISHING, cause)
    if measured.signal:
        drift = Drift(what="activations", grow="grow beyond any loss", dtype=dtype, start=log10(chain[0].max_abs))
        yield from drift.ends(partial(measured.change, measured.signal), GROWTH, DECAY, "")


@dataclass(frozen=True, kw_only=True)
class Drift:
    """A size that moves along the depth.

    Attributes:
        what: Whose.
        grow: What it does where it grows too far.
        dtype: Dtype that holds it.
        start: Decades of the largest value at its own end of the chain.
    """

    what: str
    grow: str
    dtype: str
    start: float

    def ends(self, change: Callable[[float, float], float], most: float, least: float, cause: str) -> Iterator[End]:
        """Where it grows by ``most`` decades, falls by ``least``, or leaves the range of the dtype."""
        bounds = dtype_range(self.dtype)
        rooms = [(1, most, f"{self.what} {self.grow}{cause}"), (-1, least, f"{self.what} vanish")]
        if math.isfinite(self.start):
            over, under = math.log10(bounds.largest) - self.start, self.start - math.log10(bounds.smallest)
            rooms += [(1, over, f"{self.what} leave {self.dtype}{cause}")]
            rooms += [(-1, under, f"{self.what} fall below {self.dtype}")]
        for sign, room, mechanism in rooms:
            yield End(
                margin=lambda depth, stretch, sign=sign, room=room: room - sign * change(depth, stretch),
                mechanism=lambda depth, mechanism=mechanism: mechanism,
            )


def _worst(measured: Course, depth: float, trainer: Trainer) -> str:
    """The mechanism that lowers the score most between one link and ``depth`` of them; of the depth itself last."""
    shallow, deep = (trainer.log_odds(measured.figures(links)) for links in (1.0, depth))
    lost = {each: deep[each.name] - shallow[each.name] for each in trainer.mechanisms if each.figure != "plain_depth"}
    worst = min(lost, key=lost.__getitem__)
    return f"{worst.harmful} ({figure(measured.figures(depth)[worst.figure])} {worst.unit}".strip() + ")"


def _only_finite_batches_grow(design: Design) -> bool:
    return design.norm == "batch" and not design.residual and batch_norm_gradient_rate(design.activation) < STILL
