"""Signals forward and gradients backward through a chain whose weights are never formed."""

import math
from collections.abc import Callable, Collection, Iterator
from dataclasses import asdict, dataclass
from functools import cached_property, partial

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from leadline._core.errors import UsageError
from leadline._core.names import check_choice
from leadline._core.simulation import Simulation
from leadline.simulate.chain import Chain
from leadline.simulate.gaussian import LazyGaussian
from leadline.simulate.haar import LazyHaar
from leadline.simulate.matrix import LazyMatrix
from leadline.simulate.readings import METRICS, Readings, gram

LOSSES = ("cotangent", "cross_entropy")
_CLASSES = 10
_DRAWN = ("batch", "cotangent", "head", "labels")
_HELD = 2**25  # entries of states that may be held without checkpoints
_SHORT = 2**14  # entries of a state that reflections factorise in less time than Gram matrices
_PER_LAYER = 5  # states' worth of memory that a layer takes until its gradient has passed

OnLayer = Callable[[str, int, int], None]


def propagate(
    chain: Chain,
    x: Float[Tensor, "n d"] | None = None,
    *,
    batch: int = 16,
    draws: int = 1,
    seed: int = 0,
    backward: bool = True,
    loss: str = "cotangent",
    metrics: str | Collection[str] = METRICS,
    dtype: torch.dtype = torch.float64,
    device: torch.device | str = "cpu",
    segment: int | None = None,
    on_layer: OnLayer | None = None,
) -> Simulation:
    r"""Send a batch through independent draws of a chain and a gradient back, with the exact law of dense weights.

    A layer costs $O(dn^2)$ and not $O(d^2n)$; its weights are known by their products only (``LazyHaar``,
    ``LazyGaussian``), so that the gradient meets the matrix that the signal met. Weight gradients are not formed
    either: $\|\delta\,u^\top\|_F^2 = \sum_{ij} (\delta^\top\delta)_{ij} (u^\top u)_{ij}$.

    The signal's states are kept at the beginnings of segments of layers and made again, bit by bit, when the gradient
    comes to them: memory is $O(dn\sqrt L)$. The gradient is scaled to norm 1 after each layer and its logarithm
    summed, so nothing over- or underflows.

    Args:
        chain: The design.
        x: The batch, rows are samples; the same for all draws. Without one, Gaussian samples.
        batch: Samples, where ``x`` is not given.
        draws: Independent draws of all weights, at once.
        seed: Of the batch, every layer's weights, and the gradient that goes in at the end. The first layers of a
            deeper chain, and those of another loss, are the same.
        backward: Whether the gradient is sent back. Without it narrow Gaussian layers are drawn another way: the law
            is the same, the numbers are others.
        loss: ``"cotangent"`` (a random gradient of norm 1 at the output) or ``"cross_entropy"`` (the mean over the
            batch, of random labels and a Gaussian linear head with 10 classes and entries of variance $1/d$).
        metrics: What is measured of the input and behind every layer, one or several of ``rms`` and the metrics of
            ``leadline.metrics`` by name; ``numerical_rank`` counts in ``dtype``.
        dtype: Of the states: float32 or float64. Metrics are taken in float64, from Gram matrices where these
            keep the digits.
        device: Where.
        segment: Layers whose states are held at once on the way back; by itself what memory suits.
        on_layer: Called with ``"forward"`` or ``"backward"``, layers done and layers in all.

    Returns:
        The record: metrics; ``log_grad_norm`` at the input and behind every layer and ``log_weight_grad_norm`` of every
        layer (Frobenius norms, nats); ``grad_cosine`` of a state and its gradient.

    Raises:
        UsageError: If an argument has a wrong value or shape.

    Source:
        leadline: derived in the documentation (Explanation, Random matrices on demand).

    Example:
        >>> found = propagate(Chain(width=64, depth=30), batch=4, draws=3, seed=1)
        >>> found.array("isometry_gap").shape, found.array("log_grad_norm").shape
        ((3, 31), (3, 31))
        >>> round(float(found.array("participation_ratio")[:, -1].mean()))
        4
    """
    check_choice("loss", loss, LOSSES)
    metrics = (metrics,) if isinstance(metrics, str) else metrics
    for name in metrics:
        check_choice("metrics", name, METRICS)
    if segment is not None and segment < 1:
        raise UsageError(f"segment must be at least 1, got {segment}.")
    run = _Run(
        chain=chain,
        draws=draws,
        seed=seed,
        dtype=dtype,
        device=torch.device(device),
        on_layer=on_layer,
        returns=backward,
    )
    state = run.input(x, batch)
    readings = Readings(wanted=metrics, width=chain.width, eps=torch.finfo(dtype).eps)
    held = segment or run.segment(state.numel())
    starts = list(range(0, chain.depth, held))
    checkpoints: list[Tensor] = []
    readings.take(state)
    layers: list[_Layer] = []
    for start in starts:
        last = start == starts[-1]
        checkpoints += [state] if backward else []
        layers, state = run.forward(state, start, min(start + held, chain.depth), readings, kept=backward and last)
    values = {name: value.numpy() for name, value in readings.values().items()}
    if backward:
        values |= run.backward(state, layers, checkpoints, starts, loss=loss)
    return Simulation(
        design=asdict(chain),
        batch=state.shape[-1],
        draws=draws,
        seed=seed,
        loss=loss if backward else "",
        dtype=str(dtype).removeprefix("torch."),
        values={name: tuple(map(tuple, value.tolist())) for name, value in values.items()},
    )


