"""What is read off each layer of a simulation: metrics of Gram matrices, many layers at once."""

from collections.abc import Collection
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from leadline.metrics._formulas import pairwise_metrics, spectral_metrics
from leadline.metrics._spectrum import centre, gram_eigenvalues, scaled

SPECTRAL = (
    "isometry_gap", "orthogonality_gap", "participation_ratio", "effective_rank", "stable_rank", "numerical_rank",
    "soft_rank", "condition_number",
)  # fmt: skip
PAIRWISE = ("mean_cosine", "mean_abs_cosine", "mean_square_cosine", "distinction")
METRICS = ("rms", *SPECTRAL, *PAIRWISE)

_NEAR = 1e-4  # share of the squared norm below which the Gram matrix keeps too few digits of what tells rows apart
_BLOCK = 2**16  # rows that are widened at once
_TOGETHER = 2**17  # entries of states that are kept until they are looked at together


def gram(x: Float[Tensor, "draws d n"], y: Float[Tensor, "draws d m"] | None = None) -> Float[Tensor, "draws n m"]:
    """``x.mT @ y`` (``y`` is ``x`` by default) in float64, block by block of its rows."""
    parts = zip(x.split(_BLOCK, dim=-2), (x if y is None else y).split(_BLOCK, dim=-2), strict=True)
    total: Tensor | float = 0.0
    for a, b in parts:
        wide = a.double()
        total = total + wide.mT @ (wide if y is None else b.double())
    assert isinstance(total, Tensor)
    return total


@dataclass(kw_only=True)
class Readings:
    """Metrics of the states of a chain, layer by layer.

    Attributes:
        wanted: Names among ``METRICS``.
        width: Rows of the states.
        eps: Machine epsilon of the states, for the numerical rank.
    """

    wanted: Collection[str]
    width: int
    eps: float
    _waiting: list[Tensor] = field(default_factory=list)
    _values: dict[str, list[Tensor]] = field(default_factory=dict)

    def take(self, state: Float[Tensor, "draws d n"]) -> None:
        """Read the state of the next layer."""
        if not self.wanted:
            return
        self._waiting.append(state)
        if len(self._waiting) * state.numel() >= _TOGETHER:
            self._look()

    def values(self) -> dict[str, Float[Tensor, "draws layers"]]:
        """The metrics by name."""
        self._look()
        return {name: torch.cat(self._values[name]).T.contiguous() for name in METRICS if name in self.wanted}

    def _look(self) -> None:
        if not self._waiting:
            return
        x, scale = scaled(torch.stack(self._waiting).mT)
        self._waiting = []
        n, wanted = x.shape[-2], set(self.wanted)
        own = x @ x.mT
        squares = own.diagonal(dim1=-2, dim2=-1).sum(-1)
        found = {"rms": scale[..., 0, 0] * (squares / (n * self.width)).sqrt()}
        if wanted & set(PAIRWISE):
            found |= pairwise_metrics(own, _centred(x, own))
        if wanted & set(SPECTRAL):
            found |= spectral_metrics(gram_eigenvalues(x, own), n=n, d=self.width, eps=self.eps)
        for name in self.wanted:
            self._values.setdefault(name, []).append(found[name].cpu())


def _centred(
    x: Float[Tensor, "layers draws n d"], own: Float[Tensor, "layers draws n n"]
) -> Float[Tensor, "layers draws"]:
    """Squared norm of the rows minus their mean, of rows that are near one another from themselves."""
    total = own.diagonal(dim1=-2, dim2=-1).sum(-1)
    centred = total - own.sum((-2, -1)) / x.shape[-2]
    near = centred <= _NEAR * total
    if near.any():
        centred[near] = centre(x[near]).square().sum((-2, -1))
    return centred
