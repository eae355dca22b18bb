"""Weights with orthonormal rows or columns, uniform on all such matrices."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from leadline._core.checks import check_finite
from leadline.init._fill import T, fill, normal
from leadline.init._maps import LinearMap

_NARROW = 48  # columns below which a QR decomposition is faster than its pieces


def haar(target: T, *, gain: float = 1.0, generator: torch.Generator | None = None, embeddings: bool = False) -> T:
    r"""Fill every weight with $g$ times a Haar matrix, in place.

    A weight of $m$ outputs and $n$ inputs gets orthonormal rows ($m \le n$) or columns ($m \ge n$), uniform under
    rotations from both sides. A kernel is folded to the matrix (outputs, inputs · places), as torch's
    ``orthogonal_`` does: then the *matrix* is orthogonal, the convolution is not (see ``orthogonal``). Fused
    projections to queries, keys and values are three independent matrices, groups of a convolution are independent.

    Biases of what is filled become zero. Frozen or empty parameters, complex weights, norms and embeddings are left
    alone, also where a read-out shares the embedding; a tied weight is drawn once.

    Args:
        target: A module, or a weight (outputs, inputs, \*kernel).
        gain: Factor $g$ on the matrix: all its singular values.
        generator: Where the numbers come from; without one, a seed of the operating system.
        embeddings: Fill embeddings too, as matrices (tokens, features).

    Returns:
        ``target``. Drawn in float32 (float64 for float64 weights); orthonormal to about 1e-6 (1e-15).

    Raises:
        UsageError: If ``target`` is no weight, or has no values yet.

    Source:
        saxe2014, section 3; stewart1980, section 3, for the sampler.

    Example:
        >>> weight = haar(torch.empty(2, 3), generator=torch.Generator().manual_seed(0))
        >>> torch.allclose(weight @ weight.T, torch.eye(2), atol=1e-6)
        True
    """
    check_finite("gain", gain)

    def sample(entry: LinearMap, own: torch.Generator) -> Tensor:
        columns = entry.inputs * math.prod(entry.kernel)
        values = haar_matrices(
            entry.maps, entry.outputs, columns, generator=own, dtype=entry.dtype, device=entry.parameter.device
        )
        return values.mul_(gain).reshape(entry.maps, entry.outputs, entry.inputs, *entry.kernel)

    return fill(target, sample, generator=generator, embeddings=embeddings)


def haar_matrices(
    count: int,
    rows: int,
    columns: int,
    *,
    generator: torch.Generator,
    dtype: torch.dtype = torch.float32,
    device: torch.device | None = None,
) -> Float[Tensor, "count rows columns"]:
    r"""Independent matrices with orthonormal rows or columns, uniform under rotations.

    $Q = H_1 \cdots H_k D$ with $H_j$ the Householder reflection of a Gaussian vector of $n - j + 1$ entries and $D$
    the signs that make it the factor Q of a Gaussian matrix with positive diagonal of R. Nothing is factorised, which
    takes half the time of a QR decomposition where that is not over in microseconds.

    Args:
        count: How many.
        rows: Rows of each, at least 1.
        columns: Columns of each, at least 1.
        generator: Where the numbers come from.
        dtype: float32 or float64.
        device: Where to compute; that of the generator without one.

    Returns:
        The matrices; orthonormal to about 1e-6 in float32, 1e-15 in float64.

    Source:
        stewart1980, section 3; mezzadri2007, section 5, for the signs.

    Example:
        >>> haar_matrices(5, 3, 2, generator=torch.Generator().manual_seed(0)).shape
        torch.Size([5, 3, 2])
    """
    if rows < columns:
        return haar_matrices(count, columns, rows, generator=generator, dtype=dtype, device=device).mT
    gaussian = normal(count, rows, columns, generator=generator, dtype=dtype, device=device)
    if columns < _NARROW:
        q, r = torch.linalg.qr(gaussian)
        return q * r.diagonal(dim1=-2, dim2=-1).sign()[:, None]
    vectors = gaussian.tril_()
    first = vectors.diagonal(dim1=-2, dim2=-1)
    # The reflection that takes column j to its length along axis j, away from its first entry: no cancellation.
    length = torch.copysign(vectors.norm(dim=-2), -first)
    pivot = first - length
    reflected = torch.linalg.householder_product(vectors / pivot[:, None], -pivot / length)
    return reflected * length.sign()[:, None]
