"""How a metric moves along the chain: its steps, the few that stand apart, and the rate of the others."""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median

import numpy as np

from leadline._core.profile import LayerProfile, Profile
from leadline._core.rates import Rate, rate_of_steps
from leadline.doctor.layers import pattern


@dataclass(frozen=True, kw_only=True, eq=False)
class Step:
    """The change of a metric from one layer of the chain to the next.

    Forward and backward alike it is ``layer`` that makes the step: its output over its input, or the gradient that
    it passes back over the gradient that reached it (then with the opposite sign).

    Attributes:
        layer: The layer that makes it.
        before: The layer of the chain that it reads, through layers outside of it or none. Where several are joined it
            is the one whose value is nearest, and where several read one layer its gradient came from the nearest.
        decades: Difference of the decimal logarithms; infinite to or from zero, ``nan`` between zeros.
        usual: The median of the steps like it.
    """

    layer: LayerProfile
    before: LayerProfile
    decades: float
    usual: float = 0.0

    @property
    def excess(self) -> float:
        """Decades beyond the usual."""
        return self.decades - self.usual

    @property
    def beyond(self) -> str:
        """What the excess is beyond, in words: nothing where there is no usual step to hold it against."""
        return " than its like do" if self.usual else ""


@dataclass(frozen=True, kw_only=True)
class Trend:
    """The steps of one metric along the chain.

    Attributes:
        metric: Name of the metric.
        steps: Every step, in order of execution.
        apart: The steps that stand apart from the others: faults of one layer.
        rate: Decades per layer of the steps that do not, in order of execution.
        part: Whether these are the steps of a part of the chain, beside which the metric stands still.
    """

    metric: str
    steps: tuple[Step, ...]
    apart: tuple[Step, ...]
    rate: Rate
    part: bool = False

    @property
    def length(self) -> int:
        """Steps one behind the other on the longest way: fewer than all where layers stand side by side."""
        reached = defaultdict[str, int](int)
        for step in self.steps:
            name = step.layer.name
            reached[name] = max(reached[name], reached[step.before.name] + 1)
        return max(reached.values(), default=0)

    @property
    def decades(self) -> float:
        """What the rate makes over the whole depth."""
        return self.rate.estimate * self.length

    @property
    def geometric(self) -> bool:
        """Whether the interval of the rate excludes 0: what is seen is a drift, no wandering."""
        return self.rate.excludes(0.0)


def trend(profile: Profile, metric: str, *, apart: float = 1.0, floor: float = 0.0) -> Trend:
    """The steps of ``metric`` along ``profile.chain``, those that stand apart, and the rate of the others.

    Args:
        profile: What was measured.
        metric: A positive metric of a layer.
        apart: Decades by which a step must differ from the usual one to stand apart: a factor of ten is more than
            initialisers, activations and changes of width do between neighbours.
        floor: Values below it are rounding and say nothing.

    Returns:
        The trend; with several draws the rate is the mean over draws, with the interval over them.
    """
    chain = [layer for layer in profile.chain if not getattr(layer, metric) < floor]
    steps = chain_steps(profile, chain, metric)
    outliers = stand_apart(steps, apart=apart)
    alone = set(outliers)
    if profile.draws:
        return Trend(metric=metric, steps=steps, apart=outliers, rate=profile.rate(metric))
    others = rate_of_steps([step.decades for step in steps if step not in alone])
    return Trend(metric=metric, steps=steps, apart=outliers, rate=others)


def drift(of: Trend, *, least: int = 4) -> Trend:
    """The trend where it is a drift; otherwise that of the part of the chain which drifts, where one does.

    Args:
        of: A trend along the whole chain.
        least: Steps that such a part has at least.
    """
    counted = _counted(of)
    if of.geometric or of.rate.over == "draws":
        return of
    first, last = _moving([step.decades for step in counted])
    if not least <= last - first < len(counted):
        return of
    part = counted[first:last]
    return replace(of, steps=tuple(part), rate=rate_of_steps([step.decades for step in part]), part=True)


def chain_steps(profile: Profile, chain: Sequence[LayerProfile], metric: str) -> tuple[Step, ...]:
    """The steps of ``metric`` along ``chain``: one for each layer that reads another or, of gradients, is read."""
    values = {layer.name: log10(getattr(layer, metric)) for layer in chain}
    ends = defaultdict[str, list[Step]](list)
    for layer, read in zip(chain, _read(profile, chain), strict=True):
        for before in read:
            a, b = values[before.name], values[layer.name]
            step = Step(layer=layer, before=before, decades=math.nan if a == b == -math.inf else b - a)
            ends[(before if metric.startswith("grad_") else layer).name].append(step)
    nearest = [min(steps, key=_distance) for steps in ends.values()]
    steps = sorted(nearest, key=lambda step: (step.layer.depth, step.before.depth))
    kinds = [(pattern(step.before.name), pattern(step.layer.name)) for step in steps]
    usual = _usual(kinds, [step.decades for step in steps])
    return tuple(replace(step, usual=like) for step, like in zip(steps, usual, strict=True))


def _distance(step: Step) -> float:
    return math.inf if math.isnan(step.decades) else abs(step.decades)


