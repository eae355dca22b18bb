"""Dead units and saturated entries of every activation that ran: modules, functions and in-place ones alike.

With phi' the slope of an activation phi:

* a **unit** is a channel of a map or a feature of rows and tokens (``rows.feature_axis``);
* it is **dead** if |phi'| is at most a thousandth of its maximum for every sample and position, so that no gradient
  passes: output zero everywhere for ReLU, far out in the flat tail for GELU, SiLU, ELU and their kin;
* an entry is **saturated** if |phi'| is at most a twentieth of its maximum, for activations that are flat on both
  sides (tanh, sigmoid, softsign, hard tanh, hard sigmoid) and, of ReLU6, on its upper side. The flat side of ReLU,
  GELU and SiLU is how they work and does not count.

Read off the values that autograd keeps for the backward pass, so nothing is computed twice. Activations inside a
recurrent layer or behind a checkpoint are not read.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.autograd.graph import Node

from leadline.probe.graph import inputs_of

_INF = math.inf
# Outputs at or outside of which the slope is at most a twentieth of its maximum.
TANH_FLAT = (-0.974679, 0.974679)
SIGMOID_FLAT = (0.0126618, 0.9873382)


@dataclass(frozen=True, kw_only=True)
class Activation:
    """Where an activation is flat, as limits on the values that autograd keeps of it.

    Attributes:
        name: Name of its module.
        values: What autograd keeps: its input, its output, or something monotone in them.
        dead: Entries at or outside these limits pass no gradient.
        saturated: Entries at or outside these limits are saturated; ``None`` where that says nothing.
    """

    name: str
    values: Tensor
    dead: tuple[float, float]
    saturated: tuple[float, float] | None = None


def recognised(node: Node, consumers: Mapping[Node, Sequence[Node]]) -> Activation | None:
    """The activation that ``node`` is the derivative of, or ``None``.

    Args:
        node: A node of the autograd graph, before the backward pass has freed what it keeps.
        consumers: Node -> the nodes that use its output; tells tanh from the tanh inside a GELU.
    """
    reader = _READERS.get(node.name())
    return None if reader is None else reader(_Saved(node), consumers)


def is_activation(node: Node) -> bool:
    """Whether ``node`` may be an activation."""
    return node.name() in _READERS or node.name() in ALWAYS_ALIVE


class _Saved:
    """What autograd keeps at a node, by name."""

    def __init__(self, node: Node):
        self.node = node

    def __getattr__(self, name: str) -> Any:
        return getattr(self.node, f"_saved_{name}")


_Reader = Callable[["_Saved", Mapping[Node, Sequence[Node]]], Activation | None]


def _of_input(name: str, low: float, *, saturated: tuple[float, float] | None = None, high: float = _INF) -> _Reader:
    return lambda saved, _: Activation(name=name, values=saved.self, dead=(low, high), saturated=saturated)


def _relu(saved: _Saved, _: Mapping[Node, Sequence[Node]]) -> Activation:
    return Activation(name="ReLU", values=saved.result, dead=(0.0, _INF))


def _gelu(saved: _Saved, _: Mapping[Node, Sequence[Node]]) -> Activation:
    return Activation(name="GELU", values=saved.self, dead=(-3.706 if saved.approximate == "tanh" else -3.775, _INF))


def _softplus(saved: _Saved, _: Mapping[Node, Sequence[Node]]) -> Activation:
    return Activation(name="Softplus", values=saved.self, dead=(-6.906 / float(saved.beta), _INF))


def _elu(saved: _Saved, _: Mapping[Node, Sequence[Node]]) -> Activation:
    name = "ELU" if saved.scale == 1 else "SELU"
    low = -6.908 / float(saved.input_scale)
    return Activation(name=name, values=saved.self, dead=(low, _INF))


def _elu_in_place(saved: _Saved, _: Mapping[Node, Sequence[Node]]) -> Activation:
    name = "ELU" if saved.scale == 1 else "SELU"
    return Activation(name=name, values=saved.result, dead=(-0.999 * float(saved.alpha) * float(saved.scale), _INF))


def _celu(saved: _Saved, _: Mapping[Node, Sequence[Node]]) -> Activation:
    return Activation(name="CELU", values=saved.self, dead=(-6.908 * float(saved.alpha), _INF))


def _celu_in_place(saved: _Saved, _: Mapping[Node, Sequence[Node]]) -> Activation:
    return Activation(name="CELU", values=saved.result, dead=(-0.999 * float(saved.alpha), _INF))


def _hardtanh(saved: _Saved, _: Mapping[Node, Sequence[Node]]) -> Activation:
    low, high = float(saved.min_val), float(saved.max_val)
    if low == 0:
        return Activation(name="ReLU6", values=saved.self, dead=(low, high), saturated=(-_INF, high))
    return Activation(name="Hardtanh", values=saved.self, dead=(low, high), saturated=(low, high))


def _tanh(saved: _Saved, consumers: Mapping[Node, Sequence[Node]]) -> Activation | None:
    users = consumers.get(saved.node, [])
    plus_one = len(users) == 1 and users[0].name() == "AddBackward0" and len(inputs_of(users[0])) == 1
    if plus_one and any(user.name() == "MulBackward0" for user in consumers.get(users[0], [])):
        # 1 + tanh(...), then times x: GELU written out. Its dead limit -3.706, seen through the tanh.
        return Activation(name="GELU", values=saved.result, dead=(-0.99987, _INF))
    if any(user.name() == "SubBackward0" and set(inputs_of(saved.node)) & set(inputs_of(user)) for user in users):
        return None  # x - tanh(x): its slope is large where that of tanh is small
    return Activation(name="Tanh", values=saved.result, dead=(-0.9995, 0.9995), saturated=TANH_FLAT)


def _sigmoid(saved: _Saved, consumers: Mapping[Node, Sequence[Node]]) -> Activation:
    users = consumers.get(saved.node, [])
    if len(users) == 1 and users[0].name() == "MulBackward0":
        # x times sigmoid(x), or of a multiple of x: SiLU written out. Its dead limit -8.876, seen through the sigmoid.
        own = inputs_of(saved.node)
        scaled = [other for node in own if node.name() == "MulBackward0" for other in inputs_of(node)]
        beside = [other for other in inputs_of(users[0]) if other is not saved.node]
        if beside and beside[0] in own:
            return Activation(name="SiLU", values=saved.result, dead=(1.396e-4, _INF))
        if beside and beside[0] in scaled:
            return Activation(name="QuickGELU", values=saved.result, dead=(1.396e-4, _INF))
    return Activation(name="Sigmoid", values=saved.result, dead=(2.5006e-4, 1 - 2.5006e-4), saturated=SIGMOID_FLAT)


def _softsign(saved: _Saved, _: Mapping[Node, Sequence[Node]]) -> Activation | None:
    # x / (1 + |x|); the divisor is kept, and the slope is one over its square.
    divisors = [
        other for node in inputs_of(saved.node)[1:] if node.name() == "AddBackward0" for other in inputs_of(node)
    ]
    if not any(node.name() == "AbsBackward0" for node in divisors):
        return None
    return Activation(name="Softsign", values=saved.other, dead=(-_INF, 31.62), saturated=(-_INF, 4.47214))


def _glu(saved: _Saved, _: Mapping[Node, Sequence[Node]]) -> Activation:
    # Half of the input times a sigmoid of the other, which shuts a unit at a thousandth of its largest value.
    axis = (int(saved.dim) + 2**63) % 2**64 - 2**63  # kept without its sign
    gate = saved.self.chunk(2, axis)[1]
    return Activation(name="GLU", values=gate, dead=(-6.907, _INF), saturated=(-4.3565, 4.3565))


def _leaky(saved: _Saved, _: Mapping[Node, Sequence[Node]]) -> Activation | None:
    if abs(float(saved.negative_slope)) > 1e-3:
        return None  # alive everywhere
    kept = saved.self if saved.node.name() == "LeakyReluBackward0" else saved.result
    return Activation(name="LeakyReLU", values=kept, dead=(0.0, _INF))


_READERS: dict[str, _Reader] = {
    "LeakyReluBackward0": _leaky,
    "LeakyReluBackward1": _leaky,
    "ReluBackward0": _relu,
    "GeluBackward0": _gelu,
    "GluBackward0": _glu,
    "SiluBackward0": _of_input("SiLU", -8.876),
    "MishBackward0": _of_input("Mish", -8.888),
    "HardswishBackward0": _of_input("Hardswish", -3.0),
    "SoftplusBackward0": _softplus,
    "EluBackward0": _elu,
    "EluBackward1": _elu_in_place,
    "CeluBackward0": _celu,
    "CeluBackward1": _celu_in_place,
    "HardtanhBackward0": _hardtanh,
    "HardsigmoidBackward0": _of_input("Hardsigmoid", -3.0, high=3.0, saturated=(-3.0, 3.0)),
    "TanhBackward0": _tanh,
    "SigmoidBackward0": _sigmoid,
    "DivBackward0": _softsign,
}
# Activations that may have a slope everywhere: named among the parts, and then never dead.
ALWAYS_ALIVE = {"LeakyReluBackward0": "LeakyReLU", "LeakyReluBackward1": "LeakyReLU"}


@dataclass(frozen=True, kw_only=True)
class Flatness:
    """How flat an activation was on a batch, as tensors of no axis: read all at once at the end."""

    dead: Tensor
    units: int
    saturated: Tensor | None
    entries: int


def flatness(activation: Activation, axis: int) -> Flatness:
    """Dead units along ``axis`` and saturated entries."""
    values = activation.values.detach()
    others = [i for i in range(values.ndim) if i != axis]
    low, high = activation.dead
    if high == _INF:
        dead = (values.amax(others) if others else values) <= low
    elif low == -_INF:
        dead = (values.amin(others) if others else values) >= high
    else:
        flat = (values <= low) | (values >= high)
        dead = flat.amin(others) if others else flat
    if activation.saturated is None:
        return Flatness(dead=dead.sum(), units=dead.numel(), saturated=None, entries=0)
    low, high = activation.saturated
    saturated = ((values <= low) | (values >= high)).sum()
    return Flatness(dead=dead.sum(), units=dead.numel(), saturated=saturated, entries=values.numel())
