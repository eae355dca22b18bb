"""The metrics of many matrices of rows, from float64 Gram matrices; nothing of a matrix is kept but its spectrum."""

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from leadline.metrics._formulas import pairwise_metrics, spectral_metrics
from leadline.metrics._spectrum import GRAM_CONDITION, centre, squared_singular_values

# Below this share of the centred norm in the whole it is taken from the rows: the Gram matrix has lost its digits.
_CENTRED_FROM_GRAM = 1e-3

_CHUNK = 2**17  # entries of Gram matrices that are kept until they are looked at together

CENTRED = "centred_participation_ratio"

# Which of the matrices -> those matrices in float64. Asked for only where their Gram matrices do not tell enough.
Rows = Callable[[Tensor], Tensor]


@dataclass(kw_only=True)
class Spectra:
    """Metrics of matrices that are handed in by their Gram matrices, some of one shape at a time.

    They are those of ``leadline.metrics`` and the centred participation ratio, by the same formulas on the
    eigenvalues of the Gram matrix, where its condition is below 1e8, and on singular values beyond.
    """

    _eigenvalues: dict[tuple[int, int, float], list[tuple[list[int], Tensor]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    _grams: dict[int, list["_Grams"]] = field(default_factory=lambda: defaultdict(list))
    _others: list[tuple[list[int], dict[str, Tensor]]] = field(default_factory=list)
    _count: int = 0

    def add(self, gram: Float[Tensor, "matrices n n"], rows: Rows, *, d: int, dtype: torch.dtype) -> list[int]:
        """Measure matrices of ``d`` columns whose entries came in ``dtype``; their places in ``values``."""
        n = gram.shape[-1]
        places = list(range(self._count, self._count + len(gram)))
        self._count += len(gram)
        trace, whole = gram.diagonal(dim1=-2, dim2=-1).sum(-1), gram.sum((-2, -1))
        finite = trace.isfinite()
        some = not finite.all()
        if some:
            gram = torch.where(finite[:, None, None], gram, 0.0)
            trace, whole = torch.where(finite, trace, 0.0), torch.where(finite, whole, 0.0)
        near = trace - whole / n <= _CENTRED_FROM_GRAM * trace
        spread = _spread(rows(near)) if near.any() else None
        self._grams[n].append(_Grams(places=places, gram=gram, finite=finite, near=near, spread=spread))
        eigenvalues = _eigenvalues(gram, rows, d=d)
        if some:
            eigenvalues[~finite] = math.nan
        self._eigenvalues[(n, d, torch.finfo(dtype).eps)].append((places, eigenvalues))
        if sum(len(own.places) for own in self._grams[n]) * n * n > _CHUNK:
            self._others.append(_of_grams(self._grams.pop(n)))
        return places

    def values(self) -> list[dict[str, float]]:
        """For each matrix its metrics by name; ``nan`` throughout for one that holds nan or inf."""
        values: list[dict[str, float]] = [{} for _ in range(self._count)]
        while self._grams:
            self._others.append(_of_grams(self._grams.popitem()[1]))
        others = list(self._others)
        for (n, d, eps), parts in self._eigenvalues.items():
            places = [place for own, _ in parts for place in own]
            others.append((places, spectral_metrics(torch.cat([e for _, e in parts]), n=n, d=d, eps=eps)))
        for places, metrics in others:
            for place, row in zip(places, torch.stack(list(metrics.values())).T.tolist(), strict=True):
                values[place].update(zip(metrics, row, strict=True))
        return values


def _eigenvalues(gram: Float[Tensor, "matrices n n"], rows: Rows, *, d: int) -> Float[Tensor, "matrices k"]:
    n = gram.shape[-1]
    found = torch.linalg.eigvalsh(gram)[:, -min(n, d) :]
    ill = (found[:, 0] * GRAM_CONDITION <= found[:, -1]) & (found[:, -1] > 0)
    if ill.any():
        found[ill] = squared_singular_values(rows(ill))
    return found


class _Grams(NamedTuple):
    """Gram matrices, and of those whose rows are near one another how far they are spread about their mean."""

    places: list[int]
    gram: Tensor
    finite: Tensor
    near: Tensor
    spread: tuple[Tensor, Tensor] | None


def _of_grams(parts: Sequence[_Grams]) -> tuple[list[int], dict[str, Tensor]]:
    """What the Gram matrices alone tell."""
    gram, finite = torch.cat([part.gram for part in parts]), torch.cat([part.finite for part in parts])
    centred, ratio = _centred(gram)
    near, spreads = torch.cat([part.near for part in parts]), [part.spread for part in parts if part.spread]
    if spreads:
        centred[near], ratio[near] = (torch.cat(own) for own in zip(*spreads, strict=True))
    found = pairwise_metrics(gram, centred) | {CENTRED: ratio}
    if not finite.all():
        found = {name: torch.where(finite, values, math.nan) for name, values in found.items()}
    return [place for part in parts for place in part.places], found


def _centred(gram: Float[Tensor, "matrices n n"]) -> tuple[Float[Tensor, " matrices"], Float[Tensor, " matrices"]]:
    """Squared norm of the rows minus their mean, and the participation ratio of those.

    With H the centring projection both are traces of H G: no eigenvalue is needed.
    """
    n = gram.shape[-1]
    sums = gram.sum(-1)
    whole = sums.sum(-1)
    centred = gram.diagonal(dim1=-2, dim2=-1).sum(-1) - whole / n
    squares = torch.linalg.vector_norm(gram, dim=(-2, -1)).square()
    squares += (whole / n).square() - 2 * sums.square().sum(-1) / n
    return centred, centred.square() / squares


def _spread(x: Float[Tensor, "matrices n d"]) -> tuple[Float[Tensor, " matrices"], Float[Tensor, " matrices"]]:
    """The same from the rows themselves."""
    x = centre(x)
    gram = x @ x.mT
    centred = gram.diagonal(dim1=-2, dim2=-1).sum(-1)
    # Rows that are all alike, zero rows among them, spread along no direction.
    return centred, (centred.square() / gram.square().sum((-2, -1))).where(centred != 0, 0.0)
