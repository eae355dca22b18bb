"""How much of each weight's gradient cancels over the batch: contributions added up during the backward pass."""

from dataclasses import dataclass, field

from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from leadline.metrics.contributions import contribution_size
from leadline.probe.capture import Call, Tape
from leadline.probe.inputs import first_float


@dataclass(kw_only=True)
class Contributions:
    """Sizes of the contributions that weight gradients are the sums of.

    Attributes:
        given: What each call of a linear map that learns was given, until the gradient of its output arrives: autograd
            keeps the same tensor as long.
        sizes: Path of a module -> sum of absolute contributions to its weight's gradient, over all its calls.
        counts: Path of a module -> contributions to each entry: samples times positions.
        calls: Path of a module -> how many of its calls those are.
    """

    given: dict[Call, Tensor] = field(default_factory=dict)
    sizes: dict[str, Tensor] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    calls: dict[str, int] = field(default_factory=dict)

    def ended(self, tape: Tape, call: Call, output: Tensor) -> None:
        """A call has ended; where a linear map learns, what it was given is kept."""
        if call.holds and output.requires_grad and call.stored and _learns(call.module):
            given = first_float(call.arguments)
            if given is not None and given.numel():
                self.given[call] = given.detach()
                self.calls[call.path] = self.calls.get(call.path, 0) + 1
                self.counts[call.path] = self.counts.get(call.path, 0) + _count(call.module, given, output)

    def arrived(self, call: Call, grad: Tensor) -> None:
        """The gradient of a call's output has arrived."""
        if call in self.given:
            size = contribution_size(self.given.pop(call), grad, layer=call.module)
            self.sizes[call.path] = self.sizes[call.path] + size if call.path in self.sizes else size


def is_map(module: nn.Module) -> bool:
    """Whether ``module`` is one linear map of its input: linear, Transformers' ``Conv1D``, or a convolution."""
    return isinstance(module, (nn.Linear, _ConvNd)) or type(module).__name__ == "Conv1D"


def _learns(module: nn.Module) -> bool:
    # A class with a forward of its own may use its weight in another way, scaled or standardised.
    as_is = type(module).forward.__module__.startswith(("torch.nn.modules.", "transformers."))
    weight = getattr(module, "weight", None) if is_map(module) and as_is else None
    return isinstance(weight, Tensor) and weight.requires_grad


def _count(module: nn.Module, given: Tensor, output: Tensor) -> int:
    """Samples times positions: of a transposed convolution, positions of the input."""
    if isinstance(module, _ConvTransposeNd):
        return given.numel() // module.in_channels
    return output.numel() // (module.out_channels if isinstance(module, _ConvNd) else output.shape[-1])
