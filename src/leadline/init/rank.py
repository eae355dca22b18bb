"""Pre-training without labels that spreads the last hidden representation over many directions."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_sequence, unpack_sequence

from leadline._core.arguments import arguments
from leadline._core.buffers import Buffers
from leadline._core.checks import check_whole
from leadline._core.errors import UsageError
from leadline._core.names import check_choice
from leadline._core.randomness import kept_rng
from leadline.init._fill import own_generator
from leadline.init._layer import Layer
from leadline.init._passes import call, check_samples, run_once, unchanged_on_error

_EVERY = 4  # layers between the losses of the growing version


@dataclass(frozen=True, kw_only=True)
class Ranked:
    """What pre-training did.

    Attributes:
        before: Participation ratio of the last hidden representation of the last batch, before.
        after: The same, after.
        steps: How many steps of descent were taken.
    """

    before: float
    after: float
    steps: int


def maximise_rank(
    model: nn.Module,
    inputs: Any,
    *,
    version: str = "adam",
    batch: int = 64,
    rounds: int = 20,
    steps: int = 40,
    generator: torch.Generator | None = None,
) -> Ranked:
    r"""Descend on the inverse participation ratio of hidden representations, in place, without labels.

    With the Gram matrix $G = h h^\top$ of the samples:

    * ``"adam"``: the loss is $\|G\|_F / \operatorname{tr} G$ of the last hidden representation, by Adam at 1e-3,
      from 10 hidden layers on at .09 over their square. It works at depth 30 too, where at 1e-3 half of the draws run
      away.
    * ``"last"``, the paper's: the same loss by plain SGD at 1e-3. Stalls where the ratio starts at 1.
    * ``"growing"``, the paper's other: the loss is $\|G\|_F^2 / (\operatorname{tr} G)^2$ of every fourth layer's
      output, from shallow to deep, on one fixed batch, by SGD at .1 on weights only.

    The last hidden representation is the input of the layer with weights that runs last. The weights that are there
    are the start. Frozen parameters stay; gradients, buffers and the global generators are put back.

    Args:
        model: The model, which is run in the mode it is in.
        inputs: A tensor, a tuple of positional or a mapping of keyword arguments, samples along their first axes.
        version: One of the three above.
        batch: Samples of a batch, from 2: 64 and, growing, 32 in the paper.
        rounds: Batches drawn; 1000 in the paper. Of the growing version passes over depth, 1.
        steps: Steps on each batch: 40; of the growing version on each depth: 5 or 80.
        generator: Draws the batches; without one, a seed of the operating system.

    Returns:
        Participation ratios before and after, on a batch that is drawn last and not trained on where there are samples
        left.

    Raises:
        UsageError: If an argument is out of range, ``inputs`` hold no sample or do not fit it, or the model runs fewer
            than two layers with weights.

    Source:
        daneshmand2020, section 5 and the authors' code of figures 4 and 6; Adam is leadline's own.

    Example:
        >>> from leadline._core.randomness import seeded
        >>> with seeded(0):
        ...     net = nn.Sequential(*[m for _ in range(6) for m in (nn.Linear(16, 16), nn.ReLU())], nn.Linear(16, 2))
        ...     x = torch.randn(200, 16)
        >>> ranked = maximise_rank(net, x, rounds=10, generator=torch.Generator().manual_seed(0))
        >>> ranked.before < 1.5, ranked.after > 2.5
        (True, True)
    """
    check_choice("version", version, ("adam", "last", "growing"))
    check_whole("batch", batch, least=2)
    check_whole("rounds", rounds, least=0)
    check_whole("steps", steps, least=0)
    check_samples(inputs)
    order: list[Layer] = []
    running = set(model.modules())  # not the projections inside torch's attention
    with unchanged_on_error(model):
        run_once(
            model,
            _taken(inputs, slice(0, 2)),
            where=None,
            before=lambda layer, _: order.append(layer) if layer.module in running else None,
        )
    if len(order) < 2:
        raise UsageError(f"The model runs {len(order)} layers with weights: without a hidden layer there is no rank.")
    shuffled = torch.randperm(_count(inputs), generator=own_generator(generator, torch.device("cpu"))).tolist()
    test, seen = shuffled[:batch], shuffled[batch:] or shuffled
    with _borrowed(model):
        before = _ratio(_hidden(model, _taken(inputs, test), order[-1]))
        if version == "growing":
            taken = _growing(model, _taken(inputs, seen[:batch]), order, rounds=rounds, steps=steps)
        else:
            starts = [i * batch % max(1, len(seen) - batch + 1) for i in range(rounds)]
            batches = (_taken(inputs, seen[start : start + batch]) for start in starts)
            taken = _last(model, batches, order, steps=steps, adam=version == "adam")
        after = _ratio(_hidden(model, _taken(inputs, test), order[-1]))
    return Ranked(before=before, after=after, steps=taken)


def _last(model: nn.Module, batches: Iterator[Any], order: list[Layer], *, steps: int, adam: bool) -> int:
    parameters = [p for p in model.parameters() if p.requires_grad]
    # Tried: 1e-3 is fine for ten layers; of 30 layers every draw ran well at 1e-4 and half of them at 1e-3.
    rate = 1e-3 / max(1.0, (len(order) - 1) ** 2 / 90) if adam else 1e-3
    optimiser = (torch.optim.Adam if adam else torch.optim.SGD)(parameters, lr=rate)
    taken = 0
    for inputs in batches:
        for _ in range(steps):
            optimiser.zero_grad()
            _spread(_hidden(model, inputs, order[-1])).backward()
            optimiser.step()
            taken += 1
    return taken


def _growing(model: nn.Module, inputs: Any, order: list[Layer], *, rounds: int, steps: int) -> int:
    taken = 0
    for _ in range(rounds):
        for depth in range(_EVERY, len(order) - 1, _EVERY):
            weights = [layer.weight.parameter for layer in order[: depth + 1] if layer.weight.owner is None]
            for _ in range(steps):
                output = _watched(model, inputs, order[depth], output=True)
                grads = torch.autograd.grad(_spread(output).square(), weights)
                with torch.no_grad():
                    for weight, grad in zip(weights, grads, strict=True):
                        weight.sub_(grad, alpha=0.1)
                taken += 1
    return taken


def _hidden(model: nn.Module, inputs: Any, last: Layer) -> Tensor:
    return _watched(model, inputs, last, output=False)


def _watched(model: nn.Module, inputs: Any, layer: Layer, *, output: bool) -> Tensor:
    """Input or output of ``layer`` as (samples, features), with its graph."""
    found: list[Any] = []
    if output:
        handle = layer.module.register_forward_hook(lambda _m, _x, y: found.append(y))
    else:
        handle = layer.module.register_forward_pre_hook(lambda _m, x: found.append(x[0]))
    try:
        call(model, inputs)
    finally:
        handle.remove()
    return found[0].flatten(1)


def _spread(h: Float[Tensor, "n d"]) -> Float[Tensor, ""]:
    """‖G‖_F / tr G, one over the root of the participation ratio; the same for either Gram matrix."""
    gram = h @ h.T if h.shape[0] <= h.shape[1] else h.T @ h
    return gram.norm() / gram.trace()


def _ratio(h: Tensor) -> float:
    return _spread(h.detach().double()).item() ** -2


@contextmanager
def _borrowed(model: nn.Module) -> Iterator[None]:
    """Gradients, buffers and the global generators are as before afterwards."""
    grads = [(p, p.grad) for p in model.parameters()]
    buffers = Buffers(model)
    for parameter, _ in grads:
        parameter.grad = None
    try:
        with kept_rng(), torch.enable_grad():
            yield
    finally:
        for parameter, grad in grads:
            parameter.grad = grad
        buffers.put_back()


def _taken(inputs: Any, which: Any) -> Any:
    """The samples ``which`` of every tensor in ``inputs``."""
    if isinstance(inputs, PackedSequence):
        sequences = unpack_sequence(inputs)
        chosen = torch.arange(len(sequences))[which].tolist()
        return pack_sequence([sequences[i] for i in chosen], enforce_sorted=False)
    if isinstance(inputs, Mapping):
        return {key: _taken(value, which) for key, value in inputs.items()}
    if isinstance(inputs, tuple):
        parts = [_taken(value, which) for value in inputs]
        return type(inputs)(*parts) if hasattr(inputs, "_fields") else tuple(parts)
    return inputs[which] if isinstance(inputs, Tensor) else inputs


def _count(inputs: Any) -> int:
    args, kwargs = arguments(inputs)
    first = next(iter((*args, *kwargs.values())))
    if isinstance(first, PackedSequence):
        return int(first.batch_sizes[0])
    return len(first)
