"""A Gaussian matrix revealed on demand."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from leadline.simulate.matrix import LazyMatrix
from leadline.simulate.orthonormal import check_columns, inner
from leadline.simulate.pairs import Pairs


class LazyGaussian(LazyMatrix):
    r"""A matrix of independent entries $N(0, s^2 / d_{in})$ of which only asked-for products exist.

    With the known products $Y = W Q$ and $Z = W^\top P$ for orthonormal $Q$ and $P$, what is left of $W$ is
    $(1 - P P^\top)\, G\, (1 - Q Q^\top)$ with $G$ a fresh matrix of the same law. So for new directions $q \perp Q$

    $$W q = P (Z^\top q) + (1 - P P^\top)\, g, \qquad g \sim N(0, s^2 / d_{in}),$$

    and the same from the other side with the pairs exchanged.

    Args:
        d_out: Rows.
        d_in: Columns.
        scale: Standard deviation of an entry times $\sqrt{d_{in}}$, $s$.
        draws: Shape of independent copies.
        generator: Where the numbers come from; without one, a seed of the operating system.
        dtype: Of the products; that of the first one if not given.
        device: Of the products; that of the first one if not given.

    Raises:
        UsageError: If a size is below 1 or ``scale`` not finite.

    Source:
        leadline: derived in the documentation (Explanation, Random matrices on demand).

    Example:
        >>> w = LazyGaussian(1000, 2000, generator=torch.Generator().manual_seed(0))
        >>> x = torch.randn(2000, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
        >>> y = w.matmul(x)
        >>> torch.allclose(y.mT @ y, x.mT @ w.rmatmul(y))
        True
        >>> w.revealed
        6
    """

    def once(self, x: Float[Tensor, "*draws d_in n"]) -> Float[Tensor, "*draws d_out n"]:
        r"""The product of a matrix that is asked this once and never again: nothing is noted.

        Only lengths and angles of the columns count: $W x$ has the law of $\frac{s}{\sqrt{d_{in}}}\, G R$ with
        $R^\top R = x^\top x$, no basis is needed, and dependent columns cost nothing. The same law as ``matmul``, other
        numbers.

        Args:
            x: Columns, for every draw.

        Returns:
            The product, in the dtype of ``x``.

        Example:
            >>> w = LazyGaussian(1000, 2000, generator=torch.Generator().manual_seed(0))
            >>> w.once(torch.ones(2000, 3)).std(dim=-1).max() < 1e-5, w.revealed
            (tensor(True), 0)
        """
        check_columns(x, (*self.draws, self.d_in), of=f"`once` of a lazy matrix of shape {self.shape}")
        self._settle(x)
        triangle = torch.linalg.qr(x, mode="r").R
        wanted = torch.ones(triangle.shape[-2], dtype=torch.bool, device=x.device)
        fresh = self._normal(self.d_out, wanted, x)
        return fresh @ triangle.mul_(self.scale / math.sqrt(self.d_in))

    def _nothing(self) -> tuple[Pairs, ...]:
        return self._empty(self.d_in, self.d_out), self._empty(self.d_out, self.d_in)

    def _product(self, x: Tensor, *, transposed: bool) -> Tensor:
        right, left = reversed(self._revealed) if transposed else self._revealed
        new, found, coefficients = right.split(x)
        if found.shape[-1]:
            right = right.and_also(new, self._images(new, found, left))
            self._revealed = (left, right) if transposed else (right, left)
        return right.images.mT @ coefficients

    def _images(self, new: Tensor, found: Tensor, left: Pairs) -> Tensor:
        """Images of ``new`` directions: known as far as the other side has been asked, and fresh beyond."""
        p, z = left.directions, left.images
        fresh = self._normal(p.shape[-1], found, new).mul_(self.scale / math.sqrt(self.d_in))
        return fresh + p.mT @ (inner(z.mT, new) - inner(p.mT, fresh)) if p.shape[-2] else fresh
