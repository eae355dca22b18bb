"""Representations in which samples, or the positions of a sequence, can no longer be told apart."""

import math
from collections.abc import Iterator, Sequence

from leadline._core.diagnosis import Finding, Severity
from leadline._core.profile import LayerProfile, Profile
from leadline._core.sources import Source
from leadline._core.wording import count, decades, figure
from leadline.doctor.layers import repeats, starts_at_zero
from leadline.doctor.ranges import floor_of, rounding
from leadline.doctor.registry import rule
from leadline.doctor.trends import drift, onset, trend
from leadline.doctor.ways import goes_around


@rule("rank-collapse", source=Source(key="daneshmand2020", locator="theorem 2"))
def rank_collapse(profile: Profile, *, limit: float = 1e-4, error: float = 1e-10) -> Iterator[Finding]:
    """Samples that become alike along the chain: their distinction falls below ``limit``, at a rate beyond chance.

    The distinction is the share of ‖x‖² that tells samples apart. A ReLU network at He's gain lets it fall like
    44/depth², to 4e-3 at 100 layers, and still trains: a small participation ratio or a mean cosine near 1 does not
    alarm. 1e-4 is a relative difference of 1 % between samples: of 240 networks that were trained half of those below
    failed, and of those below ``error``, 1e-10, all.
    """
    yield from _alike(profile, "distinction", "rank-collapse", limit, error, "samples")


@rule("rank-collapse", source=Source(key="daneshmand2020", locator="theorem 2"))
def single_direction(
    profile: Profile, *, limit: float = 1.05, before: float = 3.0, least: int = 8
) -> Iterator[Finding]:
    """A layer of the chain behind which all that differs between samples lies along one direction.

    The participation ratio of the centred representations is ``limit`` or below, while that of the input (or of the
    first layer, where the input has none) was ``before`` or above: data of one direction is no fault of the network.
    A warning: of five networks in which one weight was made rank one all learned, since the first steps give it other
    directions. Taken over ``least`` samples and features or more.
    """
    chain = [layer for layer in profile.chain if min(layer.n, layer.d) >= least]
    previous = first = _input_ratio(profile)
    for layer in chain:
        ratio = layer.centred_participation_ratio
        first = first or ratio
        if 0 < ratio <= limit and first >= before:
            yield Finding(
                code="rank-collapse",
                layer=layer.name,
                severity="warning",
                message=f"{layer.name}: samples differ along a single direction behind it (centred participation "
                f"ratio {figure(ratio)}; {figure(previous)} in front of it, {figure(first)} at the start).",
                evidence={
                    "centred_participation_ratio": ratio,
                    "in_front": previous,
                    "start": first,
                    "gradual": previous < before,
                },
            )
            return
        previous = ratio if not math.isnan(ratio) else previous


def _input_ratio(profile: Profile) -> float:
    ratio = profile.inputs.centred_participation_ratio if profile.inputs is not None else math.nan
    return 0.0 if math.isnan(ratio) else ratio


@rule("token-collapse", source=Source(key="dong2021", locator="theorem 2.2"))
def token_collapse(profile: Profile, *, limit: float = 1e-3, error: float = 1e-10) -> Iterator[Finding]:
    """Positions of one sequence that become alike along the chain: their distinction falls below ``limit``.

    Attention averages positions; without the skip around it they become alike at a doubly exponential rate. With
    skips the distinction of positions stays near that of the embeddings. 1e-3 is a relative difference of 3 %;
    ``error``, 1e-10, is where samples are lost too. One block that runs many times, as in ALBERT, is a warning at most:
    what repeats one map lines up with what that map favours, and the first step changes every repeat. A single layer
    behind which positions are alike to the end, by a drop of a decade or more, is a warning too.
    """
    drifts = list(_alike(profile, "token_distinction", "token-collapse", limit, error, "positions"))
    yield from drifts or _alike_at_once(profile, limit)


def _alike_at_once(profile: Profile, limit: float, *, drop: float = 0.1) -> Iterator[Finding]:
    measured = [layer for layer in profile.layers if layer.token_distinction >= 0]
    chain = {layer.name for layer in profile.chain}
    cut = len(measured)
    while cut and measured[cut - 1].token_distinction < limit:
        cut -= 1
    before = measured[cut - 1].token_distinction if cut else math.nan
    first = next((layer for layer in measured[cut:] if layer.name in chain), None)
    if first is None or first.token_distinction > drop * before:
        return
    what = "nothing" if first.token_distinction == 0 else f"a share of {figure(first.token_distinction)}"
    yield Finding(
        code="token-collapse",
        layer=first.name,
        severity="warning",
        message=f"{first.name}: from here on positions are alike: {what} of their squared length tells them apart"
        f"{'' if math.isnan(before) else f', of what it reads {figure(before)}'}.",
        evidence={"metric": "token_distinction", "distinction": first.token_distinction, "before": before},
    )


@rule("constant-output", source=Source(key="leadline"))
def constant_output(profile: Profile, *, limit: float = 2.0) -> Iterator[Finding]:
    """The first layer whose output is the same for every sample, while what it reads is not.

    The same up to ``limit`` times the rounding of its dtype: distinction below (limit · ε)². Every later layer must
    give the same for every sample too: a gate or a branch at zero with another path around it lets the samples through,
    also where it is a head at zero that stops them.
    The last layer may start at zero on purpose (it gets a gradient, and the others from the second step on), which is a
    note. Where samples become alike by degrees, that is ``rank-collapse``, and this its end; what is left of them above
    1e-10, where some networks learn, is ``rank-collapse`` alone.
    """
    layer, read = _lost(profile, limit)
    if layer is not None and not _by_degrees(layer, read):
        yield _constant_finding(profile, layer, read)


