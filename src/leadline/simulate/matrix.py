"""What all random matrices have in common whose entries are settled only as products ask for them."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from leadline._core.errors import UsageError
from leadline.simulate.orthonormal import check_columns
from leadline.simulate.pairs import Pairs

if TYPE_CHECKING:
    from scipy.sparse.linalg import LinearOperator

_in_transform: Callable[[Tensor], bool] = torch._C._functorch.is_functorch_wrapped_tensor  # pyright: ignore[reportAttributeAccessIssue]


@dataclass(frozen=True, kw_only=True)
class State:
    """What has been revealed of a lazy matrix, and where its generator stands. Holds no copies: nothing is overwritten.

    Attributes:
        revealed: Its pairs of directions and their images.
        generator: The state of the generator, or ``None`` before the first product of a matrix without one.
        dtype: Of the products, or ``None`` before the first.
        device: Of the products, or ``None`` before the first.
    """

    revealed: tuple["Pairs", ...]
    generator: Tensor | None
    dtype: torch.dtype | None
    device: torch.device | None


class LazyMatrix(ABC):
    r"""A random matrix $W$ of which nothing exists but its products so far.

    Whatever is asked, in whatever order and from either side, the answers have exactly the joint law that products
    with one matrix drawn beforehand would have. $n$ columns cost $O(d n (n + k))$ after $k$ directions, memory is
    $O(d k)$; no product that reveals nothing new draws a number.

    Attributes:
        d_out: Rows of $W$.
        d_in: Columns of $W$.
        scale: Factor on the matrix.
        draws: Shape of the independent copies, ``()`` for a single matrix.
        generator: Where the numbers come from; ``None`` until the first product if none was given.
    """

    def __init__(
        self,
        d_out: int,
        d_in: int,
        *,
        scale: float = 1.0,
        draws: tuple[int, ...] = (),
        generator: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        if d_out < 1 or d_in < 1:
            raise UsageError(f"A matrix needs at least one row and one column, got {d_out} x {d_in}.")
        if not math.isfinite(scale):
            raise UsageError(f"`scale` must be finite, got {scale}.")
        self.d_out, self.d_in, self.scale, self.draws = d_out, d_in, scale, tuple(draws)
        self.generator = generator
        self.dtype = dtype
        # Through a tensor, which turns "cuda" into the "cuda:0" that products lie on.
        self.device = None if device is None else torch.empty(0, device=device).device
        self._revealed: tuple[Pairs, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        """``(*draws, d_out, d_in)``."""
        return (*self.draws, self.d_out, self.d_in)

    @property
    def revealed(self) -> int:
        """Directions known so far, from both sides; the most of any draw."""
        return sum(pairs.directions.shape[-2] for pairs in self._revealed)

    @property
    def memory(self) -> int:
        """Bytes held."""
        tensors = [t for pairs in self._revealed for t in (pairs.directions, pairs.images)]
        return sum(t.numel() * t.element_size() for t in tensors)

    def matmul(self, x: Shaped[Tensor, "*draws d_in n"] | Tensor) -> Float[Tensor, "*draws d_out n"]:
        """The product of the matrix with the columns of ``x``.

        Args:
            x: Columns, for every draw.

        Returns:
            The product, in the dtype of ``x``; ``nan`` in columns where ``x`` is not finite.

        Raises:
            UsageError: If shape, dtype or device are not those of the matrix.
        """
        return self._checked_product(x, self.d_in, transposed=False)

    def rmatmul(self, y: Shaped[Tensor, "*draws d_out m"] | Tensor) -> Float[Tensor, "*draws d_in m"]:
        """The product of the transpose with the columns of ``y``.

        Args:
            y: Columns, for every draw.

        Returns:
            The product, in the dtype of ``y``; ``nan`` in columns where ``y`` is not finite.

        Raises:
            UsageError: If shape, dtype or device are not those of the matrix.
        """
        return self._checked_product(y, self.d_out, transposed=True)

    def materialise(self) -> Float[Tensor, "*draws d_out d_in"]:
        """The whole matrix: agrees with every product so far, and every later product agrees with it.

        Reveals everything: $O(d^3)$ and several times the memory of the dense matrix.

        Returns:
            The dense matrix, in the matrix' dtype (float64 if there was no product and none was given).
        """
        dtype = self.dtype or torch.float64
        eye = torch.eye(self.d_in, dtype=dtype, device=self.device)
        return self.matmul(eye.expand(*self.draws, -1, -1))

    def as_linear_operator(self) -> "LinearOperator":
        """The matrix for SciPy's solvers: its singular values by ``svds``, its norm, and so on.

        Returns:
            An operator with ``matvec``, ``rmatvec``, ``matmat`` and ``rmatmat`` on NumPy arrays, in the matrix' dtype
            (float64 if there was no product and none was given). Every product with it reveals.

        Raises:
            UsageError: If the matrix has draws.
        """
        from leadline.simulate.operator import linear_operator

        return linear_operator(self)

    def state(self) -> State:
        """What is known now, and where the generator stands; ``restore`` goes back to it."""
        return State(
            revealed=self._revealed,
            generator=None if self.generator is None else self.generator.get_state(),
            dtype=self.dtype,
            device=self.device,
        )

    def restore(self, state: State) -> None:
        """Forget what was revealed after ``state``: the same questions get the same answers again.

        A generator that is shared with other matrices is turned back for them too.

        Args:
            state: From ``state()`` of this matrix.
        """
        self._revealed, self.dtype, self.device = state.revealed, state.dtype, state.device
        if state.generator is None:
            self.generator = None
        elif self.generator is not None:
            self.generator.set_state(state.generator)

    def move(self, fn: Callable[[Tensor], Tensor]) -> None:
        """Put what was revealed where, and in the dtype in which, ``fn`` puts tensors; what follows is drawn there too.

        Args:
            fn: As ``torch.nn.Module`` passes it on in ``to``, ``double`` and the like.
        """
        self._revealed = tuple(
            Pairs(directions=fn(pairs.directions), images=fn(pairs.images)) for pairs in self._revealed
        )
        moved = fn(torch.empty(0, dtype=self.dtype, device=self.device))
        self.dtype, self.device = self.dtype and moved.dtype, self.device and moved.device

    def _checked_product(self, x: Tensor, rows: int, *, transposed: bool) -> Tensor:
        side = "rmatmul" if transposed else "matmul"
        check_columns(x, (*self.draws, rows), of=f"`{side}` of a lazy matrix of shape {self.shape}")
        self._settle(x)
        # Where nothing is differentiated the function's own overhead is a tenth of a narrow product.
        if not x.requires_grad and not _in_transform(x):
            return self._product(x, transposed=transposed)
        return _Product.apply(x, self, transposed)

    def _settle(self, x: Tensor) -> None:
        """Dtype and device follow the first product."""
        self.dtype, self.device = self.dtype or x.dtype, self.device or x.device
        if (x.dtype, x.device) != (self.dtype, self.device):
            raise UsageError(
                f"The lazy matrix is {self.dtype} on {self.device}, which the first product decides unless it is "
                f"given; got {x.dtype} on {x.device}."
            )
        if self.generator is None:
            self.generator = torch.Generator(self.device)
            self.generator.seed()
        if not self._revealed:
            self._revealed = self._nothing()

    def _empty(self, d_from: int, d_to: int) -> Pairs:
        directions = torch.empty(*self.draws, 0, d_from, dtype=self.dtype, device=self.device)
        return Pairs(directions=directions, images=directions.new_empty(*self.draws, 0, d_to))

    def _normal(self, rows: int, wanted: Tensor, like: Tensor) -> Tensor:
        """Standard normal columns where they are ``wanted``, zero elsewhere, with dtype and device of ``like``."""
        assert self.generator is not None
        shape = (*self.draws, wanted.shape[-1], rows)
        drawn = torch.randn(shape, generator=self.generator, dtype=like.dtype, device=self.generator.device)
        drawn = drawn.to(like.device).mT
        return drawn if wanted.all() else torch.where(wanted[..., None, :], drawn, 0.0)

    @abstractmethod
    def _nothing(self) -> tuple[Pairs, ...]:
        """What is known before the first product."""

    @abstractmethod
    def _product(self, x: Tensor, *, transposed: bool) -> Tensor:
        """The product, with what had to be settled for it."""


class _Product(torch.autograd.Function):
    """Linear: the gradient of a product is a product with the transpose, which reveals in its turn."""

    @staticmethod
    def forward(x: Tensor, matrix: LazyMatrix, transposed: bool) -> Tensor:
        return matrix._product(x, transposed=transposed)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, LazyMatrix, bool], output: Tensor) -> None:
        _, ctx.matrix, ctx.transposed = inputs

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *inputs: Any) -> tuple[Tensor, int]:
        """A batch of right-hand sides is more columns: one matrix answers for all of them."""
        x, matrix, transposed = inputs
        batch = x.movedim(in_dims[0], -1)
        return _Product.apply(batch.flatten(-2), matrix, transposed).unflatten(-1, batch.shape[-2:]), x.ndim - 1

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        return _Product.apply(grads[0], ctx.matrix, not ctx.transposed), None, None
