"""What stands behind each linear map of a model: a norm, an activation, or neither."""

import copy
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from leadline._core.randomness import kept_rng
from leadline.init._passes import Layer, call, layers_of
from leadline.probe.guard import undisturbed
from leadline.probe.modules import is_leaf

Elementwise = Callable[[Tensor], Tensor]

# Functions of torch that are activations, whether a module calls them or the model itself.
_FUNCTIONS = {
    "relu", "tanh", "sigmoid", "gelu", "silu", "mish", "elu", "selu", "celu", "leaky_relu", "softplus", "hardswish",
    "hardtanh", "relu6", "softsign", "sin", "logsigmoid", "hardsigmoid", "rrelu", "softshrink", "hardshrink",
}  # fmt: skip
_GAINED = (
    nn.modules.batchnorm._BatchNorm,
    nn.LayerNorm,
    nn.GroupNorm,
    nn.RMSNorm,
    nn.modules.instancenorm._InstanceNorm,
)


@dataclass(kw_only=True)
class Link:
    """One linear map and what its output meets next.

    Attributes:
        layer: The map.
        norm: Path of the norm behind it; empty without one.
        norm_module: That norm.
        keeps_shift: Whether the norm lets a common shift of its inputs through: it divides, but does not subtract.
        activation: Path of the activation module behind it (and the norm); empty for a functional one or none.
        phi: The activation, where there is one.
        axes: Number of axes of the map's output.
        features: Length of its feature axis.
    """

    layer: Layer
    norm: str = ""
    norm_module: nn.Module | None = None
    keeps_shift: bool = False
    activation: str = ""
    phi: Elementwise | None = None
    axes: int = 2
    features: int = 0

    @property
    def name(self) -> str:
        """Dotted name of the map."""
        return self.layer.name

    @property
    def paths(self) -> tuple[str, ...]:
        """Where it, its norm and its activation lie."""
        return tuple(path for path in (self.name, self.norm, self.activation) if path)

    @property
    def gain(self) -> nn.Parameter | None:
        """What multiplies the norm's outputs, where that is trained and stands for a factor."""
        return self._of_norm("weight")

    @property
    def offset(self) -> nn.Parameter | None:
        """What is added to the norm's outputs, likewise."""
        return self._of_norm("bias")

    def _of_norm(self, key: str) -> nn.Parameter | None:
        value = getattr(self.norm_module, key, None) if isinstance(self.norm_module, _GAINED) else None
        return value if isinstance(value, nn.Parameter) and value.requires_grad else None

    @property
    def bias(self) -> nn.Parameter | None:
        """The map's bias, where it is trained."""
        bias = getattr(self.layer.module, "bias", None)
        return bias if isinstance(bias, nn.Parameter) and bias.requires_grad else None


def wiring(model: nn.Module, inputs: Any) -> list[Link]:
    """The linear maps that run as modules, in the order in which they first run.

    A norm is a module without modules inside whose outputs stay when its inputs are doubled; an activation is one that
    works on each entry by itself, or one of torch's functions. Reshapes in between are not looked through.
    """
    names = {module: name for name, module in model.named_modules()}
    maps = {layer.module: layer for layer in layers_of(model, None)}
    trace = _Trace(names, maps)
    handles = [module.register_forward_hook(trace.ended) for module in names if module in maps or is_leaf(module)]
    handles += [module.register_forward_pre_hook(trace.begins) for module in names if is_leaf(module)]
    try:
        with undisturbed(model), torch.no_grad(), kept_rng(), trace:
            call(model, inputs)
    finally:
        for handle in handles:
            handle.remove()
    return trace.links


