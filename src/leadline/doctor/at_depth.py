"""The figures of the score for a design of another depth, composed of the curves measured in one network."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from leadline._core.profile import LayerProfile, Profile
from leadline._core.rates import rate
from leadline.doctor.layers import repeats
from leadline.doctor.ranges import dtype_range
from leadline.doctor.trainable_mechanisms import (
    FIGURES,
    distinct_signal,
    gradient_directions,
    gradients,
    log10,
    measure,
)
from leadline.doctor.trends import chain_steps, stand_apart
from leadline.doctor.ways import hidden

Floats = NDArray[np.float64]

# Places along a deep chain at which its curves are read.
_PLACES = 400
# Rates that theory calls zero, in decades a link: the gains of drawn weights scatter by that much.
STILL = 2e-3
# Links beyond which their number alone is not counted further: the score was fitted to a few dozen.
_DEEPEST = 1e4
# Decades and nats at which the figures are cut.
_MOST = 30.0
# Decades by which one layer must differ from those like it to be a fault of its own and not of the design.
_APART = 1.0


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A logarithm along the chain, continued at both ends by the slope of its later half.

    Attributes:
        places: Where it is known: the distance from its own end of the chain, increasing.
        values: What it is there.
        slope: Its change a unit of place beyond what is known.
        spread: Half the width of the 95 % interval of ``slope``.
        harm: 1 where a larger slope harms, -1 where a smaller one does.
    """

    places: Floats
    values: Floats
    slope: float
    spread: float
    harm: int

    def at(self, places: Floats, *, stretch: float = 0.0) -> Floats:
        """Its values; beyond what is known with ``stretch`` half-widths of the interval towards harm."""
        slope = self.slope + self.harm * stretch * self.spread
        within = np.clip(places, self.places[0], self.places[-1])
        return np.interp(within, self.places, self.values) + slope * (places - within)


@dataclass(frozen=True, kw_only=True)
class Course:
    """What a design does along its depth, of which networks of any depth are composed.

    The signal of a network of N links is that of the first N. What its gradient gains on the way from the loss to
    link l is the product of the gains of the links between: those of link l do not depend on how many follow, since
    they depend on the signal there; further links have the gains of the later ones measured. A weight's gradient at
    link l is the signal in front of it times the gradient behind it.

    Attributes:
        signal: Decades of the root mean square behind the links, from the input.
        distinct: Likewise of what differs between samples.
        gap: Nats of the isometry gap.
        gradient: Decades by which the gradient's norm falls from the input to a link: what it gains on the way back.
        directions: Of the gradient, as in ``trainable_mechanisms.measure``, from the loss.
        place: Link -> its place: links count by themselves, or by the logarithm where branches of one size add up.
        links: Links measured.
        one: Whether most links are one module run again: its weight has one gradient, the sum over its runs.
        level: The figures as measured, for what no curve tells.
    """

    signal: Curve | None
    distinct: Curve | None
    gap: Curve | None
    gradient: Curve | None
    directions: Curve | None
    place: Callable[[Floats], Floats]
    links: int
    one: bool
    level: Mapping[str, float]

    def figures(self, depth: float, *, stretch: float = 0.0) -> dict[str, float]:
        """The figures of ``measure`` for ``depth`` links.

        Args:
            depth: Links, at least 1.
            stretch: Half-widths of their intervals by which slopes beyond the measured depth are taken towards harm.
        """
        here, own = self._composed(depth, stretch), self._own
        found = dict(self.level) | {name: here[name] for name in here if name not in _RELATIVE}
        for name, (least, most) in () if self.one else _RELATIVE.items():
            if name in here and name in own:
                found[name] = here[name] + min(max(self.level[name] - own[name], least), most)
        plain = (10 ** self.level["plain_depth"] - 1) / self.links
        return found | {"plain_depth": math.log10(1 + plain * min(depth, _DEEPEST))}

    @cached_property
    def _own(self) -> dict[str, float]:
        return self._composed(self.links, 0.0)

    @property
    def curves(self) -> list[Curve]:
        """The curves that are known."""
        every = (self.signal, self.distinct, self.gap, self.gradient, self.directions)
        return [curve for curve in every if curve]

    def change(self, curve: Curve, depth: float, stretch: float = 0.0) -> float:
        """What ``curve`` changes by in ``depth`` steps from link to link."""
        first, last = curve.at(self.place(np.array([0.0, depth])), stretch=stretch)
        return float(last - first)

    def _composed(self, depth: float, stretch: float) -> dict[str, float]:
        links = np.linspace(0, depth - 1, min(math.ceil(depth), _PLACES))
        forward, last = self.place(links), float(self.place(np.array([depth - 1.0]))[0])
        backward = last - forward

        def read(curve: Curve | None, places: Floats) -> Floats:
            return curve.at(places, stretch=stretch) if curve else np.full(len(places), np.nan)

        gains = read(self.gradient, forward)
        weights = read(self.signal, self.place(np.maximum(links - 1, 0))) + gains[-1] - gains
        found = {
            "gradient_directions": float(np.clip(read(self.directions, backward), 0, 1).min()),
            "distinct_signal": float(read(self.distinct, forward).min()),
            "isometry_gap": float(np.clip(np.median(read(self.gap, forward)), 0, _MOST)),
            "gradient_entry": float(np.median(weights)),
            "gradient_spread": float(np.ptp(weights)),
            "gradient_scale": float(_log_total(weights)),
        }
        return {name: value for name, value in found.items() if math.isfinite(value)}


