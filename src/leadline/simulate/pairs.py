"""What is known of a matrix from one side: directions and where they go."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from leadline.simulate.orthonormal import in_any_draw, new_directions

# (rows, columns that are wanted in each draw, a tensor of the dtype and device) -> columns
Normal = Callable[[int, Tensor, Tensor], Tensor]


@dataclass(frozen=True, kw_only=True)
class Pairs:
    r"""Orthonormal directions (rows) and their images: $a_i \mapsto b_i$.

    Attributes:
        directions: Of shape ``(*draws, k, d)``; orthonormal rows, or zero where a draw had no new direction.
        images: Of shape ``(*draws, k, d')``.
    """

    directions: Float[Tensor, "*draws k d_from"]
    images: Float[Tensor, "*draws k d_to"]

    def split(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """New directions of the columns of ``x``, in which draws each is one, and coefficients in old and new."""
        new, coefficients, found = new_directions(x, self.directions.mT)
        some = in_any_draw(found)
        # With no direction at all, a column that is not finite would be answered with the empty sum.
        some[: int(self.directions.shape[-2] == 0 and not some.any())] = True
        if not some.all():
            old = torch.ones(self.directions.shape[-2], dtype=torch.bool, device=x.device)
            new, found, coefficients = new[..., some], found[..., some], coefficients[..., torch.cat([old, some]), :]
        return new, found, coefficients

    def and_also(self, directions: Tensor, images: Tensor) -> "Pairs":
        """These pairs and those given as columns. A copy beside others: it costs less than the products with them."""
        if not self.directions.shape[-2]:
            return Pairs(directions=directions.mT, images=images.mT)
        return Pairs(
            directions=torch.cat([self.directions, directions.mT], dim=-2),
            images=torch.cat([self.images, images.mT], dim=-2),
        )
