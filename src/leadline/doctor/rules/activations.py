"""Activations that grow or shrink geometrically with depth, or at one layer, or by residual branches."""

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from statistics import median

from leadline._core.diagnosis import Finding, Severity
from leadline._core.profile import LayerProfile, Profile, own_name
from leadline._core.sources import Source
from leadline._core.wording import count, decades, factor, figure
from leadline.doctor.layers import is_norm, multiplies
from leadline.doctor.registry import rule
from leadline.doctor.trainable_mechanisms import distinct_signal
from leadline.doctor.trends import Step, Trend, chain_steps, drift, onset, trend
from leadline.doctor.ways import BESIDE, goes_around


@rule("activation-growth", source=Source(key="he2015", locator="section 2.2"))
def activation_growth(
    profile: Profile, *, limit: float = 2.0, error: float = 3.5, step: float = 1.5, step_error: float = 2.5
) -> Iterator[Finding]:
    """Outputs whose root mean square grows by more than ``limit`` decades over the depth, at a rate beyond chance.

    2 decades is a factor of 100: the stream of a healthy pre-norm network grows like the root of the number of blocks
    and reaches that after 10,000 of them. Beyond ``error``, 3.5 decades, the loss starts in the thousands; of 240
    networks that were trained, none beyond 3.3 decades learned (``ways.BESIDE`` more where a shorter way goes around).
    One layer that multiplies by ``step`` decades (a factor of 30) more than its like is named by itself, and from
    ``step_error`` on, a factor of 300, that is an error; stem and head are held against the layer in front. A bias that
    outweighs a faded signal is no growth.
    """
    of = trend(profile, "rms", apart=step)
    yield from _geometric(profile, drift(of), "activation-growth", limit, error)
    yield from _by_one_layer(profile, of, "activation-growth", step, step_error)


@rule("activation-decay", source=Source(key="he2015", locator="section 2.2"))
def activation_decay(
    profile: Profile, *, limit: float = 2.0, error: float = 6.0, step: float = 1.5, step_error: float = 2.5
) -> Iterator[Finding]:
    """Outputs whose root mean square shrinks by more than ``limit`` decades over the depth, at a rate beyond chance.

    After 2 decades biases and the rounding of sums begin to outweigh the signal. ``error``, 6 decades, leaves of it
    less than float32 adds to a number near 1; where a shorter way goes around these layers it is a warning. One layer
    that lets less pass by ``step`` decades than its like is named by itself, as an error from ``step_error`` on; layers
    whose output is exactly constant are ``constant-output``.
    """
    of = trend(profile, "rms", apart=step)
    yield from _geometric(profile, drift(of), "activation-decay", limit, error)
    yield from _by_one_layer(profile, of, "activation-decay", step, step_error)


@rule("activation-growth", source=Source(key="zhang2019", locator="section 2"))
def branch_growth(profile: Profile, *, limit: float = 1.0, times: float = 30.0) -> Iterator[Finding]:
    """Residual branches whose output grows with depth by more than ``limit`` decades, at a rate beyond chance.

    In a residual network every block should add its share: behind a norm all branches start equally large, and their
    share of the stream falls like 1/depth. Branches ten times as large at the end as at the start leave the early
    blocks without a say in the output, even where the stream as a whole stays within its limit. One branch ``times``
    as large as both beside it and as most is named by itself.
    """
    of = drift(trend(profile, "branch_rms"))
    layer = onset(of)
    if not (of.geometric and of.decades > limit) or layer is None:
        yield from _large_branches(profile, times)
        return
    yield Finding(
        code="activation-growth",
        layer=layer.name,
        severity="warning",
        message=f"{layer.name}: from here on the residual branches grow by {decades(of.rate.estimate)} a block "
        f"({figure(of.rate.low)} to {figure(of.rate.high)}), {decades(of.decades)} over "
        f"{count(of.length, 'block')}.",
        evidence=_evidence(of),
    )


def _large_branches(profile: Profile, limit: float) -> Iterator[Finding]:
    layers = [layer for layer in profile.chain if 0 <= layer.branch_rms < math.inf]
    sizes = [layer.branch_rms for layer in layers]
    for i, (layer, size) in enumerate(zip(layers, sizes, strict=True)):
        usual = max([median(sizes), *sizes[max(i - 1, 0) : i], *sizes[i + 1 : i + 2]])
        if len(layers) >= 3 and 0 < limit * usual < size:
            yield Finding(
                code="activation-growth",
                layer=layer.name,
                severity="warning",
                message=f"{layer.name}: its branch has a root mean square of {figure(size)}, those beside it and most "
                f"others at most {figure(usual)}.",
                evidence={"metric": "branch_rms", "branch": size, "usual": usual},
            )


