"""All metrics of many matrices of one shape at once: one batched Gram matrix, one batched eigenvalue call."""

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from leadline.metrics._formulas import pairwise_metrics, spectral_metrics
from leadline.metrics._spectrum import centre, gram_eigenvalues, widen


def matrix_metrics(
    x: Shaped[Tensor, "*batch n d"], *, eps: float | None = None, tau: float = 0.5
) -> dict[str, Float[Tensor, "*batch"]]:
    """The eight spectral and the four pairwise metrics of every matrix in ``x``, by the names of their functions.

    The same formulas as the public functions, on the eigenvalues of the float64 Gram matrix instead of singular
    values; where its condition passes 1e8, on singular values. They agree to 1e-7 relative.

    Args:
        x: Matrices whose rows are samples, of any real dtype. Never changed.
        eps: Machine epsilon that ``numerical_rank`` counts against; by default that of the dtype of ``x``.
        tau: Limit of ``soft_rank``.

    Returns:
        Name -> float64 values, one a matrix; ``nan`` throughout for a matrix with nan or inf.
    """
    n, d = x.shape[-2:]
    if eps is None:
        eps = torch.finfo(x.dtype if x.is_floating_point() else torch.float64).eps
    rows = widen(x)
    gram = rows @ rows.mT
    spectral = spectral_metrics(gram_eigenvalues(rows, gram), n=n, d=d, eps=eps, tau=tau)
    return spectral | pairwise_metrics(gram, centre(rows).square().sum((-2, -1)))
