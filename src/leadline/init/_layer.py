"""A layer whose weight an initialiser sets from the data that reach it."""

from dataclasses import dataclass

from torch import Tensor, nn

from leadline.init._maps import LinearMap
from leadline.init._setting import set_weight


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A linear or convolutional layer, the linear layer of transformers, or a projection inside torch's attention.

    Attributes:
        name: Its dotted name.
        module: The layer.
        weight: Its weight as linear maps.
        parameter: Dotted name of the parameter that holds the weight.
        part: Which of the maps in that parameter the weight is; ``None`` where it is all of them.
        turn: Its place among the projections of one input, which are to differ.
    """

    name: str
    module: nn.Module
    weight: LinearMap
    parameter: str
    part: int | None = None
    turn: int = 0

    @property
    def bias(self) -> Tensor | float:
        """The bias in the shape in which it is added, 0 where there is none."""
        bias = getattr(self.module, "bias", None)
        if bias is None:
            return 0.0
        return bias.reshape(-1, *(1 for _ in self.weight.kernel)) if self.weight.kernel else bias

    @property
    def value(self) -> Tensor:
        """The weight as the module uses it."""
        return self.module.weight  # type: ignore[return-value]

    def set(self, value: Tensor) -> None:
        """Give the module this weight."""
        if self.weight.owner is None:
            self.value.copy_(value)
        else:
            set_weight(*self.weight.owner, value)

    def scale(self, factor: float, *, projection: int | None = None) -> None:
        """Multiply the weight, or one of the projections fused in it."""
        value = self.value.clone()
        self.weight.part(value, projection).mul_(factor)
        self.set(value)

    @property
    def fused(self) -> int:
        """How many projections of one input lie in the weight; groups of a convolution have inputs of their own."""
        return 1 if self.weight.kernel else self.weight.maps

    def per_projection(self, y: Tensor) -> Tensor:
        """Outputs (…, features) as (…, projections, features of one), for fused projections."""
        if self.weight.layout == "heads":
            return y.unflatten(-1, (self.weight.heads, self.fused, -1)).transpose(-3, -2).flatten(-2)
        return y.unflatten(-1, (self.fused, -1))

    def per_output(self, factors: Tensor) -> Tensor:
        """A number for each projection as one for each output of the layer."""
        if self.weight.layout == "heads":
            size = self.weight.outputs // self.weight.heads
            return factors[None, :, None].expand(self.weight.heads, -1, size).flatten()
        return factors.repeat_interleave(self.weight.outputs)
