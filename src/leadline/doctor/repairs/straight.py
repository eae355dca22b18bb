"""Where on its axis an activation is to be used, so that a deep stack of it keeps signals and gradients."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from leadline.doctor.repairs.wiring import Elementwise

_NODES = torch.linspace(-6, 6, 401, dtype=torch.float64)
_WEIGHTS = torch.exp(-_NODES.square() / 2) / torch.exp(-_NODES.square() / 2).sum()
_SPREADS = torch.logspace(math.log10(4.0), math.log10(0.02), 36, dtype=torch.float64)
_SHIFTS = torch.linspace(-3, 3, 13, dtype=torch.float64)
_NOT_AWAY = 1e-3  # a straight line has 0, up to what the nodes leave out
_FAR_FROM_ONE = 0.05  # price of a squared log of the spread: near ties, pre-activations of unit variance


@dataclass(frozen=True, kw_only=True)
class Point:
    r"""Pre-activations $b + s z$, $z \sim N(0, 1)$, and what the activation makes of them.

    Attributes:
        shift: $b$.
        spread: $s$.
        excess: $\chi - 1$ with $\chi = s^2 \mathrm{E}\,\varphi'^2 / \mathrm{Var}\,\varphi$: growth of the squared
            gradient a layer; 0 on a straight line.
        runaway: $\kappa - 1$: a sample that is longer than the others by a factor $f$ leaves the layer longer by
            $f^\kappa$, with $\kappa = s\,\mathrm{E}\,z\varphi'(\varphi - \mathrm{E}\varphi) / \mathrm{Var}\,\varphi$.
        mean_share: Squared mean over variance of the output: what all samples have in common.
    """

    shift: float
    spread: float
    excess: float
    runaway: float
    mean_share: float


def operating_point(
    phi: Elementwise, *, depth: int, budget: float, shifts: bool = True, unit_rms: bool = False
) -> Point:
    r"""Of the points with $\chi^\text{depth} \le e^B$ and $\kappa \le 1$, that of the least mean beside the spread.

    Where there is none, the straightest. With $\kappa \le 1$ lengths of samples return to that of the batch, as in
    ``leadline.shape``; at 0 SiLU and GELU have $\kappa > 1$, and long samples outgrow the others. The mean is common
    to all samples: biases subtract it at the start, but a step on the weights behind moves all outputs along with it.

    Args:
        phi: The activation.
        depth: Layers that it is used in, one behind the other.
        budget: $B$, nats of the squared gradient over all of them.
        shifts: Whether pre-activations can be shifted.
        unit_rms: Whether they stay at a root mean square of 1, as behind a norm that only divides: $b^2 + s^2 = 1$.
    """
    points = [p for p in _points(phi, shifts=shifts, unit_rms=unit_rms) if math.isfinite(p.excess)]
    if not points:
        return Point(shift=0.0, spread=1.0, excess=math.nan, runaway=math.nan, mean_share=math.nan)
    most = math.expm1(budget / depth)
    straight = [p for p in points if p.excess <= most and p.runaway <= _NOT_AWAY]
    if not straight:
        return min(points, key=lambda p: max(p.excess, p.runaway))
    return min(straight, key=lambda p: math.log1p(p.mean_share) + _FAR_FROM_ONE * math.log(p.spread) ** 2)


def _points(phi: Elementwise, *, shifts: bool, unit_rms: bool) -> list[Point]:
    found: list[Point] = []
    for spread in _SPREADS.tolist():
        if unit_rms and spread > 1:
            continue
        at = math.sqrt(1 - spread**2) if unit_rms else 0.0
        shift = (
            torch.tensor([at, -at], dtype=torch.float64) if unit_rms else _SHIFTS * spread if shifts else _SHIFTS[6:7]
        )
        found += _measured(phi, shift, spread)
    return found


def _measured(phi: Elementwise, shift: Tensor, spread: float) -> list[Point]:
    with torch.enable_grad():
        z = (shift[:, None] + spread * _NODES).requires_grad_()
        value = phi(z)
        slope = torch.autograd.grad(value.sum(), z)[0] if value.requires_grad else torch.zeros_like(z)
    value = value.detach()
    mean = value @ _WEIGHTS
    variance = (value - mean[:, None]).square() @ _WEIGHTS
    excess = spread**2 * (slope.square() @ _WEIGHTS) / variance - 1
    runaway = spread * ((value - mean[:, None]) * slope * _NODES) @ _WEIGHTS / variance - 1
    rows: Sequence[tuple[float, ...]] = torch.stack([shift, excess, runaway, mean.square() / variance], dim=1).tolist()
    return [
        Point(shift=b, spread=spread, excess=e, runaway=r, mean_share=m)
        for (b, e, r, m), kept in zip(rows, (variance > 1e-24 * (1 + mean.square())).tolist(), strict=True)
        if kept
    ]
