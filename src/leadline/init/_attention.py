"""The projections inside torch's attention as layers, though they do not run as such."""

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from leadline.init._layer import Layer
from leadline.init._maps import LinearMap, linear_maps

_READ = ("query", "key", "value")
_ARGUMENTS = inspect.signature(nn.MultiheadAttention.forward)


def projections(
    model: nn.Module, where: Callable[[str, nn.Module], bool] | None
) -> list[tuple[nn.MultiheadAttention, dict[str, Layer]]]:
    """Every attention of torch, and its trainable projections by what they read: query, key, value or heads.

    A projection is a linear layer whose weight and bias are views of the attention's own, so that it changes them.
    Parametrised weights cannot be changed so and are left out, and a shared weight counts once.
    """
    weights = {entry.name for entry in linear_maps(model) if entry.owner is None}
    found = []
    for name, attention in model.named_modules():
        if isinstance(attention, nn.MultiheadAttention):
            path = f"{name}." if name else ""
            layers = {
                reads: _layer(
                    path + called, path + held, weight.detach(), None if bias is None else bias.detach(), turn
                )
                for turn, (reads, called, held, weight, bias) in enumerate(_parameters(attention))
                if path + held in weights and (where is None or where(path + called, attention))
            }
            found.append((attention, layers))
    return found


def _parameters(attention: nn.MultiheadAttention) -> Iterator[tuple[str, str, str, Tensor, Tensor | None]]:
    """What a projection reads, its name, the name of the parameter that holds it, its weight and bias."""
    biases = [None] * 3 if attention.in_proj_bias is None else attention.in_proj_bias.chunk(3)
    if attention.in_proj_weight is not None:
        weights, held = attention.in_proj_weight.chunk(3), ["in_proj_weight"] * 3
    else:
        weights = (attention.q_proj_weight, attention.k_proj_weight, attention.v_proj_weight)
        held = ["q_proj_weight", "k_proj_weight", "v_proj_weight"]
    yield from zip(_READ, ("q_proj", "k_proj", "v_proj"), held, weights, biases, strict=True)
    yield "heads", "out_proj", "out_proj.weight", attention.out_proj.weight, attention.out_proj.bias


def _layer(path: str, held: str, weight: Tensor, bias: Tensor | None, turn: int) -> Layer:
    outputs, inputs = weight.shape
    module = nn.Linear(inputs, outputs, bias=bias is not None, device="meta")
    module.weight = nn.Parameter(weight)
    if bias is not None:
        module.bias = nn.Parameter(bias)
    return Layer(
        name=path,
        module=module,
        weight=LinearMap(name=f"{path}.weight", parameter=module.weight, maps=1, outputs=outputs, inputs=inputs),
        parameter=held,
        part=turn if held.endswith("in_proj_weight") else None,
        turn=turn,
    )


def given_to(attention: nn.MultiheadAttention, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Tensor]:
    """Query, key and value of a call, samples along the first axis."""
    given = _ARGUMENTS.bind(attention, *args, **kwargs).arguments
    return {key: samples_first(attention, given[key]) for key in _READ}


def samples_first(attention: nn.MultiheadAttention, x: Tensor) -> Tensor:
    """``x`` (positions, samples, features) the other way round, where the attention takes it so; its own inverse."""
    return x if attention.batch_first or x.ndim == 2 else x.transpose(0, 1)


def heads(attention: nn.MultiheadAttention, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    """What the output projection reads: the output of the attention with the identity in its place."""
    out = attention.out_proj
    held = [out.weight] if out.bias is None else [out.weight, out.bias]
    kept = [parameter.clone() for parameter in held]
    try:
        for parameter, plain in zip(held, (torch.eye(len(out.weight)), torch.zeros(len(out.weight))), strict=False):
            parameter.copy_(plain)
        return samples_first(attention, attention.forward(*args, **kwargs)[0])
    finally:
        for parameter, value in zip(held, kept, strict=True):
            parameter.copy_(value)