class _Trace(TorchFunctionMode):
    """Follows the output of each map by identity to the module or function that takes it."""

    def __init__(self, names: Mapping[nn.Module, str], maps: Mapping[nn.Module, Layer]):
        super().__init__()
        self.links: list[Link] = []
        self._names, self._maps = names, maps
        self._known: dict[int, tuple[Tensor, Link]] = {}
        self._met: set[str] = set()
        self._inside: nn.Module | None = None

    def begins(self, module: nn.Module, given: tuple[Any, ...]) -> None:
        self._inside = module

    def ended(self, module: nn.Module, given: tuple[Any, ...], output: Any) -> None:
        self._inside = None
        if module in self._maps:
            self._map(module, output)
        elif given and isinstance(given[0], Tensor) and isinstance(output, Tensor):
            known = self._known.get(id(given[0]))
            if known is not None:
                with torch._C.DisableTorchFunction():
                    self._behind(module, given[0], output, known[1])

    def _map(self, module: nn.Module, output: Any) -> None:
        layer = self._maps[module]
        if layer.name in self._met or not isinstance(output, Tensor):
            return
        self._met.add(layer.name)
        axis = 1 if layer.weight.kernel else -1
        link = Link(layer=layer, axes=output.ndim, features=output.shape[axis])
        self.links.append(link)
        self._known[id(output)] = (output, link)

    def _behind(self, module: nn.Module, given: Tensor, output: Tensor, link: Link) -> None:
        if output is given or link.phi is not None:
            return
        if given.shape == output.shape and (phi := elementwise(module)) is not None:
            if phi is _same:
                self._known[id(output)] = (output, link)
            else:
                link.activation, link.phi = self._names[module], phi
        elif not link.norm and _stays(module, given * 2, output):
            link.norm, link.norm_module = self._names[module], module
            link.keeps_shift = not _stays(module, given + given.square().mean().sqrt(), output)
            self._known[id(output)] = (output, link)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        known = self._known.get(id(args[0])) if args and isinstance(args[0], Tensor) else None
        if known is not None and (self._inside is None or self._inside in self._maps):
            name = getattr(func, "__name__", "")
            if name.rstrip("_") in _FUNCTIONS:
                known[1].phi = known[1].phi or _function(func, args[1:], kwargs)
            if name.startswith("__i") or (name.endswith("_") and not name.startswith("__")):
                self._known.pop(id(args[0]))
        return func(*args, **kwargs)


def _function(func: Any, rest: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Elementwise:
    options = {key: value for key, value in kwargs.items() if key != "inplace"}
    return lambda x: func(x.clone(), *rest, **options)


def _stays(module: nn.Module, given: Tensor, output: Tensor) -> bool:
    """Whether ``given`` has the same output, up to rounding and the norm's epsilon."""
    again = module.forward(given)
    size = output.float().norm().item()
    return again.shape == output.shape and size > 0 and (again - output).float().norm().item() < 0.02 * size


def _same(x: Tensor) -> Tensor:
    return x


def elementwise(module: nn.Module) -> Elementwise | None:
    """The module as a function of float64 tensors if it works on each entry by itself, else ``None``."""
    own = _without_hooks(module).double().cpu().eval()
    if hasattr(own, "inplace"):
        own.inplace = False  # type: ignore[assignment]
    x = torch.linspace(-4, 4, 36, dtype=torch.float64)
    try:
        with kept_rng(), torch.no_grad():
            whole, parts = own(x), [own(part) for part in x.split(12)]
    except (RuntimeError, ValueError, TypeError, IndexError, AssertionError):
        return None  # It needs more axes than one, so it does more than work on entries.
    # Not equal: the last entries of a vector are computed by another kernel, with other last digits.
    if not isinstance(whole, Tensor) or whole.shape != x.shape or not torch.allclose(whole, torch.cat(parts)):
        return None
    return _same if torch.equal(whole, x) else own


def _without_hooks(module: nn.Module) -> nn.Module:
    """A copy of a leaf; copying its hooks could copy all that they refer to."""
    bare = copy.copy(module)
    bare._forward_hooks, bare._forward_pre_hooks = OrderedDict(), OrderedDict()
    bare._backward_hooks, bare._backward_pre_hooks = OrderedDict(), OrderedDict()
    return copy.deepcopy(bare)
