"""Gradients that grow or shrink geometrically towards the input, or are the same for every sample."""

import math
from collections.abc import Iterator
from dataclasses import replace

from leadline._core.diagnosis import Finding, Severity
from leadline._core.profile import Profile
from leadline._core.sources import Source
from leadline._core.wording import count, decades, factor, figure
from leadline.doctor.design import Design, recognise
from leadline.doctor.layers import multiplies, repeats, starts_at_zero
from leadline.doctor.ranges import dtype_range
from leadline.doctor.registry import rule
from leadline.doctor.trends import Step, Trend, drift, log10, onset, trend
from leadline.doctor.ways import BESIDE, goes_around, shortest_way


@rule("gradient-explosion", source=Source(key="schoenholz2017", locator="eq. 15"))
def gradient_explosion(
    profile: Profile, *, limit: float = 3.0, error: float = 4.0, step: float = 1.5
) -> Iterator[Finding]:
    """Gradients that grow towards the input by more than ``limit`` decades over the depth, at a rate beyond chance.

    The rate is the mean step of the gradient's norm along the chain, and its interval must exclude 0; what it makes
    over the depth is held against the limit. 3 decades: no one rate of plain gradient descent then suits both ends.
    Beyond ``error``, 4 decades, Adam's common step no longer helps either: a move of the early layers is multiplied on
    the way out; of 240 networks that were trained with it, none beyond 3.3 decades learned (``ways.BESIDE`` more where
    a shorter way goes around). A single layer whose backward multiplies the gradient by more than ``step`` decades
    beyond the usual is named by itself: 1.5 decades is a factor of 30.
    """
    of = trend(profile, "grad_norm", apart=step)
    source = _explosion_source(recognise(profile))
    for finding in _geometric(profile, drift(of), "gradient-explosion", limit, error):
        yield replace(finding, source=source)
    yield from _by_one_layer(profile, of, "gradient-explosion", step)


def _explosion_source(design: Design | None) -> Source | None:
    """Where the law of the explosion stands: behind batch normalisation, on a stream without norm, in a plain chain."""
    if design is None:
        return None
    if design.norm == "batch" and not design.residual:
        return Source(key="yang2019", locator="theorem 3.9")
    if design.norm == "none" and design.residual:
        return Source(key="zhang2019", locator="section 2")
    return None


@rule("gradient-vanishing", source=Source(key="glorot2010", locator="section 4"))
def gradient_vanishing(
    profile: Profile, *, limit: float = 3.0, error: float = 6.0, step: float = 1.5
) -> Iterator[Finding]:
    """Gradients that shrink towards the input by more than ``limit`` decades over the depth, at a rate beyond chance.

    Judged as explosion is, with the sign turned. Beyond ``error``, 6 decades, the first layers stand still and Adam's ε
    of 1e-8 outweighs their gradient; of 240 networks trained with it, none beyond 5.5 decades learned. Where a shorter
    way goes around these layers, along which gradients fall by less, that one learns: a warning. A single layer whose
    backward lets less than the usual pass by ``step`` decades, or nothing at all, is named by itself.
    """
    of = trend(profile, "grad_norm", apart=step)
    yield from _geometric(profile, drift(of), "gradient-vanishing", limit, error)
    yield from _by_one_layer(profile, of, "gradient-vanishing", step)


@rule("aligned-gradients", source=Source(key="bjorck2018", locator="section 3.3"))
def aligned_gradients(profile: Profile, *, limit: float = 0.95, least: int = 8) -> Iterator[Finding]:
    """A layer where every sample asks for nearly the same change: mean cosine of their gradients above ``limit``.

    Samples of different targets pull in different directions, so at initialisation the mean cosine is near 0; when it
    is near 1 the batch acts as one sample, and the step only moves the mean of the output. Above .95 all but 5 % of the
    squared gradient is common. Gradients of a single feature have cosines ±1 by themselves and are left out, as are
    fewer than ``least`` samples.
    """
    for layer in reversed(profile.layers):
        if layer.grad_mean_cosine > limit and layer.n >= least and layer.d >= 2:
            cosine = layer.grad_mean_cosine
            yield Finding(
                code="aligned-gradients",
                layer=layer.name,
                severity="warning",
                message=f"{layer.name}: the gradients of different samples have a mean cosine of {figure(cosine)}: "
                "the batch acts as one sample.",
                evidence={"grad_mean_cosine": cosine, "n": layer.n},
            )
            return


