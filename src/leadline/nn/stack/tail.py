"""What a layer of a stack does behind its matrix product: normalise, and apply the activation."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from leadline.nn.stack.activations import Pair
from leadline.nn.stack.arena import Arena
from leadline.nn.stack.norms import Norm


class Tail(ABC):
    """That of all layers, for each by its number, with its backward and without a graph.

    Attributes:
        spare: Whether it writes values beside its input, for which a third map is needed.
    """

    def __init__(self, pairs: Sequence[Pair]):
        self._pairs, self.spare = pairs, any(pair.spare for pair in pairs)

    @abstractmethod
    def forward(self, layer: int, z: Tensor, arena: Arena, *, track: bool) -> tuple[Tensor, Any]:
        """The layer's output, in a place of the arena, and what ``backward`` needs; ``z`` may be overwritten."""

    @abstractmethod
    def backward(self, layer: int, grad: Tensor, kept: Any) -> Tensor:
        """The gradient of ``z``, where ``grad`` may be overwritten; those of scale and shift are noted."""

    @abstractmethod
    def undo(self, layer: int, y: Tensor, arena: Arena) -> Tensor:
        """``z`` out of the layer's output and its moments in the arena; ``forward`` must be one to one."""

    @abstractmethod
    def parameter_grads(self) -> tuple[Tensor | None, Tensor | None]:
        """Gradients of scale and shift of all layers, ``(layers, width)``."""


class Apart(Tail):
    """By the kernels of torch, one after another."""

    def __init__(self, norm: Norm, pairs: Sequence[Pair]):
        super().__init__(pairs)
        self._norm = norm

    def forward(self, layer: int, z: Tensor, arena: Arena, *, track: bool) -> tuple[Tensor, Any]:
        """Both forward."""
        u, of_norm = self._norm.forward(layer, z, arena, track=track)
        y, of_activation = self._pairs[layer].forward(u, arena.outputs[arena.slot(layer)])
        return y, (of_norm, of_activation)

    def backward(self, layer: int, grad: Tensor, kept: Any) -> Tensor:
        """Both back."""
        of_norm, of_activation = kept
        return self._norm.backward(layer, self._pairs[layer].backward(grad, of_activation), of_norm)

    def undo(self, layer: int, y: Tensor, arena: Arena) -> Tensor:
        """Activation first."""
        bend = self._pairs[layer].bend
        assert bend is not None
        return self._norm.undo(layer, bend.undo(y), arena)

    def parameter_grads(self) -> tuple[Tensor | None, Tensor | None]:
        """Of scale and shift."""
        return self._norm.parameter_grads()
