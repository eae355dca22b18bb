"""What a sum adds to a residual stream: its operand, behind gates, scales and dropout, and not a module's output.

Read off what autograd keeps at the products between the module and the sum, so that nothing runs twice.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.autograd.graph import Node

from leadline.probe.capture import Call
from leadline.probe.graph import RESHAPING, inputs_of
from leadline.probe.moments import norm_of

_PRODUCTS = {"MulBackward0": torch.mul, "DivBackward0": torch.div}
_DROPOUT = "NativeDropoutBackward0"


def root_mean_square(tensor: Tensor) -> float:
    """Root of the mean of the squares of all entries; ``nan`` where there is none."""
    return norm_of(tensor.detach()) / math.sqrt(tensor.numel()) if tensor.numel() else math.nan


@dataclass(frozen=True, kw_only=True)
class Added:
    """Sizes of operands.

    Attributes:
        made: Node -> the call whose output it made.
        size: Root mean square of a call's output, where it is known.
        stream: Node of what the unit was given, and the root mean square of that.
        readable: Whether autograd kept its tensors as they are, so that looking at them costs nothing.
    """

    made: Mapping[Node, Call]
    size: Callable[[Call], float | None]
    stream: tuple[Node | None, float]
    readable: bool

    @torch.no_grad()
    def rms(self, node: Node) -> float | None:
        """Root mean square of what ``node`` made; ``None`` where that cannot be told."""
        factor = 1.0
        while True:
            if node in self.made:
                size = self.size(self.made[node])
                return None if size is None else factor * size
            if node is self.stream[0]:
                return factor * self.stream[1]
            operands = inputs_of(node)
            scale = 1.0 if node.name() in RESHAPING else self._scale(node)
            if scale is None or len(operands) != 1:
                value = self._value(node)
                return None if value is None else factor * root_mean_square(value)
            factor, node = factor * scale, operands[0]

    def _scale(self, node: Node) -> float | None:
        """The number that a product with a number multiplies by."""
        other = _kept(node, "other") if self.readable and node.name() in _PRODUCTS else None
        if other is None or other.numel() != 1:
            return None
        return abs(float(_PRODUCTS[node.name()](torch.ones(()), other.cpu())))

    def _value(self, node: Node) -> Tensor | None:
        """What ``node`` made, as long as it is a module's output or follows from one and from what autograd keeps."""
        if node in self.made:
            call = self.made[node]
            return call.output if call.intact else None
        if not self.readable:
            return None
        if node.name() == _DROPOUT:
            given, mask = self._operand(node, 0), _kept(node, "result1")
            return None if given is None or mask is None else given * mask / (1 - node._saved_p)  # pyright: ignore[reportAttributeAccessIssue]
        if node.name() in _PRODUCTS:
            left, right = _kept(node, "self"), _kept(node, "other")
            left = self._operand(node, 0) if left is None else left
            right = self._operand(node, 1) if right is None else right
            return _joined(_PRODUCTS[node.name()], left, right)
        if node.name() == "AddBackward0":
            return _joined(torch.add, self._operand(node, 0), self._operand(node, 1))
        return None

    def _operand(self, node: Node, place: int) -> Tensor | None:
        other = node.next_functions[place][0]
        return None if other is None else self._value(other)


def _joined(operation: Callable[[Tensor, Tensor], Tensor], left: Tensor | None, right: Tensor | None) -> Tensor | None:
    if left is None or right is None:
        return None
    try:
        return operation(left, right)
    except RuntimeError:  # shapes that do not fit: something between them was not seen
        return None


def _kept(node: Node, name: str) -> Tensor | None:
    """What autograd keeps at ``node``; ``None`` where it keeps nothing or something has overwritten it."""
    try:
        kept = getattr(node, f"_saved_{name}", None)
    except RuntimeError:
        return None
    return kept if isinstance(kept, Tensor) else None