def states(
    chain: Chain,
    x: Float[Tensor, "n d"] | None = None,
    *,
    batch: int = 16,
    draws: int = 1,
    seed: int = 0,
    dtype: torch.dtype = torch.float64,
    device: torch.device | str = "cpu",
) -> Iterator[Float[Tensor, "draws n d"]]:
    """The input and what every layer makes of it, one after another, for what ``propagate`` does not measure.

    Args:
        chain: The design.
        x: As in ``propagate``.
        batch: Likewise.
        draws: Likewise.
        seed: Likewise; the states are those of ``propagate`` without the gradient.
        dtype: Likewise.
        device: Likewise.

    Returns:
        States one by one; rows are samples.

    Raises:
        UsageError: If an argument has a wrong value or shape.

    Example:
        >>> [tuple(x.shape) for x in states(Chain(width=8, depth=2), batch=3)]
        [(1, 3, 8), (1, 3, 8), (1, 3, 8)]
    """
    run = _Run(
        chain=chain, draws=draws, seed=seed, dtype=dtype, device=torch.device(device), on_layer=None, returns=False
    )
    return run.states(run.input(x, batch))


@dataclass(frozen=True, kw_only=True)
class _Layer:
    """What the gradient needs of one layer."""

    number: int
    matrix: LazyMatrix
    state: Tensor  # what came in
    fed: Tensor  # what was multiplied
    product: Tensor  # with the skip, if there is one


