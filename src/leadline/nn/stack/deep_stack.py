"""Many like layers as one module: stacked parameters, and one node of autograd's graph for all of them."""

import copy
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from leadline._core.errors import UsageError
from leadline.nn.designs.mlp import MLPBlock
from leadline.nn.normalisation import FeatureNorm
from leadline.nn.normalisation.batch_norm import inverse_scale
from leadline.nn.stack.activations import Pair, pair
from leadline.nn.stack.arena import Pool
from leadline.nn.stack.fused import Fused, fits
from leadline.nn.stack.norms import Batch, Fractional, Moments, Shift
from leadline.nn.stack.passing import Passage, Through
from leadline.nn.stack.sameness import change
from leadline.nn.stack.tail import Apart, Tail

_LEAST = 2  # layers that are worth a stack
_CACHED = 2**18  # entries of matrices that are worked on at once
_NEARLY = 0.5  # root mean square of a column of WᵀW − I, beyond which a step of Newton and Schulz may lead away


@dataclass(frozen=True)
class _Layer:
    linear: nn.Linear
    norm: nn.Module | None
    activation: nn.Module


class DeepStack(nn.Module):
    r"""Layers $h \leftarrow \varphi_l(\mathrm{norm}(W_l h))$ of one width, computed as one.

    At a depth of a thousand and a width of a hundred a training step of ``nn.Sequential`` is more Python, graph and
    optimiser than arithmetic. Here parameters are stacked, ``weight`` is $(L, d, d)$, and a pass is one node of
    autograd's graph, which calls the kernels of matrix product, normalisation and activation and nothing else. The
    numbers are those of the layers that it was made of, to rounding; running moments move in the same way.

    * On a CPU with Numba (the extra ``fast``) normalisation and activation are one compiled loop each way, where one
      thread does it as fast as torch's; compiling takes some seconds in the first pass, and is kept on disk.
    * Hooks on a layer do not fire, since there is none: ``layers()`` are ordinary modules on the same memory, for
      ``leadline.profile``, ``leadline.nn.recalibrate`` and whatever else looks at layers.
    * One backward pass a call; gradients of gradients are not there.
    * With ``segment`` only every so-manieth state is kept and the rest is computed again on the way back, which costs
      a third more matrix products; ``"root"`` is $\lceil\sqrt L\,\rceil$, for which memory grows like $\sqrt L$.
    * ``segment="reverse"`` keeps the last state and the moments alone, and works each layer's input out of its output,
      $h = W^T\, \mathrm{norm}^{-1} \varphi^{-1}(y)$. It takes a normalisation, activations of two rising lines
      (identity, leaky and shaped ReLU) and orthogonal weights, which ``retract()`` keeps so in training. Rounding
      grows where layers contract; what comes out at the first layer is compared with what went in.
    * The input's dtype must be that of the weights; autocast does not reach inside.

    Args:
        layers: Blocks of ``mlp``, sequences of a linear map, a normalisation and an activation, or these one after
            another. Linear maps are square; normalisations are ``BatchNorm1d`` of torch or leadline,
            ``FractionalBatchNorm1d``, or none, alike in all layers; activations are elementwise, without parameters,
            the same at every call (no dropout, no ``RReLU``), and may differ. Their values are copied.
        segment: Layers between two states that are kept, ``"root"``, ``"reverse"``, or ``None`` to keep all.

    Raises:
        UsageError: If there are fewer than two layers, or they are not as above; in a backward pass with
            ``segment="reverse"`` if its input does not come out again to a hundredth.

    Example:
        >>> from leadline.nn import mlp
        >>> net = mlp(8, 3, depth=20, width=16, norm="batch")
        >>> net.blocks = nn.Sequential(net.blocks[0], DeepStack(net.blocks[1:]))
        >>> net.blocks[1].weight.shape, net(torch.zeros(4, 8)).shape
        (torch.Size([19, 16, 16]), torch.Size([4, 3]))
    """

    weight: nn.Parameter
    scale: nn.Parameter | None
    shift: nn.Parameter | None
    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None

    def __init__(self, layers: Iterable[nn.Module], *, segment: int | str | None = None):
        super().__init__()
        found = _layers(layers)
        _check(found)
        self.depth, self.width = len(found), found[0].linear.in_features
        self.segment = _segment(segment, self.depth)
        norm = found[0].norm
        # In tuples, so that they are no submodules: what they compute with is stacked here.
        self._norm = (copy.deepcopy(norm),)
        self._activations = tuple(copy.deepcopy(layer.activation) for layer in found)
        self._pairs = self._as_pairs()
        if self.segment == "reverse" and (norm is None or not all(_rises(pair) for pair in self._pairs)):
            raise UsageError(
                "segment='reverse' takes a normalisation and activations of two rising lines (identity, leaky or "
                f"shaped ReLU); got {self.extra_repr()}."
            )
        weight = _parameter([layer.linear.weight for layer in found])
        assert weight is not None
        self.weight = weight
        self.scale = _parameter([getattr(layer.norm, "weight", None) for layer in found])
        biases = [layer.linear.bias if norm is None else getattr(layer.norm, "bias", None) for layer in found]
        self.shift = _parameter(biases)
        for name in ("running_mean", "running_var", "num_batches_tracked"):
            values = [value for layer in found if (value := getattr(layer.norm, name, None)) is not None]
            self.register_buffer(name, torch.stack(values) if values else None)
        self._pool = Pool()
        self.train(found[0].linear.training)

    def forward(self, x: Float[Tensor, "n width"]) -> Float[Tensor, "n width"]:
        """The last layer's output.

        Raises:
            UsageError: If ``x`` is no batch of this width and the weights' dtype.
        """
        if x.ndim != 2 or x.shape[1] != self.width or x.dtype != self.weight.dtype:
            raise UsageError(
                f"This DeepStack takes samples of {self.width} features in {self.weight.dtype}; got "
                f"{tuple(x.shape)} in {x.dtype}."
            )
        if self._uses_batch:
            if len(x) < 2 and self._norm[0] is not None:
                raise UsageError("The moments of a batch need at least 2 samples; got 1. Use a larger batch.")
            tail = self._tail(x, track=self.training and self.running_mean is not None)
            tensors = (x, self.weight, self.scale, self.shift)
            keep = torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors)
            passage = Passage(self.weight, tail, self._pool, segment=self.segment, keep=keep)
            y = Through.apply(passage, x, self.weight, self.scale, self.shift)
            assert isinstance(y, Tensor)
            return y
        return self._evaluated(x)

    @torch.no_grad()
    def retract(self) -> None:
        r"""Put weights that are nearly orthogonal on orthogonal ones: $W \leftarrow \frac12 W (3 I - W^T W)$.

        One step of Newton and Schulz towards the orthogonal polar factor, the nearest orthogonal matrix: what
        $W^T W$ is off by becomes three quarters of its square. After each step of an optimiser:

        ``optimiser.register_step_post_hook(lambda *_: stack.retract())``

        Raises:
            UsageError: If the weights of a layer are far from orthogonal.

        Example:
            >>> stack = DeepStack([nn.Linear(2, 2, bias=False) for _ in range(3)])
            >>> with torch.no_grad():
            ...     _ = stack.weight.copy_(1.01 * torch.eye(2))
            >>> stack.retract()
            >>> bool((stack.weight - torch.eye(2)).abs().max() < 2e-4)
            True
        """
        eye = torch.eye(self.width, dtype=self.weight.dtype, device=self.weight.device)
        # Some at a time, which stay in the cache; all are looked at before any is changed.
        parts = self.weight.split(max(1, _CACHED // self.width**2))
        off = torch.cat([(part.mT @ part - eye).square().sum(-1).mean(-1).sqrt() for part in parts])
        if not float(off.max()) <= _NEARLY:
            raise UsageError(
                f"retract() takes weights that are nearly orthogonal; those of layer {int(off.argmax())} have a Gram "
                f"matrix that is {float(off.max()):.2g} off. Draw them with torch.nn.init.orthogonal_."
            )
        for part in parts:
            part.copy_(part @ (1.5 * eye - 0.5 * (part.mT @ part)))

    def layers(self) -> nn.Sequential:
        """The layers as ordinary modules whose tensors are parts of this one's: a change in either shows in both."""
        made = []
        for layer in range(self.depth):
            linear = nn.Linear(self.width, self.width, bias=False, device="meta")
            linear.weight = nn.Parameter(self.weight.detach()[layer], requires_grad=self.weight.requires_grad)
            norm = copy.deepcopy(self._norm[0])
            for place, name, values in ((norm, "weight", self.scale), (norm or linear, "bias", self.shift)):
                if values is not None:
                    setattr(place, name, nn.Parameter(values.detach()[layer], values.requires_grad))
            for name in ("running_mean", "running_var", "num_batches_tracked"):
                if (values := getattr(self, name)) is not None:
                    setattr(norm, name, values[layer])
            parts = [linear, *([] if norm is None else [norm]), copy.deepcopy(self._activations[layer])]
            made.append(nn.Sequential(*parts).train(self.training))
        return nn.Sequential(*made).train(self.training)

    def extra_repr(self) -> str:
        """Depth, width, and what a layer is."""
        kinds = sorted({type(activation).__name__ for activation in self._activations})
        norm = "" if self._norm[0] is None else f"{type(self._norm[0]).__name__}, "
        kept = "" if self.segment is None else f", segment={self.segment}"
        return f"depth={self.depth}, width={self.width}, {norm}{', '.join(kinds)}{kept}"

    @property
    def _uses_batch(self) -> bool:
        norm = self._norm[0]
        if norm is None:
            return True
        if isinstance(norm, FeatureNorm):
            norm.training = self.training
            return norm.uses_batch
        return self.training or self.running_mean is None

    def _tail(self, x: Tensor, *, track: bool) -> Tail:
        """Normalisation and activation of a pass."""
        norm, moments = self._norm[0], None
        if norm is None:
            return Apart(Shift(self._parts("shift")), self._pairs)
        assert isinstance(norm, nn.modules.batchnorm._BatchNorm)
        alpha = norm.alpha if isinstance(norm, FeatureNorm) else 1.0
        if track:
            assert self.running_mean is not None and self.running_var is not None
            assert self.num_batches_tracked is not None
            self.num_batches_tracked.add_(1)
            share = 1 / int(self.num_batches_tracked[0]) if norm.momentum is None else norm.momentum
            ddof = norm.running_ddof if isinstance(norm, FeatureNorm) else 1
            parts = self._parts("running_mean"), self._parts("running_var")
            moments = Moments(self.running_mean, self.running_var, parts, share=share, ddof=ddof)
        if fits(x):
            return Fused(self.weight, self.scale, self.shift, self._pairs, alpha=alpha, eps=norm.eps, moments=moments)
        scale, shift = self._parts("scale"), self._parts("shift")
        if alpha == 1 and (moments is None or moments.ddof == 1):
            return Apart(Batch(scale, shift, eps=norm.eps, moments=moments), self._pairs)
        return Apart(Fractional(scale, shift, alpha=alpha, eps=norm.eps, moments=moments), self._pairs)

    def _as_pairs(self) -> tuple[Pair, ...]:
        return tuple(pair(activation) for activation in self._activations)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_pairs"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._pairs = self._as_pairs()

    def _parts(self, name: str) -> tuple[Tensor, ...] | None:
        """The layers' own parts of a stacked tensor."""
        tensor = getattr(self, name)
        return None if tensor is None else self._pool.parts(name, tensor)

    def _evaluated(self, h: Tensor) -> Tensor:
        """With running moments, by autograd."""
        norm = self._norm[0]
        assert isinstance(norm, nn.modules.batchnorm._BatchNorm)
        assert self.running_mean is not None and self.running_var is not None
        alpha = norm.alpha if isinstance(norm, FeatureNorm) else 1.0
        factors = torch.stack([inverse_scale(v, alpha=alpha, eps=norm.eps) for v in self.running_var])
        scales = factors if self.scale is None else factors * self.scale
        shifts = -self.running_mean * scales if self.shift is None else self.shift - self.running_mean * scales
        for weight, scale, shift, activation in zip(self.weight, scales, shifts, self._activations, strict=True):
            h = activation(torch.addcmul(shift, F.linear(h, weight), scale))
        return h


def _layers(modules: Iterable[nn.Module]) -> list[_Layer]:
    """Linear map, normalisation and activation of each layer."""
    found: list[list[nn.Module]] = []
    for part in _parts(modules):
        if isinstance(part, nn.Linear):
            found.append([part])
        elif not found:
            raise UsageError(f"A DeepStack begins with a linear map; got {type(part).__name__}.")
        else:
            found[-1].append(part)
    layers = []
    for linear, *rest in found:
        assert isinstance(linear, nn.Linear)
        norm = rest.pop(0) if rest and isinstance(rest[0], nn.modules.batchnorm._BatchNorm) else None
        if len(rest) > 1:
            names = ", ".join(type(part).__name__ for part in (linear, *rest))
            raise UsageError(f"A layer is a linear map, a normalisation and an activation; got {names}.")
        layers.append(_Layer(linear, norm, rest[0] if rest else nn.Identity()))
    return layers


def _parts(modules: Iterable[nn.Module]) -> Iterable[nn.Module]:
    for module in modules:
        if isinstance(module, MLPBlock):
            if module.skip:
                raise UsageError("A DeepStack has no skips; these blocks have. Keep them as they are.")
            yield from (part for part in (module.linear, module.norm, module.activation) if part is not None)
        elif isinstance(module, nn.Sequential):
            yield from _parts(module)
        else:
            yield module


def _check(layers: Sequence[_Layer]) -> None:
    if len(layers) < _LEAST:
        raise UsageError(f"A DeepStack is of at least {_LEAST} layers; got {len(layers)}.")
    width = layers[0].linear.in_features
    first = layers[0]
    points = torch.linspace(-4, 4, 2 * width, dtype=first.linear.weight.dtype).view(2, width)
    for number, layer in enumerate(layers):
        shape = (layer.linear.in_features, layer.linear.out_features)
        if shape != (width, width):
            raise UsageError(f"Layers of a DeepStack are {width} wide throughout; layer {number} maps {shape}.")
        if type(layer.linear) is not nn.Linear or _settings(layer.norm) != _settings(first.norm):
            raise UsageError(f"Layers of a DeepStack are alike; layer {number} differs from the first: {layer.norm}.")
        if (layer.linear.bias is None) != (first.linear.bias is None):
            raise UsageError("Either all layers of a DeepStack have a bias or none has.")
        if layer.norm is not None and layer.linear.bias is not None:
            raise UsageError("A bias in front of batch normalisation has no effect: build the layers with bias=False.")
        if any(True for _ in layer.activation.parameters()):
            raise UsageError(f"Activations of a DeepStack have no parameters; layer {number} has {layer.activation}.")
        if (what := change(layer.activation, points)) is not None:
            raise UsageError(
                f"Activations of a DeepStack are the same function at every call; {layer.activation} in layer {number} "
                f"{what}. Keep the layers that have it as they are."
            )
    norm = first.norm
    if isinstance(norm, nn.SyncBatchNorm) or (isinstance(norm, FeatureNorm) and _unusual(norm)):
        raise UsageError(f"A DeepStack does batch normalisation of one process with its mean; got {norm}.")


def _unusual(norm: FeatureNorm) -> bool:
    return not norm.centre or not norm.scale or norm.ddof != 0 or norm.train_with != "batch" or norm.synchronised


def _settings(norm: nn.Module | None) -> str:
    return "" if norm is None else f"{type(norm).__name__}({norm.extra_repr()})"


def _rises(pair: Pair) -> bool:
    return pair.bend is not None and pair.bend.above > 0 and pair.bend.below > 0


def _segment(segment: int | str | None, depth: int) -> int | str | None:
    if segment == "root":
        return math.ceil(math.sqrt(depth))
    if segment is None or segment == "reverse" or (isinstance(segment, int) and segment >= 1):
        return segment
    raise UsageError(f"segment is a number of layers from 1, 'root', 'reverse' or None; got {segment!r}.")


def _parameter(values: Sequence[Tensor | None]) -> nn.Parameter | None:
    there = [value for value in values if value is not None]
    if not there:
        return None
    return nn.Parameter(torch.stack([value.detach() for value in there]), requires_grad=there[0].requires_grad)