def _geometric(profile: Profile, of: Trend, code: str, limit: float, error: float) -> Iterator[Finding]:
    over = of.decades if code == "gradient-vanishing" else -of.decades
    if not (of.geometric and over > limit):
        return
    layer = onset(of, backward=True)
    if layer is None:
        return
    grows = code == "gradient-explosion"
    rate = of.rate.estimate
    verb = "grow" if grows else "shrink"
    passed = goes_around(profile, [step.layer for step in of.steps])
    beyond = error if not passed else error + BESIDE if grows else _beside(profile, error)
    around = "; a shorter way goes around them" if passed else ""
    severity: Severity = "error" if over > beyond and not repeats(profile.chain) else "warning"
    yield Finding(
        code=code,
        layer=layer.name,
        severity=severity,
        message=f"{layer.name}: from here towards the input gradients {verb} by {decades(abs(rate))} a "
        f"{profile.unit} ({_interval(of)}), {decades(over)} over {count(of.length, profile.unit)}{around}.",
        evidence={"metric": "grad_norm", "rate": rate, "low": of.rate.low, "high": of.rate.high, "decades": over},
    )


def _beside(profile: Profile, error: float) -> float:
    """Decades that gradients may shrink by beside a shorter way: any, where along that they shrink by less."""
    way = shortest_way(profile)
    norms = [log10(layer.grad_norm) for layer in profile.chain if layer.name in way.names]
    return math.inf if not norms or norms[-1] - norms[0] < error else error


def _interval(of: Trend) -> str:
    low, high = sorted((abs(of.rate.low), abs(of.rate.high)))
    return f"{figure(low)} to {figure(high)}"


def _by_one_layer(profile: Profile, of: Trend, code: str, limit: float) -> Iterator[Finding]:
    grows = code == "gradient-explosion"
    # Where a layer in front has a gradient, it came by another path than the step that lets none pass.
    reached = next((step.before.depth for step in of.steps if step.before.grad_norm > 0), math.inf)
    for step in reversed(of.apart):
        if abs(step.excess) <= limit or (step.excess < 0) != grows or starts_at_zero(profile, step.layer):
            continue
        cuts = not grows and step.before.depth < reached and not _shrunk(step)
        if (math.isfinite(step.excess) and multiplies(step.layer)) or cuts:
            yield _jump(step, code, -step.excess)


def _shrunk(step: Step) -> bool:
    """Whether the gradient that reaches the step is about to fall below the dtype's smallest number by itself."""
    return step.layer.grad_rms < 1e3 * dtype_range(step.layer.dtype).smallest_normal


def _jump(step: Step, code: str, excess: float) -> Finding:
    layer = step.layer
    if step.before.grad_norm == 0:
        message = (
            f"{layer.name}: no gradient passes it; its norm is {figure(layer.grad_norm)} behind it and 0 in front."
        )
    else:
        verb = "larger" if excess > 0 else "smaller"
        message = (
            f"{layer.name}: its backward pass makes the gradient {factor(abs(excess))} times {verb}{step.beyond} "
            f"(norm {figure(layer.grad_norm)} behind it, {figure(step.before.grad_norm)} in front)."
        )
    return Finding(
        code=code,
        layer=layer.name,
        severity="error" if step.before.grad_norm == 0 else "warning",
        message=message,
        evidence={
            "metric": "grad_norm",
            "step": -excess,
            "behind": layer.grad_norm,
            "in_front": step.before.grad_norm,
        },
    )