# Figures of weights, of which the curves tell how they change, and how much more than the curves at most counts as the
# design's own: its stem and head have weights too, but decades between them are the fault of one.
_RELATIVE = {
    "gradient_entry": (-math.inf, math.inf),
    "gradient_scale": (-math.inf, math.inf),
    "gradient_spread": (0.0, 1.0),
}


def _log_total(logs: Floats) -> float:
    """Logarithm of the root of the sum of squares."""
    most = logs.max()
    return most + 0.5 * np.log10(np.sum(10 ** (2 * (logs - most))))


def course(profile: Profile, expected: Mapping[str, float] | None = None) -> Course:
    """The curves of a profile; of several draws their means.

    Args:
        profile: A profile in which some weight has a gradient.
        expected: Metric -> its rate in decades a link, in order of execution, where theory gives one. A curve goes on
            at that rate where the interval of its own contains it: a chain's gains wander, and theory knows their mean.
    """
    chain = hidden(profile)
    start = _stream_start(chain)
    theory = dict(expected or {}) if start is None else {}
    level = math.nan
    if still(theory):
        theory, level = dict.fromkeys(theory, 0.0), 0.0
    rounding = dtype_range(profile.dtype).eps / math.log(10)
    draws = [profile, *(each for each in profile.draws if profile.draws_over == "draws")]

    def place(links: Floats) -> Floats:
        return links if start is None else np.log(links + 1 + start)

    def curve(
        metric: str,
        of: Callable[[LayerProfile], float],
        rate: float = math.nan,
        *,
        harm: int = 0,
        backward: bool = False,
    ) -> Curve | None:
        rows = [_without_faults(each, metric, of) for each in draws if len(hidden(each)) == len(chain)]
        known = np.array([[value if abs(value) < _MOST else math.nan for value in row] for row in rows])
        places = place(np.arange(len(chain), dtype=np.float64))
        values = known.mean(axis=0)
        if backward:
            places, values = places[-1] - places[::-1], values[::-1]
        return _curve(
            places,
            values,
            expected=rate,
            rounding=rounding,
            harm=harm,
            settled=(0.25, 0.75) if backward else (0.5, 1.0),
        )

    return Course(
        signal=curve("rms", lambda layer: log10(layer.rms), theory.get("rms", math.nan)),
        distinct=curve("rms", _told_apart, _distinct_rate(theory), harm=-1),
        gap=curve("", lambda layer: layer.isometry_gap, level, harm=1),
        gradient=curve("grad_norm", lambda layer: -log10(layer.grad_norm), -theory.get("grad_norm", math.nan)),
        directions=curve("", gradient_directions, level, harm=-1, backward=True),
        place=place,
        links=len(chain),
        one=repeats(chain),
        level=measure(profile, whole=True)
        if any(norm > 0 for norm, _ in gradients(profile).values())
        else dict.fromkeys(FIGURES, math.nan),
    )