@dataclass(frozen=True, kw_only=True)
class _Run:
    """One simulation under way."""

    chain: Chain
    draws: int
    seed: int
    dtype: torch.dtype
    device: torch.device
    on_layer: OnLayer | None
    returns: bool = True  # whether the gradient comes back

    def __post_init__(self) -> None:
        if self.draws < 1:
            raise UsageError(f"draws must be at least 1, got {self.draws}.")
        if self.seed < 0:
            raise UsageError(f"seed must be at least 0, got {self.seed}.")
        if self.dtype not in (torch.float32, torch.float64):
            raise UsageError(f"dtype must be float32 or float64, got {self.dtype}.")

    def input(self, x: Tensor | None, batch: int) -> Tensor:
        """The batch as columns, for every draw."""
        width = self.chain.width
        if x is None:
            if batch < 1:
                raise UsageError(f"batch must be at least 1, got {batch}.")
            return self._normal("batch", width, batch).repeat(self.draws, 1, 1)
        if x.ndim != 2 or x.shape[1] != width or not len(x):
            raise UsageError(f"x must be a batch of shape (samples, {width}), got {tuple(x.shape)}.")
        return x.detach().to(self.device, self.dtype).mT.repeat(self.draws, 1, 1)

    def states(self, state: Tensor) -> Iterator[Tensor]:
        """The input ``state`` and those behind every layer, with samples as rows."""
        yield state.mT
        for layer in range(self.chain.depth):
            _, state = self.forward(state, layer, layer + 1, None, kept=False)
            yield state.mT

    def segment(self, entries: int) -> int:
        """Layers that are held at once: all, or as many as make segments and checkpoints the least together."""
        depth = self.chain.depth
        if entries * depth * _PER_LAYER <= _HELD:
            return depth
        return max(1, math.isqrt(depth // _PER_LAYER))

    def forward(
        self, state: Tensor, start: int, stop: int, readings: Readings | None, *, kept: bool
    ) -> tuple[list[_Layer], Tensor]:
        """Layers ``start + 1`` to ``stop``: what is ``kept`` of them for the gradient, and the state behind them."""
        chain, layers = self.chain, []
        for number in range(start + 1, stop + 1):
            matrix = self._matrix(number)
            fed = chain.head(state, number)
            product = self._product(matrix, fed)
            if chain.skip is not None:
                product = state + chain.skip * product
            if kept:
                layers.append(_Layer(number=number, matrix=matrix, state=state, fed=fed, product=product))
            state = chain.tail(product, number)
            if readings is not None:
                readings.take(state)
                self._tell("forward", number)
        return layers, state

    def _product(self, matrix: LazyMatrix, fed: Tensor) -> Tensor:
        """Where no gradient comes back, small Gaussian matrices need not remember what they were asked."""
        small = fed.shape[-2] * fed.shape[-1] <= _SHORT
        if small and not self.returns and isinstance(matrix, LazyGaussian):
            return matrix.once(fed)
        return matrix.matmul(fed)

    def backward(
        self, output: Tensor, layers: list[_Layer], checkpoints: list[Tensor], starts: list[int], *, loss: str
    ) -> dict[str, np.ndarray]:
        """Log-norms of the gradient of every state and weight."""
        chain, scale = self.chain, 1.0 if self.chain.skip is None else self.chain.skip
        delta, log_size = _unit(self._gradient(output, loss), torch.zeros(self.draws, dtype=torch.float64))
        found = {"log_grad_norm": [log_size], "grad_cosine": [_cosine(output, delta)], "log_weight_grad_norm": []}
        segments = list(zip(starts, [*starts[1:], chain.depth], strict=True))
        for start, stop in reversed(segments):
            state = checkpoints.pop()
            if not layers:
                layers, _ = self.forward(state, start, stop, None, kept=True)
            while layers:
                layer = layers.pop()
                inner = _pulled_back(delta, layer.product, partial(chain.tail, layer=layer.number))
                squares = (gram(inner) * gram(layer.fed)).sum((-2, -1)).cpu()
                found["log_weight_grad_norm"].append(log_size + (abs(scale) * squares.sqrt()).log())
                fed = scale * layer.matrix.rmatmul(inner)
                outer = _pulled_back(fed, layer.state, partial(chain.head, layer=layer.number))
                delta, log_size = _unit(outer if chain.skip is None else outer + inner, log_size)
                found["log_grad_norm"].append(log_size)
                found["grad_cosine"].append(_cosine(layer.state, delta))
                self._tell("backward", chain.depth - layer.number + 1)
        return {name: torch.stack(values[::-1], dim=1).numpy() for name, values in found.items()}

    def _gradient(self, output: Tensor, loss: str) -> Tensor:
        """The gradient of the loss at the output."""
        width, n = output.shape[-2:]
        if loss == "cotangent":
            return _unit(self._normal("cotangent", self.draws, width, n), torch.zeros(self.draws))[0]
        head = self._normal("head", self.draws, _CLASSES, width) / math.sqrt(width)
        labels = self._normal("labels", self.draws, _CLASSES, n).argmax(-2, keepdim=True)
        logits = head @ output
        error = logits.softmax(-2).scatter_add(-2, labels, torch.full_like(logits[:, :1], -1.0))
        return head.mT @ error / n

    def _matrix(self, number: int) -> LazyMatrix:
        """The weights of a layer as they are drawn: again the same, whenever they are asked for."""
        width, generator = self.chain.width, self._generator(number)
        law = {"scale": self.chain.gain, "draws": (self.draws,), "generator": generator}
        return LazyHaar(width, **law) if self.chain.weights == "haar" else LazyGaussian(width, width, **law)

    def _normal(self, what: str, *shape: int) -> Tensor:
        generator = self._generator(-1 - _DRAWN.index(what))
        return torch.randn(shape, generator=generator, dtype=self.dtype, device=self.device)

    def _generator(self, stream: int) -> torch.Generator:
        """One for every layer, from 1, and for each of the rest, below 0: what one draws does not move the others."""
        first, last = self._keys
        return torch.Generator(self.device).manual_seed(_permuted((stream ^ first) & 0xFFFFFFFF) ^ last)

    @cached_property
    def _keys(self) -> tuple[int, int]:
        first, last = np.random.SeedSequence(self.seed).generate_state(2)
        return int(first), int(last)

    def _tell(self, direction: str, done: int) -> None:
        if self.on_layer is not None:
            self.on_layer(direction, done, self.chain.depth)


def _permuted(number: int) -> int:
    """A permutation of 32 bits, all that torch's generator takes of a seed: no two streams are the same."""
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        number = ((number ^ (number >> shift)) * factor) & 0xFFFFFFFF
    return number ^ (number >> 16)


def _pulled_back(delta: Tensor, at: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
    """The gradient before ``function``, from that behind it."""
    with torch.enable_grad():
        leaf = at.detach().requires_grad_()
        (found,) = torch.autograd.grad(function(leaf), leaf, delta)
    return found


def _cosine(state: Tensor, delta: Tensor) -> Tensor:
    """Of a state and a gradient of norm 1, over all their entries: 0 where nothing depends on the state's scale."""
    return ((state * delta).sum((-2, -1)) / torch.linalg.vector_norm(state, dim=(-2, -1))).double().cpu()


def _unit(delta: Tensor, log_size: Tensor) -> tuple[Tensor, Tensor]:
    """``delta`` scaled to norm 1 in each draw, and what has been divided out so far."""
    norm = torch.linalg.vector_norm(delta, dim=(-2, -1), dtype=torch.float64)
    scale = torch.where((norm > 0) & norm.isfinite(), norm, 1.0)
    return delta / scale[:, None, None].to(delta.dtype), log_size + norm.cpu().log()
