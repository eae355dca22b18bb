"""Squared singular values of a batch of matrices, in float64: exact by ``svdvals``, or quick by the Gram matrix."""

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

# Below this condition of the Gram matrix its eigenvalues keep eight digits; beyond it the rows are asked themselves.
GRAM_CONDITION = 1e8


def widen(x: Shaped[Tensor, "*batch n d"]) -> Float[Tensor, "*batch n d"]:
    """``x`` in float64 on a scale of its own, matrix by matrix; one with nan or inf becomes all nan."""
    return scaled(x)[0]


def scaled(x: Shaped[Tensor, "*batch n d"]) -> tuple[Float[Tensor, "*batch n d"], Float[Tensor, "*batch 1 1"]]:
    """``x`` widened, and the scale that was divided out.

    Float64 input is divided by a power of two, so that no square under- or overflows and no digit is lost. Narrower
    dtypes keep their scale: their squares fit.
    """
    wide = x.double()
    one = wide.new_ones((*x.shape[:-2], 1, 1))
    if not x.is_floating_point():
        return wide, one
    peak = x.detach().abs().amax((-2, -1), keepdim=True)
    scale = one
    if x.dtype == torch.float64:
        mantissa, _ = torch.frexp(peak)
        scale = torch.where(mantissa == 0, one, peak / (2 * mantissa))
        wide = wide / scale
    finite = peak.isfinite()
    return wide if finite.all() else torch.where(finite, wide, torch.nan), scale


def centre(x: Float[Tensor, "*batch n d"]) -> Float[Tensor, "*batch n d"]:
    """Rows minus their mean, by way of the first row: equal rows give exactly zero, close ones lose no digit."""
    x = x - x[..., :1, :]
    return x - x.mean(-2, keepdim=True)


def squared_singular_values(x: Float[Tensor, "*batch n d"]) -> Float[Tensor, "*batch k"]:
    """Of widened matrices, exact to rounding relative to the largest singular value; ``nan`` for ``nan``."""
    finite = ~x[..., :1, :1].isnan()
    sigma = _singular_values(x if finite.all() else torch.where(finite, x, 0.0))
    return torch.where(finite.squeeze(-1), sigma.square(), torch.nan)


def _singular_values(x: Float[Tensor, "*batch n d"]) -> Float[Tensor, "*batch k"]:
    n, d = x.shape[-2:]
    if 2 * min(n, d) > max(n, d) or (x.requires_grad and torch.is_grad_enabled()):
        return torch.linalg.svdvals(x)
    # Of long matrices by way of their triangular factor: as exact, and two to three times as fast. Its derivative,
    # unlike that of the singular values, exists for independent rows only.
    return torch.linalg.svdvals(torch.linalg.qr(x if n > d else x.mT, mode="r").R)


def spectrum(x: Shaped[Tensor, "*batch n d"], *, center: bool) -> Float[Tensor, "*batch k"]:
    """Squared singular values of ``x``, or of its rows minus their mean, on a scale of their own."""
    rows = widen(x)
    return squared_singular_values(centre(rows) if center else rows)


def gram_eigenvalues(x: Float[Tensor, "*batch n d"], gram: Float[Tensor, "*batch n n"]) -> Float[Tensor, "*batch k"]:
    """The same from ``gram = x @ x.mT``, with ``svdvals`` for the matrices whose Gram matrix is ill-conditioned."""
    n, d = x.shape[-2:]
    finite = ~x[..., :1, :1].isnan()
    eigenvalues = torch.linalg.eigvalsh(gram if finite.all() else torch.where(finite, gram, 0.0))
    eigenvalues = torch.where(finite.squeeze(-1), eigenvalues[..., -min(n, d) :], torch.nan)
    ill = eigenvalues[..., 0] * GRAM_CONDITION <= eigenvalues[..., -1]
    if ill.any():
        eigenvalues = torch.where(ill.unsqueeze(-1), 0.0, eigenvalues)
        eigenvalues[ill] = squared_singular_values(x[ill])
    return eigenvalues