def still(theory: Mapping[str, float]) -> bool:
    """Whether theory speaks of the design and says that nothing drifts."""
    return bool(theory) and all(abs(each) < STILL for each in theory.values())


def _stream_start(chain: tuple[LayerProfile, ...]) -> float | None:
    """The variance of a stream at first, in branches, where branches of one size are added to it.

    Behind l of them its variance is that of l + s, s its own at first, and what grows with it grows with log(l + s).
    ``None`` where branches grow with the stream, or there are none: then every link counts alike.
    """
    sizes = [(layer.branch_rms, layer.stream_rms) for layer in chain if layer.branch_rms > 0 and layer.stream_rms > 0]
    if len(sizes) < 3 or len(sizes) < len(chain) - 1:
        return None
    (first, stream), (last, behind) = sizes[0], sizes[-1]
    adds_up = math.log(behind / stream) > 2 * abs(math.log(last / first))
    return (stream / first) ** 2 if adds_up else None


def _without_faults(profile: Profile, metric: str, of: Callable[[LayerProfile], float]) -> list[float]:
    """The curve, with steps where ``metric`` stands apart made like the usual one.

    With a metric its steps are those that the chain makes by what its layers read, so that a way around a part of it
    makes none.
    """
    chain = hidden(profile)
    values = [of(layer) for layer in chain]
    if not metric:
        return values
    made = chain_steps(profile, chain, metric)
    faults = set(stand_apart(made, apart=_APART))
    if not faults and [(step.before, step.layer) for step in made] == list(pairwise(chain)):
        return values
    places = {layer.name: i for i, layer in enumerate(chain)}
    steps, faulty = np.zeros(len(chain) - 1), np.zeros(len(chain) - 1, dtype=bool)
    for step in made:
        before, after = places[step.before.name], places[step.layer.name]
        place = before if metric.startswith("grad_") else after - 1
        steps[place], faulty[place] = values[after] - values[before], step in faults
    known = np.isfinite(steps)
    steps[faulty & known] = np.median(steps[known]) if known.any() else 0.0
    curve = values[0] + np.concatenate([[0.0], np.cumsum(np.where(known, steps, 0.0))])
    return np.where(np.isnan(values), np.nan, curve).tolist()


def _told_apart(layer: LayerProfile) -> float:
    """Of what differs between samples; unknown where rounding is all that does."""
    return distinct_signal(layer) if layer.distinction > dtype_range(layer.dtype).eps ** 2 else math.nan


def _distinct_rate(theory: Mapping[str, float]) -> float:
    """Of the root mean square of what differs: the distinction is a share of squares."""
    return theory.get("rms", math.nan) + theory.get("distinction", math.nan) / 2


def _curve(
    places: Floats, values: Floats, *, expected: float, rounding: float, harm: int, settled: tuple[float, float]
) -> Curve | None:
    known = np.isfinite(values)
    x, y = places[known], values[known]
    if len(x) < 2:
        return None
    part = slice(*(round(share * len(x)) for share in settled)) if len(x) > 4 else slice(None)
    slopes = [(b - a) / (v - u) for (u, v), (a, b) in zip(pairwise(x[part]), pairwise(y[part]), strict=True)]
    found = rate([0.0, *np.cumsum(slopes)])
    half = found.high - found.estimate
    return Curve(
        places=x,
        values=y,
        slope=expected if abs(found.estimate - expected) <= half + rounding else found.estimate,
        spread=half if math.isfinite(half) else 0.0,
        harm=harm or (1 if found.estimate > 0 else -1),
    )
