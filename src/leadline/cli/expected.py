"""What theory says of a simulation, where it speaks: the laws of deep linear networks, and rates of any activation."""

from collections.abc import Iterator
from typing import Any

from leadline import theory
from leadline._core.errors import AssumptionError
from leadline._core.simulation import Expectation, Simulation


def expectations(found: Simulation) -> tuple[Expectation, ...]:
    """The laws whose assumptions the design meets.

    Args:
        found: A simulation; its batch counts as linearly independent samples.
    """
    design = found.design
    wanted = [*_forward(design, found.batch), *(_backward(design, found.batch) if found.loss else ())]
    return tuple(one for one in wanted if one.quantity in found.values)


def _forward(design: Any, batch: int) -> Iterator[Expectation]:
    if _settles(design, batch):
        rank = theory.batch_norm_fixed_point(design["activation"], n=batch).participation_ratio
        words = "fixed point behind batch normalisation, at infinite width"
        yield Expectation(quantity="participation_ratio", kind="level", value=rank, words=words)
    if design["norm"] != "batch" or design["activation"] != "identity" or design["eps"] or not design["alpha"]:
        return
    n, d, alpha, weights = batch - design["centred"], design["width"], design["alpha"], design["weights"]
    free = design["skip"] is None and not design["gain_exponent"] and not design["centred"]
    if weights == "haar" and n >= d >= 2 and free:
        rate = theory.isometry_gap_rate(d, alpha=alpha)
        yield Expectation(quantity="isometry_gap", kind="rate", value=rate, words="sharp rate near isometry")
    if 2 <= n <= d and free:
        level = theory.orthogonality_plateau(n=n, d=d, alpha=alpha, weights=weights)
        yield Expectation(
            quantity="orthogonality_gap",
            kind="level",
            value=level,
            words="Wishart law of the Gram matrix, its root mean square",
        )
    if weights == "gaussian" and alpha == 1 and n >= 1:
        level = theory.batch_norm_rank(n=n, d=d)
        yield Expectation(quantity="participation_ratio", kind="level", value=level, words="stationary spectrum")


def _settles(design: Any, batch: int) -> bool:
    """Whether the batch has a fixed point that fluctuations of finite width leave alone."""
    standard = design["norm"] == "batch" and design["centred"] and design["alpha"] == 1 and not design["eps"]
    plain = design["skip"] is None and not design["gain_exponent"] and design["order"] == "linear-norm-activation"
    known = design["activation"] != "identity" and design["activation"] in theory.ACTIVATIONS
    return standard and plain and known and batch >= 4 and 4 * batch**2 <= design["width"]


def _backward(design: Any, batch: int) -> Iterator[Expectation]:
    try:
        rate, words = _gradient_rate(design, batch)
    except AssumptionError:
        return
    for quantity in ("log_grad_norm", "log_weight_grad_norm"):
        yield Expectation(quantity=quantity, kind="rate", value=-rate, words=words)


def _gradient_rate(design: Any, batch: int) -> tuple[float, str]:
    """Growth of the gradient towards the input, and the law.

    Raises:
        AssumptionError: Where no law speaks.
    """
    phi, d, weights = design["activation"], design["width"], design["weights"]
    if design["skip"] is not None or design["gain_exponent"] or design["eps"] or phi not in theory.ACTIVATIONS:
        raise AssumptionError("No law speaks of this design.")
    if design["norm"] == "none" and phi in ("identity", "relu"):
        rates = theory.plain_rates(phi, 1.0, weight_std=design["gain"])
        return rates.gradient, "mean field, at infinite width"
    if design["norm"] != "batch" or design["order"] == "linear-activation-norm":
        raise AssumptionError("No law speaks of this design.")
    if phi == "identity":
        n = batch - design["centred"]
        rate = theory.fractional_gradient_rate(n=n, d=d, alpha=design["alpha"], weights=weights)
        return rate, "law of batch normalisation at this batch and width"
    if not design["centred"] or design["alpha"] != 1:
        raise AssumptionError("No law speaks of this design.")
    return theory.batch_norm_gradient_rate(phi, n=batch, d=d), "batch normalisation at this batch and width"
