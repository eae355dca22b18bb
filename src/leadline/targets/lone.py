"""A batch for a model that comes without one: from what is asked for, or from its first layer."""

import copy
import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from leadline._core.errors import UsageError
from leadline._core.names import check_choice
from leadline._core.randomness import kept_rng
from leadline.data import Batch, gaussian, token_ids
from leadline.targets import hf
from leadline.targets.images import IMAGES, images
from leadline.targets.plan import Wanted, counted, sequence_length, times

_SAMPLES = 64
_LENGTH = 16
# Sides of the square images that are tried, the commonest first.
_SIDES = (32, 28, 224, 64, 8)


def batch_for(model: nn.Module, wanted: Wanted, *, whose: str) -> tuple[Batch, str]:
    """A batch that ``model`` takes, and the batch in words.

    Images of a data set and Gaussian samples of a given shape where they are asked for. Otherwise models of
    `transformers` say what they take; of others the first layer does, and a copy of the model in eval mode tries what
    is inferred.

    Args:
        model: The model; neither its weights, its mode nor torch's global generators are changed.
        wanted: What the caller asked for.
        whose: The model's name in messages.

    Returns:
        The batch and its description.

    Raises:
        UsageError: If nothing is asked for and nothing can be inferred, or the model takes tokens and
            something else is asked for, or images are asked for whose size it does not take.
    """
    if hf.speaks_for_itself(model):
        return hf.batch_for(model, wanted, whose=whose)
    size, seed = wanted.batch or _SAMPLES, wanted.seed
    name, first = _first_layer(model)
    if isinstance(first, nn.Embedding):
        check_choice(f"data for {whose}, whose first layer is an Embedding,", wanted.data or "tokens", ("tokens",))
        length = sequence_length(wanted, _LENGTH, whose=whose)
        ids = token_ids(size, length, first.num_embeddings, seed=seed)
        if not _runs(model, ids.samples[:2]):
            raise UsageError(_unknown(name, first, whose))
        return Batch(inputs=ids.inputs), f"{counted(size, 'sequence')} of {length} random tokens"
    if wanted.data is not None:
        check_choice(f"data for {whose}", wanted.data, (*IMAGES, "gaussian"))
    if wanted.data in IMAGES:
        return _fitting(*images(wanted.data, wanted, size=size), model=model, whose=whose)
    shape = wanted.input_shape or _inferred(model, name, first, whose)
    return gaussian(size, shape, seed=seed), f"{counted(size, 'Gaussian sample')} of {times(shape)}"


def _fitting(batch: Batch, about: str, *, model: nn.Module, whose: str) -> tuple[Batch, str]:
    """The images as they are, or flat where only that runs."""
    shape = tuple(batch.samples.shape[1:])
    if _runs(model, _zeros(model, shape)):
        return batch, about
    if _runs(model, _zeros(model, (math.prod(shape),))):
        return _flat(batch), about
    name, first = _first_layer(model)
    layer = f"; its first layer, {name or 'the model'}, is {first}" if first else ""
    raise UsageError(
        f"{whose} takes neither images of {times(shape)} nor rows of {math.prod(shape)}, which are {about}{layer}. "
        "Take data of its size, or build it for this one."
    )


def _flat(batch: Batch) -> Batch:
    pool = batch.pool and _flat(batch.pool)
    return Batch(inputs=batch.samples.flatten(1), targets=batch.targets, pool=pool)


def _first_layer(model: nn.Module) -> tuple[str, nn.Module | None]:
    for name, module in model.named_modules():
        if isinstance(module, (nn.Embedding, *_SHAPES)):
            return name, module
    return "", None


def _inferred(model: nn.Module, name: str, first: nn.Module | None, whose: str) -> tuple[int, ...]:
    for shape in _candidates(first):
        if 0 not in shape and _runs(model, _zeros(model, shape)):
            return shape
    raise UsageError(_unknown(name, first, whose))


def _unknown(name: str, first: nn.Module | None, whose: str) -> str:
    about = (
        f"its first layer, {name or 'the model'} ({type(first).__name__}), does not tell"
        if first
        else "no layer of it tells"
    )
    return (
        f"What {whose} takes is unknown: {about}; give the shape of a sample (--input-shape 3,32,32), "
        f"or return (module, inputs)."
    )


def _candidates(first: nn.Module | None) -> Iterator[tuple[int, ...]]:
    for kind, shapes in _SHAPES.items():
        if isinstance(first, kind):
            yield from shapes(first)
            return


# Kind of first layer -> shapes of a sample to try.
_SHAPES: dict[type[nn.Module], Callable[[Any], list[tuple[int, ...]]]] = {
    nn.MultiheadAttention: lambda layer: [(_LENGTH, layer.embed_dim)],
    nn.RNNBase: lambda layer: [(_LENGTH, layer.input_size)],
    nn.Linear: lambda layer: [(layer.in_features,), (_LENGTH, layer.in_features)],
    nn.Conv1d: lambda layer: [(layer.in_channels, length) for length in (64, 1024, 16000)],
    nn.Conv2d: lambda layer: [(layer.in_channels, side, side) for side in _SIDES],
    nn.Conv3d: lambda layer: [(layer.in_channels, 16, 16, 16)],
}


def _zeros(model: nn.Module, shape: tuple[int, ...]) -> Tensor:
    """Two samples of that shape, on the model's device and in its dtype."""
    parameter = next(model.parameters(), torch.zeros(()))
    return torch.zeros(2, *shape, dtype=parameter.dtype, device=parameter.device)


def _runs(model: nn.Module, x: Tensor) -> bool:
    """Whether a copy of the model in eval mode takes ``x``."""
    try:
        with torch.no_grad(), kept_rng():
            copy.deepcopy(model).eval()(x)
    # A model refuses an input in its own way, and any refusal is an answer.
    except Exception:
        return False
    return True
