"""A uniformly distributed matrix with orthonormal rows or columns, revealed on demand."""

import torch
from torch import Tensor

from leadline.simulate.haar import isometry, oriented
from leadline.simulate.matrix import LazyMatrix
from leadline.simulate.pairs import Pairs


class LazySemiOrthogonal(LazyMatrix):
    r"""A matrix with $W^\top W = 1$ (tall) or $W W^\top = 1$ (wide), uniform on all such, of which only products exist.

    The first $d_{in}$ columns, or the first $d_{out}$ rows, of a Haar matrix of the larger size: columns are filled up
    with zeros before a product and cut after it. A square one is a ``LazyHaar``.

    Args:
        d_out: Rows.
        d_in: Columns.
        scale: Factor on the matrix: all its singular values.
        draws: Shape of independent copies.
        generator: Where the numbers come from; without one, a seed of the operating system.
        dtype: Of the products; that of the first one if not given.
        device: Of the products; that of the first one if not given.

    Raises:
        UsageError: If a size is below 1, or ``scale`` not finite.

    Source:
        leadline: derived in the documentation (Explanation, Random matrices on demand).

    Example:
        >>> w = LazySemiOrthogonal(5000, 2000, generator=torch.Generator().manual_seed(0))
        >>> x = torch.randn(2000, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
        >>> torch.allclose(w.rmatmul(w.matmul(x)), x)
        True
    """

    def _nothing(self) -> tuple[Pairs, ...]:
        larger = max(self.d_out, self.d_in)
        return (self._empty(larger, larger),)

    def _product(self, x: Tensor, *, transposed: bool) -> Tensor:
        larger = max(self.d_out, self.d_in)
        filled = torch.nn.functional.pad(x, (0, 0, 0, larger - x.shape[-2]))
        product, pairs = isometry(oriented(self._revealed[0], transposed), filled, self._normal)
        self._revealed = (oriented(pairs, transposed),)
        return self.scale * product[..., : self.d_in if transposed else self.d_out, :]
