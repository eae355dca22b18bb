"""Fill every linear map of a target from one sampler, without touching the global generators."""

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from leadline.init._maps import LinearMap, settable_maps

T = TypeVar("T")  # a module or a tensor: `settable_maps` says so to whoever passes something else
_TOGETHER = 2**18

Sampler = Callable[[LinearMap, torch.Generator], Tensor]


@torch.no_grad()
def fill(target: T, sampler: Sampler, *, generator: torch.Generator | None, embeddings: bool) -> T:
    """Store ``sampler(map, generator)`` in every linear map of ``target`` and set the biases of those maps to zero."""
    maps = settable_maps(target, embeddings=embeddings)
    for alike in _drawn_together(maps):
        first = alike[0]
        own = own_generator(generator, first.parameter.device)
        values = sampler(first if len(alike) == 1 else replace(first, maps=first.maps * len(alike)), own)
        for entry, part in zip(alike, values.split(first.maps), strict=True):
            entry.store(part)
    if isinstance(target, nn.Module):
        zero_biases(target, (entry.name for entry in maps))
        if embeddings:
            _zero_padding(target)
    return target


def _drawn_together(maps: list[LinearMap]) -> Iterator[list[LinearMap]]:
    """Neighbours of one shape, at most ``_TOGETHER`` numbers of them: small matrices are cheap by the batch."""
    for _, run in itertools.groupby(maps, key=_shape):
        alike = list(run)
        size = max(1, _TOGETHER // alike[0].parameter.numel())
        yield from (alike[start : start + size] for start in range(0, len(alike), size))


def _shape(entry: LinearMap) -> tuple[object, ...]:
    return (
        entry.maps, entry.outputs, entry.inputs, entry.kernel, entry.stride, entry.dilation, entry.transposed,
        entry.dtype, entry.parameter.device,
    )  # fmt: skip


def own_generator(generator: torch.Generator | None, device: torch.device) -> torch.Generator:
    """``generator``, or a new one on ``device`` with a seed from the operating system."""
    if generator is None:
        generator = torch.Generator(device)
        generator.seed()
    return generator


def normal(*shape: int, generator: torch.Generator, dtype: torch.dtype, device: torch.device | None = None) -> Tensor:
    """Independent standard normal numbers, drawn where the generator lies and then moved to ``device``."""
    return torch.randn(shape, generator=generator, dtype=dtype, device=generator.device).to(device)


def zero_biases(model: nn.Module, names: Iterable[str]) -> None:
    """Set the biases that go with the weights ``names`` to zero, where they can be trained."""
    modules = dict(model.named_modules())
    for name in names:
        path, _, weight = name.rpartition(".")
        module = modules[path]
        bias = getattr(module, "bias" if weight == "weight" else "in_proj_bias", None)
        if isinstance(bias, nn.Parameter) and bias.requires_grad and not parametrize.is_parametrized(module, "bias"):
            bias.zero_()


def _zero_padding(model: nn.Module) -> None:
    """The row of an embedding that stands for padding stays zero."""
    for module in model.modules():
        if not isinstance(module, (nn.Embedding, nn.EmbeddingBag)) or module.padding_idx is None:
            continue
        if module.weight.requires_grad:
            module.weight[module.padding_idx].zero_()
