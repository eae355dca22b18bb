"""Each metric once, as a formula on a spectrum or on a Gram matrix.

The public functions apply these formulas to singular values. Whoever measures many matrices at once calls the two
functions at the end of this file on a batch of float64 Gram matrices, with the eigenvalues of ``gram_eigenvalues``.

Every eigenvalue formula takes the k = min(n, d) squared singular values in any order and on any scale, float64,
non-negative, and keeps the leading dimensions. ``nan`` among them gives ``nan``.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

EPS = torch.finfo(torch.float64).eps


def isometry_gap(eigenvalues: Float[Tensor, "*batch k"], *, n: int, d: int) -> Float[Tensor, "*batch"]:
    """Log mean minus mean log, as the mean of ``r - 1 - log r`` over ``r = eigenvalues / mean``.

    Every term is positive, so that nothing cancels: a gap of 1e-14 keeps its digits.
    """
    deficient = _deficient(eigenvalues, n=n, d=d)
    eigenvalues = _flat_where(deficient, eigenvalues)
    ratio = eigenvalues / eigenvalues.mean(-1, keepdim=True)
    return torch.where(deficient, torch.inf, (ratio - 1 - ratio.log()).mean(-1))


def _deficient(eigenvalues: Float[Tensor, "*batch k"], *, n: int, d: int) -> Bool[Tensor, "*batch"]:
    """Whether the smallest singular value is zero to rounding: at most max(n, d)·eps times the largest, in float64."""
    floor = (max(n, d) * EPS) ** 2
    return eigenvalues.amin(-1) <= floor * eigenvalues.amax(-1)


def condition_number(eigenvalues: Float[Tensor, "*batch k"], *, n: int, d: int) -> Float[Tensor, "*batch"]:
    """Largest over smallest singular value."""
    deficient = _deficient(eigenvalues, n=n, d=d)
    eigenvalues = _flat_where(deficient, eigenvalues)
    return torch.where(deficient, torch.inf, (eigenvalues.amax(-1) / eigenvalues.amin(-1)).sqrt())


def _flat_where(chosen: Bool[Tensor, "*batch"], eigenvalues: Float[Tensor, "*batch k"]) -> Float[Tensor, "*batch k"]:
    """Ones in place of the spectra whose value is chosen otherwise: their gradient is then zero and not 0 · ∞."""
    return torch.where(chosen.unsqueeze(-1), 1.0, eigenvalues)


def orthogonality_gap(eigenvalues: Float[Tensor, "*batch k"]) -> Float[Tensor, "*batch"]:
    """Distance of the normalised spectrum from the flat one."""
    k = eigenvalues.shape[-1]
    ratio = eigenvalues / eigenvalues.mean(-1, keepdim=True)
    return torch.linalg.vector_norm(ratio - 1, dim=-1) / k


def participation_ratio(eigenvalues: Float[Tensor, "*batch k"]) -> Float[Tensor, "*batch"]:
    """Squared sum over sum of squares."""
    return eigenvalues.sum(-1).square() / _one_for_zero(eigenvalues.square().sum(-1))


def effective_rank(eigenvalues: Float[Tensor, "*batch k"]) -> Float[Tensor, "*batch"]:
    """Exponential of the entropy of the shares."""
    shares = eigenvalues / _one_for_zero(eigenvalues.sum(-1, keepdim=True))
    # -p log p is 0 at 0 and at 1, but its slope is infinite at 0.
    return _zero_where_empty(eigenvalues, torch.special.entr(_one_for_zero(shares)).sum(-1).exp())


def stable_rank(eigenvalues: Float[Tensor, "*batch k"]) -> Float[Tensor, "*batch"]:
    """Sum over largest."""
    return eigenvalues.sum(-1) / _one_for_zero(eigenvalues.amax(-1))


def numerical_rank(eigenvalues: Float[Tensor, "*batch k"], *, n: int, d: int, eps: float) -> Float[Tensor, "*batch"]:
    """Number of singular values above max(n, d)·eps times the largest."""
    floor = (max(n, d) * eps) ** 2 * eigenvalues.amax(-1, keepdim=True)
    return _count(eigenvalues > floor, eigenvalues)


def soft_rank(
    eigenvalues: Float[Tensor, "*batch k"], *, d: int, tau: float, relative_to: str
) -> Float[Tensor, "*batch"]:
    """Number of eigenvalues at or above ``tau`` times their mean, over all ``d`` features or over the support."""
    k = eigenvalues.shape[-1]
    size = d if relative_to == "features" else k
    # Ties count: a singular value is known to rounding, so the limit gives way by as much.
    limit = tau * (1 - max(d, k) * EPS) * eigenvalues.sum(-1, keepdim=True) / size
    return _count(eigenvalues >= limit, eigenvalues, zeros=size - k if tau == 0 else 0)


def _count(
    chosen: Bool[Tensor, "*batch k"], eigenvalues: Float[Tensor, "*batch k"], *, zeros: int = 0
) -> Float[Tensor, "*batch"]:
    count = (chosen.sum(-1) + zeros).to(eigenvalues.dtype)
    return torch.where(eigenvalues.amax(-1).isnan(), torch.nan, _zero_where_empty(eigenvalues, count))


def _zero_where_empty(eigenvalues: Float[Tensor, "*batch k"], rank: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    return torch.where(eigenvalues.amax(-1) == 0, 0.0, rank)


def _one_for_zero(divisor: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    return torch.where(divisor == 0, 1.0, divisor)


def cosines(
    gram: Float[Tensor, "*batch m n"], left: Float[Tensor, "*batch m"], right: Float[Tensor, "*batch n"]
) -> Float[Tensor, "*batch m n"]:
    """Inner products over lengths; a row of length zero has cosine zero with every other."""
    left, right = _one_for_zero(left), _one_for_zero(right)
    return (gram / left.unsqueeze(-1)).div_(right.unsqueeze(-2)).clamp_(-1.0, 1.0)


def ordered_pairs(lengths: Float[Tensor, "*batch n"]) -> Int[Tensor, "*batch"]:
    """Number of ordered pairs of different rows, neither of length zero."""
    present = (lengths != 0).sum(-1)
    return present * (present - 1)


def distinction(centred: Float[Tensor, "*batch"], total: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    """Between-sample share: squared norm of the centred rows over that of the rows."""
    return (centred / total).clamp(max=1.0)


def spectral_metrics(
    eigenvalues: Float[Tensor, "*batch k"], *, n: int, d: int, eps: float, tau: float = 0.5
) -> dict[str, Float[Tensor, "*batch"]]:
    """All eight metrics of a spectrum by name.

    Args:
        eigenvalues: The k = min(n, d) squared singular values, float64; those of a Gram matrix only where
            it is well conditioned (``gram_eigenvalues`` sees to that).
        n: Rows of the matrix.
        d: Columns of the matrix.
        eps: Machine epsilon of the dtype the matrix was stored in; ``numerical_rank`` counts against it.
        tau: Limit of ``soft_rank``, relative to the mean over all features.
    """
    return {
        "isometry_gap": isometry_gap(eigenvalues, n=n, d=d),
        "orthogonality_gap": orthogonality_gap(eigenvalues),
        "participation_ratio": participation_ratio(eigenvalues),
        "effective_rank": effective_rank(eigenvalues),
        "stable_rank": stable_rank(eigenvalues),
        "numerical_rank": numerical_rank(eigenvalues, n=n, d=d, eps=eps),
        "soft_rank": soft_rank(eigenvalues, d=d, tau=tau, relative_to="features"),
        "condition_number": condition_number(eigenvalues, n=n, d=d),
    }


def pairwise_metrics(
    gram: Float[Tensor, "*batch n n"], centred: Float[Tensor, "*batch"]
) -> dict[str, Float[Tensor, "*batch"]]:
    """The three mean cosines and ``distinction`` by name.

    Args:
        gram: ``x @ x.mT`` in float64. Rows of length zero are left out of the cosines; with fewer than two
            others these are ``nan``.
        centred: Squared norm of the rows minus their mean. Taken from the rows, because on a collapsed batch
            nothing of it is left in the Gram matrix.
    """
    squares = gram.diagonal(dim1=-2, dim2=-1)
    lengths = squares.sqrt()
    cosine, pairs = cosines(gram, lengths, lengths), ordered_pairs(lengths)
    cosine.diagonal(dim1=-2, dim2=-1).zero_()
    square = torch.linalg.vector_norm(cosine, dim=(-2, -1)).square()
    return {
        "mean_cosine": cosine.sum((-2, -1)) / pairs,
        "mean_abs_cosine": cosine.abs_().sum((-2, -1)) / pairs,
        "mean_square_cosine": square / pairs,
        "distinction": distinction(centred, squares.sum(-1)),
    }