def _read(profile: Profile, chain: Sequence[LayerProfile]) -> list[list[LayerProfile]]:
    """For each layer of the chain those of the chain that it reads, the last in front of it first.

    They are found through layers outside of the chain. Where the profile does not say what a layer reads, it is the one
    in front.
    """
    places = {layer.name: i for i, layer in enumerate(chain)}
    found = []
    for i, layer in enumerate(chain):
        read, known, waiting, seen = set[int](), True, [layer], {layer.name}
        for current in waiting:  # grows on the way
            known &= bool(current.reads)
            for name in current.reads:
                if name in places:
                    read.add(places[name])
                elif name not in seen and name in profile.named:
                    seen.add(name)
                    waiting.append(profile.named[name])
        if not read and not known and i:
            read = {i - 1}
        found.append([chain[j] for j in sorted(read, reverse=True)])
    return found


def _usual(kinds: Sequence[object], decades: Sequence[float]) -> list[float]:
    """For each step the median of the finite ones of its kind, of all of them where its kind has fewer than three.

    Three steps of zero are counted with all, so that a short chain cannot call its own fault usual.
    """
    groups = defaultdict(list)
    for kind, own in zip(kinds, decades, strict=True):
        if math.isfinite(own):
            groups[kind].append(own)
    of_all = median([own for group in groups.values() for own in group] + [0.0] * 3)
    usual = {kind: median(group) if len(group) >= 3 else of_all for kind, group in groups.items()}
    return [usual.get(kind, of_all) for kind in kinds]


def stand_apart(steps: Sequence[Step], *, apart: float, deviations: float = 6.0) -> tuple[Step, ...]:
    """The steps that differ from the usual by ``apart`` decades and by ``deviations`` robust standard deviations.

    The robust standard deviation is 1.4826 times the median absolute deviation, three deviations of zero counted in.
    """
    spread = 1.4826 * median([abs(step.excess) for step in steps if math.isfinite(step.decades)] + [0.0] * 3)
    limit = max(apart, deviations * spread)
    return tuple(step for step in steps if abs(step.excess) > limit)


def onset(trend: Trend, *, backward: bool = False) -> LayerProfile | None:
    """The first layer of the drift, from the input or from the loss: behind the steps that are as good as zero."""
    counted = _counted(trend)
    if not counted:
        return None
    first, last = _moving([step.decades for step in counted])
    return counted[last - 1 if backward else first].layer


def _counted(of: Trend) -> list[Step]:
    apart = set(of.apart)
    return [step for step in of.steps if math.isfinite(step.decades) and step not in apart]


def _moving(u: Sequence[float]) -> tuple[int, int]:
    """Ends of the steps that are better told as having one rate, with steps of zero in front and behind."""
    if not u:
        return 0, 0
    first = _quiet(u)
    last = len(u) - _quiet(u[first:][::-1])
    return (first, last) if first or last < len(u) else _between(u)


def _between(u: Sequence[float], *, gain: float = 20.0, places: int = 256) -> tuple[int, int]:
    """The same where zeros at one end alone are no better: both ends are sought at once, at so many places."""
    x = np.asarray(u, dtype=np.float64)
    n, sums, squares = len(x), np.concatenate([[0.0], np.cumsum(x)]), float(x @ x)
    ends = np.unique(np.linspace(0, n, min(n + 1, places)).astype(int))
    length = np.maximum(ends[None, :] - ends[:, None], 0)
    told = np.where(length > 0, (sums[ends][None, :] - sums[ends][:, None]) ** 2 / np.maximum(length, 1), 0.0)
    i, j = np.unravel_index(int(np.argmax(told)), told.shape)
    left = max(squares - float(told[i, j]), 0.0)
    won = float(told[i, j]) - sums[-1] ** 2 / n
    if n >= 4 and won > gain * left / max(n - 3, 1) and won > 1e-12 * squares:
        return int(ends[i]), int(ends[j])
    return 0, n


def _quiet(u: Sequence[float], *, gain: float = 15.0) -> int:
    """How many of the first steps are better told as steps of zero, the others having one rate.

    The split with the least sum of squares, if it beats a single rate by ``gain`` times the residual variance: about
    what the best of a hundred splits of pure noise reaches in one of a thousand cases.
    """
    x = np.asarray(u, dtype=np.float64)
    squares, sums, n = np.cumsum(x**2), np.cumsum(x), len(x)
    alone = squares[-1] - sums[-1] ** 2 / n
    if n < 3:
        return 0
    k = np.arange(1, n)
    split = squares[-1] - (sums[-1] - sums[k - 1]) ** 2 / (n - k)
    best = int(np.argmin(split))
    better = alone - split[best] > gain * split[best] / max(n - 2, 1) and alone - split[best] > 1e-12 * squares[-1]
    return int(k[best]) if better else 0


def log10(value: float) -> float:
    """Decimal logarithm with ``-inf`` at zero and ``nan`` below.

    >>> log10(100.0), log10(0.0)
    (2.0, -inf)
    """
    if math.isnan(value) or value < 0:
        return math.nan
    return math.log10(value) if value > 0 else -math.inf
