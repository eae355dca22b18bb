"""What a simulation says, in words: its design in a line, and a row for each quantity."""

import math

import numpy as np

from leadline._core.simulation import Expectation, Simulation
from leadline._core.wording import count, number

# Quantities whose growth means something; the others are levels between fixed ends.
GROWING = ("rms", "log_grad_norm", "log_weight_grad_norm")
SHOWN = (
    "rms", "isometry_gap", "orthogonality_gap", "participation_ratio", "mean_square_cosine", "distinction",
    "log_grad_norm", "log_weight_grad_norm",
)  # fmt: skip


def headline(found: Simulation) -> str:
    """The design and what went through it, in a line."""
    design = found.design
    parts = [
        f"{design['depth']:,} layers of width {design['width']:,}",
        f"{design['weights']} weights",
        "no normalisation" if design["norm"] == "none" else f"{'centred ' * design['centred']}{design['norm']} norm",
        *([f"alpha {design['alpha']:g}"] if design["norm"] == "batch" and design["alpha"] != 1 else []),
        *([f"skip {design['skip']:g}"] if design["skip"] is not None else []),
        design["activation"],
    ]
    return f"{', '.join(parts)}; {count(found.batch, 'sample')}, {count(found.draws, 'draw')}"


def summary(found: Simulation) -> list[dict[str, str]]:
    """Each quantity in words: means over draws, its rate where that means something, and theory."""
    expected = {one.quantity: one for one in found.expected}
    rows = []
    for name in (name for name in SHOWN if name in found.values):
        (first, later, last), theory = _ends(found, name), _theory(expected.get(name))
        rows.append(
            {
                "quantity": name,
                "first": number(first),
                "later half": number(later),
                "last": number(last),
                "per layer": _rate(found, name) if name in GROWING or theory.endswith("a layer") else "",
                "theory": theory,
            }
        )
    return rows


def _ends(found: Simulation, name: str) -> tuple[float, float, float]:
    """Means over draws at the first layer, the later half and the last."""
    values = found.array(name)
    later = values[:, values.shape[1] // 2 :]
    with np.errstate(invalid="ignore"):
        return float(values[:, 0].mean()), float(later.mean()), float(values[:, -1].mean())


def _rate(found: Simulation, name: str) -> str:
    if found.depth < 2:
        return ""
    rate = found.rate(name)
    if math.isnan(rate.estimate):
        return ""
    half = (rate.high - rate.low) / 2
    return _signed(rate.estimate) + (f" ± {half:.4f}" if math.isfinite(half) else "")


def _theory(expected: Expectation | None) -> str:
    if expected is None:
        return ""
    return f"{_signed(expected.value)} a layer" if expected.kind == "rate" else f"{number(expected.value)} later"


def _signed(rate: float) -> str:
    """Without the sign of a zero."""
    return f"{round(rate, 4) + 0.0:+.4f}".replace("-", "−") if round(rate, 4) else "0"
