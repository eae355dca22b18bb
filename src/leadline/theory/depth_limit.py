"""How deep a design can be, from its rates alone."""

import math
from dataclasses import dataclass

import numpy as np

from leadline._core.errors import AssumptionError
from leadline._core.names import check_choice

# Largest finite and smallest normal value of each dtype.
_RANGES = {name: (float(np.finfo(name).max), float(np.finfo(name).tiny)) for name in ("float16", "float32", "float64")}
_RANGES["bfloat16"] = (3.3895313892515355e38, 1.1754943508222875e-38)


@dataclass(frozen=True, kw_only=True)
class DepthBound:
    """How many layers a design carries.

    Attributes:
        layers: Layers until the first end, or ``inf``.
        mechanism: What gives out there.
    """

    layers: float
    mechanism: str


def depth_limit(
    *,
    signal: float = 0.0,
    gradient: float = 0.0,
    distinction: float = 0.0,
    dtype: str = "float32",
    spread: float = 1e3,
    lost: float = 1e-6,
) -> DepthBound:
    r"""Layers after which the first of these happens, in a chain that starts at size 1 with constant rates.

    | end | layers |
    |---|---|
    | activations, or gradients, overflow the dtype | $\log(\text{largest})/r$ for $r > 0$ |
    | they fall below its normal numbers | $\log(\text{smallest})/r$ for $r < 0$ |
    | weight gradients spread beyond s = ``spread`` | $\log(s)/\lvert r_\text{gradient} - r_\text{signal}\rvert$ |
    | what tells samples apart falls below ``lost`` of the squared length | $\log(\text{lost})/r_\text{distinction}$ |

    A weight's gradient is the gradient behind it times the signal in front of it: from layer to layer towards the input
    it changes by the difference of the two. Power laws (the edge of chaos, norms in residual branches) have rate 0 and
    no limit here; for those use ``pre_norm_growth`` and ``CorrelationMap.path``.

    Args:
        signal: Growth of the log root mean square towards the output, nats a layer.
        gradient: Growth of the log gradient norm towards the input, nats a layer.
        distinction: Change of the log of the share that tells samples apart towards the output, nats a layer:
            $\log\chi(c^*)$ in the ordered phase.
        dtype: ``"float16"``, ``"bfloat16"``, ``"float32"`` or ``"float64"``.
        spread: Factor between the largest and smallest weight gradient, above 1.
        lost: Share of the squared length, in (0, 1).

    Returns:
        The layers and what gives out; ``inf`` where no rate leads to an end.

    Raises:
        UsageError: If there is no such dtype.
        AssumptionError: If ``spread`` or ``lost`` is out of range, or a rate is ``nan``.

    Source:
        schoenholz2017, section 5, for the share; the ends are leadline's rules, and those of ``leadline.diagnose``.

    Example:
        Behind batch normalisation a ReLU network ends at 36 layers of plain descent, or overflows at 463.

        >>> rate = 0.5 * math.log(math.pi / (math.pi - 1))
        >>> round(depth_limit(gradient=rate).layers), round(depth_limit(gradient=rate, spread=math.inf).layers)
        (36, 463)
    """
    check_choice("dtype", dtype, _RANGES)
    if not spread > 1 or not 0 < lost < 1:
        raise AssumptionError(f"A spread is above 1 and a share in (0, 1), got spread={spread:g}, lost={lost:g}.")
    if any(math.isnan(rate) for rate in (signal, gradient, distinction)):
        raise AssumptionError("A rate of nan leads nowhere.")
    largest, smallest = (math.log(value) for value in _RANGES[dtype])
    ends = [
        DepthBound(layers=_layers(largest, signal), mechanism=f"activations overflow {dtype}"),
        DepthBound(layers=_layers(smallest, signal), mechanism=f"activations fall below {dtype}"),
        DepthBound(layers=_layers(largest, gradient), mechanism=f"gradients overflow {dtype}"),
        DepthBound(layers=_layers(smallest, gradient), mechanism=f"gradients fall below {dtype}"),
        DepthBound(
            layers=_layers(math.log(spread), abs(gradient - signal)),
            mechanism=f"weight gradients spread beyond {spread:g}",
        ),
        DepthBound(layers=_layers(math.log(lost), distinction), mechanism="samples are no longer told apart"),
    ]
    first = min(ends, key=lambda end: end.layers)
    if math.isinf(first.layers):
        return DepthBound(layers=math.inf, mechanism="nothing that the rates show")
    return first


def _layers(room: float, rate: float) -> float:
    """Layers until ``room`` is used up, if the rate leads there at all."""
    return room / rate if rate and room * rate > 0 else math.inf
