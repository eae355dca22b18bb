"""The metrics of many matrices of rows: those of one shape at once, from float64 Gram matrices."""

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from leadline._core.profile import MATRIX
from leadline.metrics._formulas import pairwise_metrics, spectral_metrics
from leadline.metrics._spectrum import centre, gram_eigenvalues, widen

_CHUNK = 2**19  # entries at once: what a core's cache holds in float64
# Below this share of the centred norm in the whole it is taken from the rows: the Gram matrix has lost its digits.
_CENTRED_FROM_GRAM = 1e-3

CENTRED = "centred_participation_ratio"


@torch.no_grad()
def matrix_numbers(matrices: Sequence[Tensor]) -> list[dict[str, float]]:
    """For each matrix its metrics by name: those of ``leadline.metrics`` and the centred participation ratio.

    Args:
        matrices: Of shape ``(n, d)``, rows are samples; any float dtype.

    Returns:
        Name -> value; ``nan`` throughout for a matrix that holds nan or inf.
    """
    numbers: list[dict[str, float]] = [{} for _ in matrices]
    names = (*MATRIX, CENTRED)
    order: list[int] = []
    values: list[Tensor] = []
    for group in _grouped(matrices):
        found = _numbers(_stacked([matrices[i] for i in group]), eps=torch.finfo(matrices[group[0]].dtype).eps)
        order += group
        values.append(torch.stack([found[name] for name in names]).to(matrices[0].device))
    if values:
        for i, row in zip(order, torch.cat(values, dim=1).T.tolist(), strict=True):
            numbers[i] = dict(zip(names, row, strict=True))
    return numbers


def _grouped(matrices: Sequence[Tensor]) -> Iterator[list[int]]:
    alike: dict[object, list[int]] = defaultdict(list)
    for i, x in enumerate(matrices):
        alike[(x.shape, x.dtype, x.device)].append(i)
    for group in alike.values():
        step = max(1, _CHUNK // max(1, matrices[group[0]].numel()))
        yield from (group[i : i + step] for i in range(0, len(group), step))


def _stacked(matrices: Sequence[Tensor]) -> Float[Tensor, "matrices n d"]:
    """In float64; float64 matrices on a scale on which their squares neither over- nor underflow."""
    first = matrices[0]
    if first.dtype == torch.float64:
        return widen(torch.stack(list(matrices)))
    wide = first.new_empty((len(matrices), *first.shape), dtype=torch.float64)
    for row, matrix in zip(wide, matrices, strict=True):
        row.copy_(matrix)
    return wide


def _numbers(x: Float[Tensor, "matrices n d"], *, eps: float) -> dict[str, Float[Tensor, " matrices"]]:
    n, d = x.shape[-2:]
    gram = x @ x.mT
    finite = gram.diagonal(dim1=-2, dim2=-1).sum(-1).isfinite()
    if not finite.all():
        x, gram = (torch.where(finite[:, None, None], t, math.nan) for t in (x, gram))
    centred, ratio = _centred(x, gram)
    found = spectral_metrics(gram_eigenvalues(x, gram), n=n, d=d, eps=eps)
    return found | pairwise_metrics(gram, centred) | {CENTRED: ratio}


def _centred(
    x: Float[Tensor, "matrices n d"], gram: Float[Tensor, "matrices n n"]
) -> tuple[Float[Tensor, " matrices"], Float[Tensor, " matrices"]]:
    """Squared norm of the rows minus their mean, and the participation ratio of those.

    With H the centring projection both are traces of H G: no eigenvalue is needed.
    """
    n = gram.shape[-1]
    sums = gram.sum(-1)
    whole = sums.sum(-1)
    trace = gram.diagonal(dim1=-2, dim2=-1).sum(-1)
    centred = trace - whole / n
    squares = gram.square().sum((-2, -1)) - 2 * sums.square().sum(-1) / n + (whole / n).square()
    ratio = centred.square() / squares
    lost = centred <= _CENTRED_FROM_GRAM * trace
    if lost.any():
        rows = centre(x[lost])
        inner = rows @ rows.mT
        centred[lost] = inner.diagonal(dim1=-2, dim2=-1).sum(-1)
        # Rows that are all alike, zero rows among them, spread along no direction.
        ratio[lost] = (centred[lost].square() / inner.square().sum((-2, -1))).where(centred[lost] != 0, 0.0)
    return centred, ratio
