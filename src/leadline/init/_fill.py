"""Fill every linear map of a target from one sampler, without touching the global generators."""

from collections.abc import Callable, Iterable
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from leadline.init._maps import LinearMap, linear_maps

T = TypeVar("T")  # a module or a tensor: `linear_maps` says so to whoever passes something else
Sampler = Callable[[LinearMap, torch.Generator], Tensor]


@torch.no_grad()
def fill(target: T, sampler: Sampler, *, generator: torch.Generator | None, embeddings: bool) -> T:
    """Store ``sampler(map, generator)`` in every linear map of ``target`` and set the biases of those maps to zero."""
    maps = linear_maps(target, embeddings=embeddings)
    for entry in maps:
        entry.store(sampler(entry, own_generator(generator, entry.parameter.device)))
    if isinstance(target, nn.Module):
        _zero_biases(target, (entry.name for entry in maps))
        if embeddings:
            _zero_padding(target)
    return target


def own_generator(generator: torch.Generator | None, device: torch.device) -> torch.Generator:
    """``generator``, or a new one on ``device`` with a seed from the operating system."""
    if generator is None:
        generator = torch.Generator(device)
        generator.seed()
    return generator


def normal(*shape: int, generator: torch.Generator, dtype: torch.dtype, device: torch.device | None = None) -> Tensor:
    """Independent standard normal numbers, drawn where the generator lies and then moved to ``device``."""
    return torch.randn(shape, generator=generator, dtype=dtype, device=generator.device).to(device)


def _zero_biases(model: nn.Module, names: Iterable[str]) -> None:
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
