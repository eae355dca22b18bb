"""Orthonormal bases of tall matrices, by the batch, with zero columns in place of what is dependent."""

import torch
from jaxtyping import Float
from torch import Tensor

from leadline._core.errors import UsageError

_DRIFT = 0.3  # deviation from orthonormality that one more pass of Cholesky QR takes down to rounding
_SHRUNK = 0.1  # what keeps less of its length when it is projected again was rounding


@torch.no_grad()
def orthonormalised(
    x: Float[Tensor, "*draws d n"], basis: Float[Tensor, "*draws d k"] | None = None
) -> tuple[Float[Tensor, "*draws d n"], Float[Tensor, "*draws m n"]]:
    r"""Directions of the columns of $x$ that are new beside a basis, and the coefficients of $x$ in both.

    $$x = [B \; Q]\, R, \qquad B^\top Q = 0, \qquad Q^\top Q = \text{diagonal of ones and zeros} .$$

    Column $j$ of $Q$ is zero exactly where column $j$ of $x$ depends, to rounding, on $B$ and on columns before it or
    better determined ones. So batches of matrices of different ranks are one computation, and the number of ones is
    the rank. Columns may be of very different lengths: what counts is the new part relative to the column itself.

    Cholesky QR twice, where the columns are far from dependent; otherwise the clearly independent ones first and the
    rest in further rounds, each projected twice. $Q$ is a function of $x$ that follows rotations: the $Q$ of a Gaussian
    matrix is uniform on all frames.

    Args:
        x: One matrix for each draw; its columns are made orthonormal.
        basis: Orthonormal or zero columns $B$, or nothing.

    Returns:
        ``(q, r)`` in the dtype of ``x``: orthonormal, and $x$ reproduced, to some ten units of rounding. $R$ has the
        rows of $B$ (if any) before those of $Q$; it is upper triangular in the second part where nothing is dependent.
        A column with an infinite or undefined entry has a zero column in ``q`` and ``nan`` in ``r``, and leaves the
        others alone.

    Raises:
        UsageError: If ``x`` is no floating-point matrix.

    Source:
        leadline: Cholesky QR twice as in Yamamoto et al. 2015; "twice is enough" as in Parlett 1980, section 6.9.

    Example:
        >>> x = torch.tensor([[3.0, 6.0, 1.0], [4.0, 8.0, 0.0], [0.0, 0.0, 0.0]])
        >>> q, r = orthonormalised(x)
        >>> q.norm(dim=0).round().tolist()
        [1.0, 0.0, 1.0]
        >>> torch.allclose(q @ r, x, atol=1e-6)
        True
    """
    if x.ndim < 2 or not x.is_floating_point():
        raise UsageError(f"`x` must be a floating-point matrix (d, n), or several, got {x.dtype} {tuple(x.shape)}.")
    size = x.abs().amax(-2, keepdim=True)
    finite = size.isfinite()
    live = finite & (size > 0)
    unit = torch.where(live, x / torch.where(live, size, 1.0), 0.0)
    q = _new_directions(unit, live.squeeze(-2), basis)
    r = q.mT @ unit if basis is None else torch.cat([basis.mT @ unit, q.mT @ unit], dim=-2)
    return q, torch.where(finite, r * size, torch.nan)


def _new_directions(x: Tensor, live: Tensor, basis: Tensor | None) -> Tensor:
    """Rounds of Cholesky QR: each settles the clearly independent columns and leaves the rest to the next."""
    rank = min(x.shape[-2], x.shape[-1] + (0 if basis is None else basis.shape[-1]))
    floor = 10 * torch.finfo(x.dtype).eps * rank**0.5 * torch.linalg.vector_norm(x, dim=-2)
    rest, q = _outside(x, basis), None
    while True:
        new, live, kept, _ = _independent(rest, live, floor)
        drift = True
        while drift:
            new, alive, settled, drift = _independent(_outside(_outside(new, basis), q), kept, _SHRUNK)
            live, kept = live & (alive | ~kept), settled
        q = new if q is None else q + new
        live = live & ~kept
        if not live.any():
            return q
        rest = _outside(_outside(x, basis), q)


def _outside(x: Tensor, basis: Tensor | None) -> Tensor:
    """The part of ``x`` orthogonal to ``basis``."""
    return x if basis is None else x - basis @ (basis.mT @ x)


def _independent(x: Tensor, live: Tensor, floor: Tensor | float) -> tuple[Tensor, Tensor, Tensor, bool]:
    """One pass of Cholesky QR: orthonormal columns, those longer than ``floor``, those settled, and whether to repeat.

    What is neither too short nor settled is nearly dependent on what is settled.
    """
    gram = x.mT @ x
    length = gram.diagonal(dim1=-2, dim2=-1).sqrt()
    live = live & (length > floor)
    length = torch.where(live, length, 1.0)
    cosines = gram / (length[..., :, None] * length[..., None, :])
    lower, settled = _cholesky(cosines, live)
    q = torch.linalg.solve_triangular(lower.mT * length[..., None, :], x, upper=True, left=False)
    q = torch.where(settled[..., None, :], q, 0.0)
    drift = _among(cosines, settled) - torch.eye(x.shape[-1], dtype=x.dtype, device=x.device)
    return q, live, settled, bool((drift.abs() > _DRIFT).any())


def _cholesky(gram: Tensor, live: Tensor) -> tuple[Tensor, Tensor]:
    """The factor of the clearly independent columns among ``live`` (identity elsewhere), and which they are."""
    eps = torch.finfo(gram.dtype).eps
    lower, failed = torch.linalg.cholesky_ex(_among(gram, live))
    settled = live & (lower.diagonal(dim1=-2, dim2=-1) > eps**0.25) & (failed == 0)[..., None]
    if torch.equal(settled, live):
        return lower, settled
    # Lifted above its rounding the matrix has a factor, and small pivots tell the dependent columns.
    lift = eps**0.75 * torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device)
    lower, failed = torch.linalg.cholesky_ex(_among(gram, live) + lift)
    first = live & (live.cumsum(-1) == 1)
    clear = live & (lower.diagonal(dim1=-2, dim2=-1) > eps**0.25)
    settled = torch.where((failed == 0)[..., None], clear, first)
    return torch.linalg.cholesky_ex(_among(gram, settled)).L, settled


def _among(gram: Tensor, columns: Tensor) -> Tensor:
    """The Gram matrix of some ``columns``, and the identity for the others."""
    both = columns[..., :, None] & columns[..., None, :]
    return torch.where(both, gram, torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device))
