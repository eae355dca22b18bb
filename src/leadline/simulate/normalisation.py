"""Normalisations of columns: one sample a column, one feature a row."""

from jaxtyping import Float
from torch import Tensor

NORMS = ("none", "batch", "layer", "rms")


def normalised(
    z: Float[Tensor, "*draws d n"], norm: str, *, alpha: float = 1.0, centred: bool = False, eps: float = 0.0
) -> Float[Tensor, "*draws d n"]:
    r"""``z`` behind a normalisation.

    ``"batch"`` divides feature $j$ by $R_j^\alpha \bar R^{1-\alpha}$ with $R_j^2$ its mean square over the samples and
    $\bar R^2$ that over all entries; $\alpha = 1$ is batch normalisation, $\alpha = 0$ one scale for everything.
    ``"layer"`` centres samples and divides by their root mean square, ``"rms"`` only divides.

    Args:
        z: Columns are samples.
        norm: One of ``NORMS``.
        alpha: Exponent of ``"batch"``.
        centred: Whether ``"batch"`` subtracts the mean of each feature.
        eps: Added to mean squares.
    """
    if norm == "none":
        return z
    over = -1 if norm == "batch" else -2
    if norm == "layer" or (norm == "batch" and centred):
        z = z - z.mean(over, keepdim=True)
    squares = z.square().mean(over, keepdim=True) + eps
    if norm != "batch" or alpha == 1:
        return z * squares.rsqrt()
    return z * (squares**-alpha * squares.mean(-2, keepdim=True) ** (alpha - 1)).sqrt()
