"""Orthonormal bases of tall matrices, by the batch, with zero columns in place of what is dependent."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from leadline._core.errors import UsageError

# The union leaves wrong shapes to `check_columns`, whose sentence says what to do.
Columns = Shaped[Tensor, "*draws d n"] | Tensor

# A column that keeps less of its length in a second projection was rounding; one that keeps _AMPLE needs no further.
_NOISE, _AMPLE = 0.1, 0.5
_BLOCK = 4096
_SHORT = 2**13  # entries up to which reflections take less time than Gram matrices


@torch.no_grad()
def orthonormalised(
    x: Columns, basis: Float[Tensor, "*draws d k"] | None = None
) -> tuple[Float[Tensor, "*draws d n"], Float[Tensor, "*draws m n"]]:
    r"""Directions of the columns of $x$ that are new beside a basis, and the coefficients of $x$ in both.

    $$x = [B \; Q]\, R, \qquad B^\top Q = 0, \qquad Q^\top Q = \text{diagonal of ones and zeros} .$$

    Column $j$ of $Q$ is zero exactly where column $j$ of $x$ depends, to rounding, on $B$ and on columns before it or
    better determined ones. So batches of matrices of different ranks are one computation, and the number of ones is
    the rank. Columns may be of very different lengths: what counts is the new part relative to the column itself.

    Cholesky QR, once where the columns are far from dependent and twice otherwise; nearly dependent columns are put off
    to a further round, beside the basis that the others make. Small matrices without a basis by reflections. $Q$ turns
    with $x$: the $Q$ of a Gaussian matrix is uniform on all frames.

    Args:
        x: One matrix for each draw; its columns are made orthonormal.
        basis: Orthonormal or zero columns $B$, or nothing.

    Returns:
        ``(q, r)`` in the dtype of ``x``: orthonormal, and $x$ reproduced, to some tens of units of rounding. $R$ has
        the rows of $B$ (if any) before those of $Q$, which are upper triangular where no column was put off.
        A column with an infinite or undefined entry has a zero column in ``q`` and ``nan`` in ``r``, and leaves the
        others alone.

    Raises:
        UsageError: If ``x`` is no matrix of float32 or float64, or has no rows.

    Source:
        leadline: Cholesky QR repeated, as Yamamoto et al. 2015 show to be enough.

    Example:
        >>> x = torch.tensor([[3.0, 6.0, 1.0], [4.0, 8.0, 0.0], [0.0, 0.0, 0.0]])
        >>> q, r = orthonormalised(x)
        >>> q.norm(dim=0).round().tolist()
        [1.0, 0.0, 1.0]
        >>> torch.allclose(q @ r, x, atol=1e-6)
        True
    """
    check_columns(x, of="`orthonormalised`")
    q, r, _ = new_directions(x, basis)
    return q, r


def check_columns(x: Tensor, leading: tuple[int, ...] | None = None, *, of: str) -> None:
    """Refuse what is not columns, of ``leading`` shape if given, in one of the two dtypes that factorisations know."""
    shaped = x.ndim > 1 and x.shape[-2] > 0 and (leading is None or tuple(x.shape[:-1]) == leading)
    if not shaped or x.dtype not in (torch.float32, torch.float64):
        wanted = "*draws, d" if leading is None else ", ".join(map(str, leading))
        raise UsageError(
            f"{of} takes columns in float32 or float64 of shape ({wanted}, n), got {x.dtype} {tuple(x.shape)}."
        )


def new_directions(x: Tensor, basis: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """What ``orthonormalised`` returns, and which columns of ``q`` are not zero."""
    basis = None if basis is None or basis.shape[-1] == 0 else basis
    size = torch.maximum(x.amax(-2), -x.amin(-2))
    kind = torch.finfo(x.dtype)
    lowest, highest = kind.tiny**0.5 / kind.eps, (kind.max / x.shape[-2]) ** 0.5
    if bool(((size > lowest) & (size < highest)).all()):
        return _directions(x, torch.ones_like(size, dtype=torch.bool), basis)
    # Squares would overflow or vanish, or a column is zero or not finite: the same on columns with entries up to 1.
    finite = size.isfinite()
    live = finite & (size > 0)
    size = torch.where(live, size, 1.0)[..., None, :]
    q, r, found = _directions(torch.where(live[..., None, :], x / size, 0.0), live, basis)
    return q, torch.where(finite[..., None, :], r * size, torch.nan), found


def _directions(x: Tensor, live: Tensor, basis: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Cholesky QR of the clearly independent ``live`` columns beside ``basis``, then of the others beside both."""
    if basis is None and x.shape[-1] <= x.shape[-2] and x.shape[-2] * x.shape[-1] <= _SHORT:
        done = _reflected(x, live)
        if done is not None:
            return done
    if basis is None:
        known, rest, floor, ample = x[..., :0, :], x, 0.0, 0.0
    else:
        known = inner(basis, x)
        rest = x - basis @ known
        length = torch.linalg.vector_norm(x, dim=-2)
        floor, ample = _noise(x, length, known=basis.shape[-1]), _AMPLE * length
    q, r, live, found, accurate = _cholesky_pass(rest, live, floor, ample)
    while not accurate:
        again = q if basis is None else q - basis @ inner(basis, q)
        before = found
        q, factor, alive, found, accurate = _cholesky_pass(again, before, _NOISE, _AMPLE)
        r, live = factor @ r, live & (alive | ~before)
    if not found.all():
        late = live & ~found
        if late.any():
            columns = in_any_draw(late)
            settled = q if basis is None else torch.cat([basis, q], dim=-1)
            q_late, _, found_late = _directions(x[..., columns], late[..., columns], settled)
            q[..., columns] += q_late
            found[..., columns] |= found_late
        r = inner(q, x)
    return q, torch.cat([known, r], dim=-2), found