def _geometric(profile: Profile, of: Trend, code: str, limit: float, error: float) -> Iterator[Finding]:
    layer, over = onset(of), of.decades if code == "activation-growth" else -of.decades
    if not (of.geometric and over > limit) or layer is None:
        return
    grows = code == "activation-growth"
    passed = goes_around(profile, [step.layer for step in of.steps])
    beyond = error if not passed else error + BESIDE if grows else math.inf
    severity: Severity = "error" if over > beyond else "warning"
    low, high = sorted((abs(of.rate.low), abs(of.rate.high)))
    verb = "grow" if grows else "shrink"
    yield Finding(
        code=code,
        layer=layer.name,
        severity=severity,
        message=f"{layer.name}: from here on activations {verb} by {decades(abs(of.rate.estimate))} a "
        f"{profile.unit} ({figure(low)} to {figure(high)}), {decades(over)} over "
        f"{count(of.length, profile.unit)}{'; a shorter way goes around them' if passed else ''}.",
        evidence=_evidence(of),
    )


def _evidence(of: Trend) -> dict:
    rate = of.rate
    return {"metric": of.metric, "rate": rate.estimate, "low": rate.low, "high": rate.high, "decades": of.decades}


def _by_one_layer(profile: Profile, of: Trend, code: str, limit: float, error: float) -> Iterator[Finding]:
    grows = code == "activation-growth"
    for step in (*_around(profile), *(_behind_norm(profile, step) for step in of.apart)):
        if limit < abs(step.excess) < math.inf and (step.excess > 0) == grows and not _is_offset(profile, step, limit):
            yield _jump(step, code, error)


def _is_offset(profile: Profile, step: Step, limit: float) -> bool:
    """Whether a faded signal stays as faint, and what is larger is the same for all samples, as a bias is.

    An offset larger than anything in front of the layer is none of these.
    """
    if step.excess < 0 or not distinct_signal(step.layer) - distinct_signal(step.before) <= limit:
        return False
    in_front = [layer.rms for layer in (profile.inputs, *profile.layers[: step.layer.depth]) if layer is not None]
    return step.layer.rms <= max(in_front, default=0.0)


def _behind_norm(profile: Profile, step: Step) -> Step:
    """The step, or where a norm outside the chain set the scale anew on the way, the one from that norm."""
    between = profile.layers[step.before.depth + 1 : step.layer.depth]
    norm = next((layer for layer in reversed(between) if "Norm" in layer.kind and layer.rms > 0), None)
    if norm is None or not 0 < step.layer.rms < math.inf:
        return step
    return replace(step, before=norm, decades=math.log10(step.layer.rms / norm.rms), usual=0.0)


def _around(profile: Profile) -> tuple[Step, ...]:
    """The steps in front of the chain and behind it: from the input into the stem, and into the head.

    An embedding reads no numbers, and a norm sets them anew: neither makes a step, nor does a map right in front of a
    norm. A small head is a usual start.
    """
    if not profile.chain:
        return ()
    first, last = profile.chain[0], profile.chain[-1].depth
    ordered = [profile.inputs, *profile.layers] if profile.inputs is not None else list(profile.layers)
    names = Counter(map(_like, ordered))
    steps = [
        replace(step, usual=0.0)
        for step in chain_steps(profile, ordered, "rms")
        if not first.depth < step.layer.depth <= last and _reads(step)
        if step.layer is first or names[_like(step.layer)] == 1
    ]
    normed = {a.name for a, b in pairwise(profile.layers) if is_norm(profile, b)}
    return tuple(
        step for step in steps if step.layer.name not in normed and (step.decades > 0 or step.layer is not ordered[-1])
    )


def _like(layer: LayerProfile) -> tuple[str, str]:
    """What layers that repeat share: in an ``nn.Sequential`` stem and blocks have numbers for names, all of them."""
    return own_name(layer.name), layer.kind


def _reads(step: Step) -> bool:
    return multiplies(step.layer) and "Embedding" not in step.before.kind


def _jump(step: Step, code: str, error: float) -> Finding:
    layer = step.layer
    verb = "larger" if step.excess > 0 else "smaller"
    return Finding(
        code=code,
        layer=layer.name,
        severity="error" if abs(step.excess) >= error else "warning",
        message=f"{layer.name}: makes its input {factor(abs(step.excess))} times {verb}{step.beyond} "
        f"(root mean square {figure(step.before.rms)} in front, {figure(layer.rms)} behind).",
        evidence={"metric": "rms", "step": step.decades, "in_front": step.before.rms, "behind": layer.rms},
    )
