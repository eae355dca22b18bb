"""A uniformly distributed orthogonal matrix revealed on demand."""

import torch
from torch import Tensor

from leadline.simulate.matrix import LazyMatrix, Pairs
from leadline.simulate.orthonormal import orthonormalised


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
        UsageError: If ``d`` is below 1.

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
        super().__init__(d, d, draws=draws, generator=generator, dtype=dtype, device=device)
        self.scale = scale

    def _nothing(self, x: Tensor) -> tuple[Pairs, ...]:
        return (self._empty(x, self.d_in, self.d_out),)

    def _product(self, x: Tensor, *, transposed: bool) -> Tensor:
        pairs = self._revealed[0].swapped() if transposed else self._revealed[0]
        coefficients, new = pairs.coefficients_and_new(x)
        if new.any():
            pairs = pairs.and_also(new, self._frame(new, pairs.images))
            self._revealed = (pairs.swapped() if transposed else pairs,)
        else:
            coefficients = coefficients[..., : pairs.directions.shape[-2], :]
        return self.scale * (pairs.images.mT @ coefficients)

    def _frame(self, new: Tensor, images: Tensor) -> Tensor:
        """As many orthonormal columns as ``new`` has, uniform in the complement of ``images``."""
        frame = torch.zeros_like(new)
        missing = new
        # Once, but for what rounding takes from a Gaussian frame of the last few dimensions.
        while missing.any():
            taken = torch.cat([images.mT, frame], dim=-1)
            drawn = self._normal(missing, images.shape[-1])
            frame = frame + orthonormalised(drawn - taken @ (taken.mT @ drawn), taken)[0]
            missing = torch.where((frame == 0).all(-2, keepdim=True), new, 0.0)
        return frame
