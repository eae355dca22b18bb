"""How alike the samples of a batch are: cosines of its pairs, and the share of its norm that tells them apart."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from leadline.metrics import _formulas
from leadline.metrics._rows import Rows, check_rows, result_dtype
from leadline.metrics._spectrum import centre, widen

# Entries of the Gram matrix that are held at once: 128 MiB in float64.
_BLOCK = 2**24


def mean_cosine(x: Rows) -> Float[Tensor, "*batch"]:
    r"""Mean of $\cos(x_i, x_j)$ over all pairs of different rows.

    Unchanged by rotation and by positive scaling of single rows. It says how samples lie around the origin, not
    whether they collapsed: a collapsed linear network has random signs and a mean cosine near zero.

    Args:
        x: Representations ``(n, d)`` of ``n`` samples, or a batch ``(*batch, n, d)`` of such.

    Returns:
        The mean, in [−1/(n − 1), 1], one a matrix. Zero rows are left out (``zero_rows`` counts them); ``nan`` with
        fewer than two others and for non-finite ``x``. Computed in float64, returned in the dtype of ``x``.

    Raises:
        UsageError: If ``x`` is no real tensor of samples and features.

    Example:
        >>> import torch
        >>> mean_cosine(torch.tensor([[1.0, 0.0], [0.0, 1.0], [2.0, 0.0]]))
        tensor(0.3333)
    """
    return _mean_over_pairs(x, lambda cosine: cosine)


def mean_abs_cosine(x: Rows) -> Float[Tensor, "*batch"]:
    r"""Mean of $|\cos(x_i, x_j)|$ over all pairs of different rows.

    Unchanged by rotation and by scaling of single rows, signs included; 1 exactly when all rows are parallel.

    Args:
        x: Representations ``(n, d)`` of ``n`` samples, or a batch ``(*batch, n, d)`` of such.

    Returns:
        The mean, in [0, 1], one a matrix. Zero rows are left out (``zero_rows`` counts them); ``nan`` with fewer
        than two others and for non-finite ``x``. Computed in float64, returned in the dtype of ``x``.

    Raises:
        UsageError: If ``x`` is no real tensor of samples and features.

    Source:
        daneshmand2021, section 2: the cosine similarity of two samples.

    Example:
        >>> import torch
        >>> mean_abs_cosine(torch.tensor([[1.0, 1.0], [-2.0, -2.0]]))
        tensor(1.)
    """
    return _mean_over_pairs(x, torch.abs)


def mean_square_cosine(x: Rows) -> Float[Tensor, "*batch"]:
    r"""Mean of $\cos^2(x_i, x_j)$ over all pairs of different rows.

    With rows of equal length it is $(n/r - 1)/(n - 1)$, $r$ the participation ratio. Unchanged by rotation and by
    scaling of single rows, signs included; 1 exactly when all rows are parallel, about $1/d$ for random ones.

    Args:
        x: Representations ``(n, d)`` of ``n`` samples, or a batch ``(*batch, n, d)`` of such.

    Returns:
        The mean, in [0, 1], one a matrix. Zero rows are left out (``zero_rows`` counts them); ``nan`` with fewer
        than two others and for non-finite ``x``. Computed in float64, returned in the dtype of ``x``.

    Raises:
        UsageError: If ``x`` is no real tensor of samples and features.

    Example:
        >>> import torch
        >>> mean_square_cosine(torch.tensor([[1.0, 0.0], [1.0, 1.0]]))
        tensor(0.5000)
    """
    return _mean_over_pairs(x, torch.square)


def _mean_over_pairs(x: Rows, of: Callable[[Tensor], Tensor]) -> Float[Tensor, "*batch"]:
    check_rows(x)
    rows = widen(x.unsqueeze(-2)).squeeze(-2)  # each row on a scale of its own: none drowns beside another
    lengths = torch.linalg.vector_norm(rows, dim=-1)
    total = torch.zeros_like(lengths[..., 0])
    step = max(1, _BLOCK // max(1, lengths.numel()))
    for start in range(0, rows.shape[-2], step):
        part = slice(start, start + step)
        cosine = _formulas.cosines(rows[..., part, :] @ rows.mT, lengths[..., part], lengths)
        cosine.diagonal(start, -2, -1).zero_()
        total = total + of(cosine).sum((-2, -1))
    return (total / _formulas.ordered_pairs(lengths)).to(result_dtype(x))


def zero_rows(x: Rows) -> Float[Tensor, "*batch"]:
    """Number of rows of length zero: the samples that the mean cosines leave out.

    Args:
        x: Representations ``(n, d)`` of ``n`` samples, or a batch ``(*batch, n, d)`` of such.

    Returns:
        The count, one a matrix, in the dtype of ``x``; ``nan`` for non-finite ``x``.

    Raises:
        UsageError: If ``x`` is no real tensor of samples and features.

    Example:
        >>> import torch
        >>> zero_rows(torch.tensor([[0.0, 0.0], [0.0, 1.0]]))
        tensor(1.)
    """
    check_rows(x)
    rows = widen(x)
    count = (x == 0).all(-1).sum(-1)
    return torch.where(rows[..., 0, 0].isnan(), torch.nan, count).to(result_dtype(x))


def distinction(x: Rows) -> Float[Tensor, "*batch"]:
    r"""Share of the squared norm that is not common to all samples.

    $$1 - \frac{n \|\bar x\|^2}{\|x\|_F^2} = \frac{\sum_i \|x_i - \bar x\|^2}{\sum_i \|x_i\|^2}$$

    with $\bar x$ the mean row. Unchanged by scaling and rotation; 0 exactly when all rows are equal, 1 when their mean
    is zero, near $1 - 1/n$ for independent centred ones. Rows that differ in sign are told apart: a linear network
    that collapsed to one direction keeps its distinction, so read it beside the mean square cosine.

    Args:
        x: Representations ``(n, d)`` of ``n`` samples, or a batch ``(*batch, n, d)`` of such.

    Returns:
        The share, in [0, 1], one a matrix; 0 for n = 1, ``nan`` for the zero matrix and for non-finite ``x``.
        Computed in float64 as the right-hand side, which keeps its digits when it is tiny; returned in the dtype
        of ``x``.

    Raises:
        UsageError: If ``x`` is no real tensor of samples and features.

    Example:
        >>> import torch
        >>> distinction(torch.tensor([[3.0, 1.0], [3.0, -1.0]]))
        tensor(0.1000)
    """
    check_rows(x)
    rows = widen(x)
    centred, total = centre(rows).square().sum((-2, -1)), rows.square().sum((-2, -1))
    return _formulas.distinction(centred, total).to(result_dtype(x))
