"""What a representation is: a real matrix whose rows are samples, or a batch of them."""

from typing import Any

import torch
from jaxtyping import Shaped
from torch import Tensor

from leadline._core.errors import UsageError

# The union leaves wrong shapes to `check_rows`, whose sentence says what to do.
Rows = Shaped[Tensor, "*batch n d"] | Tensor


def check_rows(x: Any, *, name: str = "x") -> None:
    """Refuse what has no rows of features.

    Raises:
        UsageError: If it is no real tensor with two axes or more, or has no entry in a row.
    """
    if not isinstance(x, Tensor):
        raise UsageError(f"`{name}` must be a torch.Tensor, got {type(x).__name__}; convert it with `torch.as_tensor`.")
    shape = tuple(x.shape)
    if x.ndim < 2:
        raise UsageError(
            f"`{name}` must have shape (samples, features), got {shape}. A single sample is `{name}[None]`; "
            f"more axes of features are folded with `{name}.flatten(1)`."
        )
    if 0 in shape[-2:]:
        raise UsageError(f"`{name}` must have at least one sample and one feature, got {shape}.")
    if x.is_complex():
        raise UsageError(f"`{name}` must be real, got {x.dtype}; measure its real and imaginary parts side by side.")


def result_dtype(x: Tensor) -> torch.dtype:
    """That of ``x``; the default dtype for integers."""
    return x.dtype if x.is_floating_point() else torch.get_default_dtype()
