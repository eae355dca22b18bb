"""A uniformly distributed orthogonal matrix revealed on demand."""

import torch
from torch import Tensor

from leadline.simulate.matrix import LazyMatrix
from leadline.simulate.orthonormal import new_directions
from leadline.simulate.pairs import Normal, Pairs


class LazyHaar(LazyMatrix):
    r"""A matrix uniform on all orthogonal $d \times d$ matrices of which only asked-for products exist.

    With $W Q = V$ known for orthonormal $Q$, and so $W^\top V = Q$, what is left of $W$ is a uniform isometry between
    the complements of $Q$ and of $V$. So new directions $q \perp Q$ map to a uniform frame in the complement of $V$,
    and new directions $v \perp V$ come from one in the complement of $Q$: one set of pairs serves both sides.

    Args:
        d: Rows and columns.
        scale: Factor on the matrix: all its singular values.
        draws: Shape of independent copies.
        generator: Where the numbers come from; without one, a seed of the operating system.
        dtype: Of the products; that of the first one if not given.
        device: Of the products; that of the first one if not given.

    Raises:
        UsageError: If ``d`` is below 1, or ``scale`` not finite.

    Source:
        leadline: derived in the documentation (Explanation, Random matrices on demand).

    Example:
        >>> w = LazyHaar(10_000, generator=torch.Generator().manual_seed(0))
        >>> x = torch.randn(10_000, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
        >>> torch.allclose(w.rmatmul(w.matmul(x)), x)
        True
        >>> w.revealed
        3
    """

    def __init__(
        self,
        d: int,
        *,
        scale: float = 1.0,
        draws: tuple[int, ...] = (),
        generator: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__(d, d, scale=scale, draws=draws, generator=generator, dtype=dtype, device=device)

    def _nothing(self) -> tuple[Pairs, ...]:
        return (self._empty(self.d_in, self.d_out),)

    def _product(self, x: Tensor, *, transposed: bool) -> Tensor:
        product, pairs = isometry(oriented(self._revealed[0], transposed), x, self._normal)
        self._revealed = (oriented(pairs, transposed),)
        return self.scale * product


def oriented(pairs: Pairs, transposed: bool) -> Pairs:
    """The pairs of an orthogonal matrix, or of its transpose, which maps the images back."""
    return Pairs(directions=pairs.images, images=pairs.directions) if transposed else pairs


def isometry(pairs: Pairs, x: Tensor, normal: Normal) -> tuple[Tensor, Pairs]:
    """The product of a uniform orthogonal matrix that has these ``pairs`` with ``x``, and the pairs known after it."""
    new, found, coefficients = pairs.split(x)
    if found.shape[-1]:
        pairs = pairs.and_also(new, _frame(new, found, pairs.images.mT, normal))
    return pairs.images.mT @ coefficients, pairs


def _frame(new: Tensor, found: Tensor, images: Tensor, normal: Normal) -> Tensor:
    """Orthonormal columns for the ``new`` directions, uniform in the complement of ``images``."""
    frame, _, done = new_directions(normal(images.shape[-2], found, new), images)
    # Only in the last few dimensions can rounding take a column: it is drawn again, outside the others.
    while not torch.equal(done, found):
        taken = torch.cat([images, frame], dim=-1)
        again, _, more = new_directions(normal(images.shape[-2], found & ~done, new), taken)
        frame, done = frame + again, done | more
    return frame
