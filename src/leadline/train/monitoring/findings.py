"""Rules on the numbers of a step, and on how totals grow from one monitored step to the next."""

import math
from collections.abc import Iterator, Sequence

from leadline._core.diagnosis import Finding, Remedy
from leadline._core.rates import slope
from leadline.train.monitoring.reading import Reading

_SAME = 1e-4  # share of the rows' square that tells them apart, below which they are one to float16
_DEAD = 0.9
_FLAT = 0.9
_SPREAD = 1e6  # between gradients of layers: beyond what one rate of learning serves
_WINDOW = 8  # monitored steps that growth is fitted to
_SURE = 4.0  # standard errors that the rate of growth lies above zero
_GROWN = math.log(10.0)  # and what it must have grown by over the window, in nats
_RISEN = 10.0  # times the first monitored loss: no training that goes well is there
_END = math.log(3e38)  # float32


def findings(reading: Reading, history: Sequence[Reading]) -> Iterator[Finding]:
    """What the step shows, in order of the rules; ``history`` are the readings before it, oldest first."""
    yield from _nonfinite(reading)
    yield from _units(reading)
    yield from _alike(reading)
    yield from _explosion(reading)
    yield from _risen([*history, reading])
    for name in ("loss", "grad_norm"):
        yield from _divergence(name, [*history, reading])


def _nonfinite(reading: Reading) -> Iterator[Finding]:
    for metric, word in (("rms", "output"), ("grad_rms", "gradient of the output"), ("weight_grad_norm", "gradient")):
        rows = list(reading.layers.items())
        # The first in forward order for outputs; backward the first met from the loss is the last.
        for path, row in rows if metric == "rms" else reversed(rows):
            if metric in row and not math.isfinite(row[metric]):
                message = f"The {word} of {path or 'the model'} is {row[metric]} at step {reading.step}."
                yield _finding("nonfinite", path, "error", message, reading, value=row[metric], metric=metric)
                return
    for name, value in reading.totals.items():
        if math.isinf(value) or (name == "loss" and math.isnan(value)):
            message = f"{name} is {value} at step {reading.step}."
            yield _finding("nonfinite", "", "error", message, reading, value=value, metric=name)
            return


def _units(reading: Reading) -> Iterator[Finding]:
    for path, row in reading.layers.items():
        if (dead := row.get("dead_fraction", 0.0)) >= _DEAD:
            message = f"{dead:.0%} of the units of {path} give zero for every row at step {reading.step}."
            remedy = "Lower the rate of learning, or put a normalisation before the activation."
            yield _finding("dead-units", path, "warning", message, reading, remedy, dead_fraction=dead)
        if (flat := row.get("saturated_fraction", 0.0)) >= _FLAT:
            message = f"{flat:.0%} of the outputs of {path} are saturated at step {reading.step}."
            remedy = "Lower the rate of learning or the scale of the weights before it."
            yield _finding("saturation", path, "warning", message, reading, remedy, saturated_fraction=flat)


def _alike(reading: Reading) -> Iterator[Finding]:
    for path, row in reading.layers.items():
        if (share := row.get("distinction", 1.0)) < _SAME and row["rms"] > 0:
            message = f"Only {max(share, 0.0):.1e} of what {path} puts out tells rows apart at step {reading.step}."
            remedy = "See which layer begins it with `leadline.profile`, and `leadline.repair` at initialisation."
            yield _finding("rank-collapse", path, "warning", message, reading, remedy, distinction=share)
            break
    for path, row in reversed(list(reading.layers.items())):
        if (share := row.get("grad_distinction", 1.0)) < _SAME and row["grad_rms"] > 0:
            message = f"Rows meet {path} with the same gradient up to {max(share, 0.0):.1e} at step {reading.step}."
            remedy = "The gradient no longer depends on the input: normalise, or lower the rate of learning."
            yield _finding("aligned-gradients", path, "warning", message, reading, remedy, grad_distinction=share)
            break


def _explosion(reading: Reading) -> Iterator[Finding]:
    rows = [(row["grad_rms"], path) for path, row in reading.layers.items() if row.get("grad_rms", 0.0) > 0]
    if len(rows) < 2 or not all(math.isfinite(value) for value, _ in rows):
        return
    (first, early), (last, late) = rows[0], rows[-1]
    if first > _SPREAD * last:
        code, word, path = "gradient-explosion", "larger", early
    elif last > _SPREAD * first:
        code, word, path = "gradient-vanishing", "smaller", early
    else:
        return
    ratio = max(first / last, last / first)
    message = f"The gradient is {ratio:.1e} times {word} at {early} than at {late} at step {reading.step}."
    remedy = "Normalise, shape the activation or scale the branches: `leadline.repair` tries them."
    yield _finding(code, path, "error", message, reading, remedy, first=first, last=last, limit=_SPREAD)


def _risen(readings: Sequence[Reading]) -> Iterator[Finding]:
    losses = [(r.totals["loss"], r.step) for r in readings if "loss" in r.totals]
    if not losses or not 0 < losses[0][0] < math.inf or not _RISEN * losses[0][0] < losses[-1][0] < math.inf:
        return
    (first, start), (last, step) = losses[0], losses[-1]
    message = f"The loss is {last:.3g} at step {step}, {last / first:.3g} times that of step {start}."
    remedy = "Lower the rate of learning, or clip gradients."
    yield _finding(
        "overflow-risk", "", "error", message, readings[-1], remedy, metric="risen loss", first=first, last=last
    )


def _divergence(name: str, readings: Sequence[Reading]) -> Iterator[Finding]:
    # A forecast that numbers will leave the dtype, hence the code of that.
    recent = readings[-_WINDOW:]
    values = [r.totals.get(name, math.nan) for r in recent]
    if len(recent) < _WINDOW or not all(math.isfinite(v) and v > 0 for v in values):
        return
    steps, logs = [float(r.step) for r in recent], [math.log(v) for v in values]
    rate, error = slope(steps, logs)
    grown = rate * (steps[-1] - steps[0])
    if rate <= _SURE * error or grown < _GROWN:
        return
    left = (_END - logs[-1]) / rate
    message = (
        f"{name} grew {math.exp(grown):.3g}-fold over {steps[-1] - steps[0]:.0f} steps, {rate:.2g} nats a step; "
        f"at this rate it leaves float32 in about {left:.0f} steps."
    )
    remedy = "Lower the rate of learning, or clip gradients."
    yield _finding(
        "overflow-risk", "", "warning", message, readings[-1], remedy,
        metric=name, nats_per_step=rate, error=error, steps_left=left,
    )  # fmt: skip


def _finding(
    code: str, layer: str, severity: str, message: str, reading: Reading, remedy: str = "", **evidence: float | str
) -> Finding:
    return Finding(
        code=code,
        layer=layer,
        severity="error" if severity == "error" else "warning",
        message=message,
        evidence={"step": reading.step, **evidence},
        remedies=(Remedy(text=remedy),) if remedy else (),
    )
