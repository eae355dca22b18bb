"""How a tensor becomes the rows of a matrix."""

import torch
from jaxtyping import Float
from torch import Tensor


def evenly(count: int, most: int) -> list[int]:
    """At most ``most`` evenly spaced indices of ``range(count)``.

    >>> evenly(10, 4)
    [0, 2, 5, 7]
    """
    kept = min(count, most)
    return [i * count // kept for i in range(kept)]


def sample_rows(x: Tensor, *, batch: int, rows: int) -> tuple[Float[Tensor, "n d"], str]:
    """At most ``rows`` samples of ``x``, each flattened, and how they were taken (``"samples"`` or ``"positions"``)."""
    if x.ndim == 0:
        return x.reshape(1, 1), "samples"
    if x.shape[0] != batch and x.ndim >= 2 and x.shape[1] == batch:
        x = x.transpose(0, 1)
    if x.shape[0] % batch == 0:
        x, kind = x.reshape(batch, -1), "samples"
    else:
        x, kind = x.reshape(-1, x.shape[-1]), "positions"
    if len(x) > rows:
        x = x[torch.tensor(evenly(len(x), rows), device=x.device)]
    return x, kind