def _noise(x: Tensor, length: Tensor, *, known: int) -> Tensor:
    """What rounding may leave of a column that depends on ``known`` directions and the others."""
    return 10 * torch.finfo(x.dtype).eps * min(x.shape[-2], x.shape[-1] + known) ** 0.5 * length


def _reflected(x: Tensor, live: Tensor) -> tuple[Tensor, Tensor, Tensor] | None:
    """The same by reflections, which short columns are quicker with: no matter how dependent, one pass is enough.

    ``None`` where a column depends on those before it, and a later one has a part along what stands in its place.
    """
    q, r = torch.linalg.qr(x)
    pivots = r.diagonal(dim1=-2, dim2=-1)
    floor = _noise(x, torch.linalg.vector_norm(r, dim=-2), known=0)
    found = live & (pivots.abs() > floor)
    # Factors with positive pivots alone turn with `x`.
    signs = pivots.sign()
    if not found.all():
        if ((r.abs() > floor[..., None, :]) & ~found[..., :, None]).any():
            return None
        signs = torch.where(found, signs, 0.0)
    return q.mul_(signs[..., None, :]), r.mul_(signs[..., :, None]), found


def inner(a: Tensor, b: Tensor) -> Tensor:
    """``a.mT @ b``, summed block by block: rounding must not grow with millions of rows."""
    whole = a.shape[-2] // _BLOCK
    if whole < 2:
        return a.mT @ b
    first, last = (whole * _BLOCK, a.shape[-2] - whole * _BLOCK)
    blocks = [t.narrow(-2, 0, first).unflatten(-2, (whole, _BLOCK)) for t in (a, b)]
    return (blocks[0].mT @ blocks[1]).sum(-3) + a.narrow(-2, first, last).mT @ b.narrow(-2, first, last)


def in_any_draw(columns: Tensor) -> Tensor:
    """Of columns marked for every draw, those that are marked for one at least."""
    return columns[None].flatten(0, -2).any(0)


class _Pass(NamedTuple):
    """What one pass of Cholesky QR makes of some columns: ``x = q @ r`` in those that are settled."""

    q: Tensor
    r: Tensor
    live: Tensor  # not too short
    settled: Tensor  # neither too short nor nearly dependent on the others
    accurate: bool  # nothing was amplified: orthonormal to rounding


def _cholesky_pass(x: Tensor, live: Tensor, floor: Tensor | float, ample: Tensor | float) -> _Pass:
    """Orthonormal columns from the Cholesky factor of the Gram matrix, for those longer than ``floor``."""
    gram = inner(x, x)
    length = gram.diagonal(dim1=-2, dim2=-1).sqrt()
    live = live & (length > floor)
    scale = torch.where(live, length, 1.0)
    lower, settled = _factor(gram / (scale[..., :, None] * scale[..., None, :]), live)
    r = lower.mT * scale[..., None, :]
    q = torch.linalg.solve_triangular(r, x, upper=True, left=False)
    if not settled.all():
        q = torch.where(settled[..., None, :], q, 0.0)
    amplified = settled & ((lower.diagonal(dim1=-2, dim2=-1) < _AMPLE) | (length < ample))
    return _Pass(q, r, live, settled, accurate=not amplified.any())


def _factor(gram: Tensor, live: Tensor) -> tuple[Tensor, Tensor]:
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
    if columns.all():
        return gram
    both = columns[..., :, None] & columns[..., None, :]
    return torch.where(both, gram, torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device))