@rule("rank-collapse", source=Source(key="leadline"))
def lost_in_rounding(profile: Profile, *, limit: float = 2.0) -> Iterator[Finding]:
    """Samples that become alike by degrees until what tells them apart is within ``limit`` times the dtype's rounding.

    In bfloat16 that is a distinction of 2e-4, above what ``rank_collapse`` speaks of: ReLU networks of torch's default
    weights reach it at 7 layers and train there as they do in float32.
    """
    layer, read = _lost(profile, limit)
    if layer is not None and read is not None and _by_degrees(layer, read):
        yield Finding(
            code="rank-collapse",
            layer=layer.name,
            severity="warning",
            message=f"{layer.name}: samples have become alike by degrees: what tells them apart, a share of "
            f"{figure(layer.distinction)} of the squared length behind it and {figure(read.distinction)} in front, is "
            f"as small as the rounding of {layer.dtype}.",
            evidence={"distinction": layer.distinction, "before": read.distinction, "gradual": True},
        )


def _by_degrees(layer: LayerProfile, read: LayerProfile | None, *, drop: float = 0.1, error: float = 1e-10) -> bool:
    """Whether more than ``drop`` of what tells the samples apart is left behind the layer, and more than ``error``."""
    return read is not None and layer.distinction > max(drop * read.distinction, error)


def _lost(profile: Profile, limit: float) -> tuple[LayerProfile | None, LayerProfile | None]:
    """The layer behind which samples are the same to ``limit`` times the rounding for good, and what it reads."""
    seen = [layer for layer in profile.layers if layer.n >= 2 and layer.rows == "samples"]
    cut = len(seen)
    while cut and _constant(seen[cut - 1], limit):
        cut -= 1
    if cut == len(seen):
        return None, None
    at = seen.index(_where_lost(seen[cut:], {layer.name for layer in seen[:cut]}))
    return seen[at], seen[at - 1] if at else profile.inputs


def _where_lost(alike: Sequence[LayerProfile], telling: set[str]) -> LayerProfile:
    """The first of the layers ``alike`` on the way back from the last, which ends at those that read a ``telling`` one.

    The first of all where the graph does not tell.
    """
    places = {layer.name: place for place, layer in enumerate(alike)}
    waiting, met, lost = {len(alike) - 1}, set[int](), list[int]()
    while waiting:
        place = waiting.pop()
        met.add(place)
        reads = alike[place].reads
        if telling.intersection(reads):
            lost.append(place)
        else:
            waiting |= {places[name] for name in reads if name in places} - met
    return alike[min(lost, default=0)]


def _constant(layer: LayerProfile, limit: float) -> bool:
    return layer.rms == 0 or layer.distinction < rounding(layer, times=limit)


def _constant_finding(profile: Profile, layer: LayerProfile, read: LayerProfile | None) -> Finding:
    zero = layer.rms == 0
    head = starts_at_zero(profile, layer)
    share = read.distinction if read is not None else math.nan
    before = "" if math.isnan(share) or share <= 0 else f"; a share of {figure(share)} of what it reads does"
    what = (
        "nothing in its output, which is 0, tells samples apart"
        if zero
        else "nothing in its output tells samples apart"
    )
    why = "; a head that starts at zero learns from the first step on" if head else before
    return Finding(
        code="constant-output",
        layer=layer.name,
        severity="note" if head else "error",
        message=f"{layer.name}: {what}{why}.",
        evidence={"rms": layer.rms, "distinction": layer.distinction, "before": share},
    )


def _alike(profile: Profile, metric: str, code: str, limit: float, error: float, what: str) -> Iterator[Finding]:
    chain = [layer for layer in profile.chain if not math.isnan(getattr(layer, metric))]
    if len(chain) < 2:
        return
    of = drift(trend(profile, metric, apart=2.0, floor=floor_of(metric, chain)))
    end = min(getattr(layer, metric) for layer in chain[-3:])
    # What the drift alone leaves: a single layer that ends everything is another finding.
    left = getattr(chain[0], metric) * 10 ** (of.decades if of.part else of.rate.estimate * (len(chain) - 1))
    layer = onset(of)
    if not (of.geometric and left < limit) or layer is None:
        return
    # Alike over several layers, and told apart again behind them by what comes around.
    several = sum(getattr(each, metric) < limit for each in chain) >= 3
    passed = getattr(chain[-1], metric) >= limit and several and goes_around(profile, [step.layer for step in of.steps])
    if not (end < limit or passed):
        return
    lowest = min(chain, key=lambda each: getattr(each, metric))
    if passed:
        end = getattr(lowest, metric)
    share = f"a share of {figure(end)} of the squared length" if end > 0 else "nothing"
    where = f"at {lowest.name}, and later layers tell them apart by what comes around these" if passed else ""
    severity: Severity = "error" if end < error and not passed and not repeats(chain) else "warning"
    rate = of.rate
    yield Finding(
        code=code,
        layer=layer.name,
        severity=severity,
        message=f"{layer.name}: from here on {what} become alike: what tells them apart falls by "
        f"{decades(abs(rate.estimate))} a {profile.unit} ({figure(abs(rate.high))} to "
        f"{figure(abs(rate.low))}), to {share} {where or f'after {count(of.length, profile.unit)}'}.",
        evidence={"metric": metric, "rate": rate.estimate, "low": rate.low, "high": rate.high, "end": end},
    )
