"""Chains of dense weights of any law, drawn in full: the normalised recursion $H' = BN(H + γ W H)$ itself."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from leadline.simulate.chain import ACTIVATIONS

Law = Callable[[tuple[int, ...], torch.Generator], Tensor]


def gaussian(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def uniform(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return (torch.rand(shape, generator=generator, dtype=torch.float64) - 0.5) * 12**0.5


def signs(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return torch.randint(2, shape, generator=generator).double() * 2 - 1


def positive(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return torch.rand(shape, generator=generator, dtype=torch.float64)


def batch_norm(h: Tensor, *, centred: bool = False) -> Tensor:
    """Rows (features) over their root mean square; the papers' form, features before samples."""
    if centred:
        h = h - h.mean(-1, keepdim=True)
    return h / h.square().mean(-1, keepdim=True).sqrt()


def scaled(h: Tensor) -> Tensor:
    """Of root mean square 1 as a whole: no normalisation of features, but neither overflow, and no rank sees it."""
    return h / h.norm(dim=(-2, -1), keepdim=True) * h.shape[-1]


def chain(
    h: Tensor,
    *,
    depth: int,
    generator: torch.Generator,
    law: Law = gaussian,
    gamma: float | None = None,
    centred: bool = False,
    vanilla: bool = False,
    activation: str = "identity",
) -> Iterator[Tensor]:
    """States ``(draws, d, N)`` of independent chains, layer after layer; ``vanilla`` without batch normalisation."""
    draws, d, _ = h.shape
    for _ in range(depth):
        moved = law((draws, d, d), generator) @ h
        h = moved if gamma is None else h + gamma * moved
        h = scaled(h) if vanilla else batch_norm(h, centred=centred)
        h = ACTIVATIONS[activation](h)
        yield h


def moments(h: Tensor) -> Tensor:
    """Moment matrices ``(draws, d, d)``."""
    return h @ h.mT / h.shape[-1]
