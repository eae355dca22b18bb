"""How large a step of descent a model stands: where its loss comes back to where it was."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from leadline._core.names import check_choice
from leadline.metrics._line import Landscape, landscape

DIRECTIONS = ("gradient", "sign")
# Steps that are looked at: a factor of two apart.
_SMALLEST, _DOUBLINGS, _HALVINGS = 1e-10, 60, 4
# Share of the parameters' length that finite differences move by.
_NEARBY = 1e-3


@dataclass(frozen=True, kw_only=True)
class LargestStep:
    """The largest step along a direction, by the loss itself and by its curvature.

    Attributes:
        direction: ``"gradient"``: a step of plain descent; ``"sign"``: of its sign, as Adam's first one is.
        step: The largest step that does not raise the loss: the first at which it does, less a sixteenth of a factor
            of two; ``inf`` where none of up to 1e8 does, 0 where even the smallest does.
        quadratic: The same of the parabola at the start; ``inf`` where that does not turn upwards.
        curvature: Of the loss along the direction, whose length counts.
        slope: Descent of the loss along it.
    """

    direction: str
    step: float
    quadratic: float
    curvature: float
    slope: float


def largest_step(
    model: nn.Module,
    inputs: Any,
    targets: Any,
    *,
    direction: str = "gradient",
    loss: Callable[[Any, Any], Tensor] | None = None,
) -> LargestStep:
    r"""The largest step along the negative gradient, or its sign, that does not raise the loss of its own mini-batch.

    $$s^* = \sup\{s : \ell(w - t\,u) \le \ell(w) \ \text{for all}\ t \le s\}, \qquad
    s_2 = \frac{2\, g^\top u}{u^\top H u}, \qquad u = g \ \text{or}\ \operatorname{sign} g ,$$

    $g = \nabla\ell(w)$; $H u$ by central differences of the gradient over a thousandth of the parameters' length, so
    that kinks count as curvature. Where $\ell$ is a parabola the two agree. In the ReLU and batch-normalised networks
    of the paper they do not: only the loss itself shows where it runs away.

    Args:
        model: Any module with parameters that require a gradient; called in the mode it is in.
        inputs: A tensor, a tuple (positional) or a dict (keywords).
        targets: What the loss compares with.
        direction: ``"gradient"`` or ``"sign"``, of complex parameters that of real and imaginary part.
        loss: As in ``relative_loss``.

    Returns:
        The step, and what it would be by the curvature. ``nan`` for both where the loss or a gradient is not finite,
        or the gradient is 0.

    Raises:
        UsageError: If no parameter requires a gradient, the loss is no scalar, or there is no such direction.

    Source:
        bjorck2018, figure of the loss along the step.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> net = nn.Linear(1, 1, bias=False)
        >>> _ = nn.init.ones_(net.weight)
        >>> found = largest_step(net, torch.ones(1, 1), torch.zeros(1, 1))
        >>> round(found.quadratic, 2), round(found.step, 1)
        (1.0, 1.0)
    """
    check_choice("direction", direction, DIRECTIONS)
    around = landscape(model, inputs, targets, loss)
    along = around.gradient if direction == "gradient" else tuple(map(_sign, around.gradient))
    slope = _dot(around.gradient, along)
    if not (slope > 0 and math.isfinite(slope) and math.isfinite(around.start)):
        return LargestStep(direction=direction, step=math.nan, quadratic=math.nan, curvature=math.nan, slope=slope)
    curvature = _curvature(around, along)
    return LargestStep(
        direction=direction,
        step=_first_rise(around, along),
        quadratic=2 * slope / curvature if curvature > 0 else math.inf if curvature <= 0 else math.nan,
        curvature=curvature,
        slope=slope,
    )


def _curvature(around: Landscape, along: tuple[Tensor, ...]) -> float:
    length = math.sqrt(_dot(tuple(around.free.values()), tuple(around.free.values())) / _dot(along, along))
    near = _NEARBY * (length or 1.0)
    (_, ahead), (_, behind) = around.slope(around.moved(near, along)), around.slope(around.moved(-near, along))
    return (_dot(behind, along) - _dot(ahead, along)) / (2 * near)


def _first_rise(around: Landscape, along: tuple[Tensor, ...]) -> float:
    """The first step that raises the loss, from below; rounding of the loss counts as no rise."""
    rounding = 4 * torch.finfo(around.start.dtype).eps * abs(float(around.start))

    def rises(step: float) -> bool:
        return not float(around.loss(around.moved(step, along))) <= float(around.start) + rounding

    low = 0.0
    for high in (_SMALLEST * 2.0**k for k in range(_DOUBLINGS)):
        if rises(high):
            break
        low = high
    else:
        return math.inf
    for _ in range(_HALVINGS if low else 0):
        middle = math.sqrt(low * high)
        low, high = (low, middle) if rises(middle) else (middle, high)
    return low


def _sign(gradient: Tensor) -> Tensor:
    if gradient.is_complex():  # of each part, as Adam's step is
        return torch.complex(gradient.real.sign(), gradient.imag.sign())
    return gradient.sign()


def _dot(one: tuple[Tensor, ...], other: tuple[Tensor, ...]) -> float:
    """The inner product, over real and imaginary parts."""
    return sum(float((_real(a) * _real(b)).sum()) for a, b in zip(one, other, strict=True))


def _real(x: Tensor) -> Tensor:
    return (torch.view_as_real(x.resolve_conj()) if x.is_complex() else x).double()
