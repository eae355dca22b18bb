"""How coordinates depend on the size of the network: slopes with intervals, each called by what it means."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from leadline._core.rates import Rate, rate_over_draws

Over = Literal["width", "depth"]

# In the standard, the tangent-kernel and the maximal-update parametrisation the exponents of wide networks are
# multiples of one half: a slope nearer to 0 than to 1/2 is taken for 0.
_EXPONENT = 0.5


@dataclass(frozen=True, kw_only=True)
class Coordinate:
    """One number of the check.

    Attributes:
        module: Dotted name of the module, ``"output"`` for the whole model.
        size: Width or depth of the network.
        step: Updates made before it was measured.
        seed: Seed of the network's weights.
        metric: ``"mean_abs"``, the mean absolute entry of the module's output, or ``"mean_abs_change"``, that of its
            difference from step 0 on the same batch.
        value: The number.
    """

    module: str
    size: int
    step: int
    seed: int
    metric: str
    value: float


@dataclass(frozen=True, kw_only=True)
class Trend:
    """How a module's coordinates depend on the size.

    Attributes:
        module: Dotted name of the module, ``"output"`` for the whole model.
        metric: ``"mean_abs"`` (at step 0) or ``"mean_abs_change"`` (at the last step).
        slope: Slope of the natural logarithm of the metric over that of the size, with a 95 % interval over the seeds.
        verdict: ``"grows"`` or ``"shrinks"`` where the slope is nearer to 1/2 or -1/2 than to 0 and its interval
            does not contain 0; ``"stable"`` where it is nearer to 0 and its interval contains neither;
            ``"undecided"`` otherwise; ``"zero"`` where the metric is zero.
        message: The trend in a sentence, with its numbers.
    """

    module: str
    metric: str
    slope: Rate
    verdict: str
    message: str


def trends_of(
    rows: list[Coordinate], *, sizes: tuple[int, ...], steps: int, seeds: int, over: Over
) -> tuple[Trend, ...]:
    """Two trends for each module that all sizes have: of the activations at step 0, of the change at the last step."""
    values = {(row.module, row.size, row.seed, row.step, row.metric): row.value for row in rows}
    modules = [
        m for m in dict.fromkeys(row.module for row in rows) if all((m, s, 0, 0, "mean_abs") in values for s in sizes)
    ]
    return tuple(
        _trend(
            np.array([[values[module, size, seed, step, metric] for size in sizes] for seed in range(seeds)]),
            module=module,
            metric=metric,
            sizes=sizes,
            over=over,
        )
        for module in modules
        for metric, step in (("mean_abs", 0), ("mean_abs_change", steps))
    )


def _trend(values: np.ndarray, *, module: str, metric: str, sizes: tuple[int, ...], over: Over) -> Trend:
    """Of values ``(seed, size)``: each seed's least-squares slope, their mean and its interval."""
    what = "starts" if metric == "mean_abs" else "moves"
    if not np.isfinite(values).all():
        first = sizes[int(np.argmin(np.isfinite(values).all(axis=0)))]
        slope, verdict, said = rate_over_draws([]), "grows", f"is not finite at {over} {first}"
    elif not (values > 0).all():
        slope, verdict, said = rate_over_draws([]), "zero", f"{what} at zero"
    else:
        x = np.log(np.array(sizes, dtype=np.float64))
        x -= x.mean()
        slope = rate_over_draws(list((np.log(values) @ x) / (x @ x)))
        verdict = _word(slope)
        shown, low, high = (round(s, 2) + 0.0 for s in (slope.estimate, slope.low, slope.high))
        said = f"{what} as {over}^{shown:.2f} ({low:.2f} to {high:.2f}): {verdict}"
    return Trend(module=module, metric=metric, slope=slope, verdict=verdict, message=f"{module} {said}")


def _word(slope: Rate) -> str:
    if abs(slope.estimate) <= _EXPONENT / 2:
        return "stable" if slope.excludes(_EXPONENT) and slope.excludes(-_EXPONENT) else "undecided"
    if not slope.excludes(0.0):
        return "undecided"
    return "grows" if slope.estimate > 0 else "shrinks"


def verdict_of(trends: tuple[Trend, ...], over: Over) -> str:
    """Growth of anything; otherwise what the changes do."""
    if any(trend.verdict == "grows" for trend in trends):
        return f"grows with {over}"
    changes = {trend.verdict for trend in trends if trend.metric == "mean_abs_change"}
    if "shrinks" in changes:
        return f"shrinks with {over}"
    return "stable" if "stable" in changes and "undecided" not in changes else "undecided"
