"""What was measured of one weight: its spectrum and the numbers drawn from it."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class WeightSpectrum:
    """The spectrum of one weight, folded to a matrix of its first axis against the rest.

    Attributes:
        shape: Shape of the weight as the model holds it.
        rows: Length of the first axis: the outputs of a linear map or convolution.
        columns: Product of the others: inputs times places of the kernel for a convolution.
        frobenius_norm: Root of the sum of the squared singular values.
        sigma_max: The largest singular value, the spectral norm.
        sigma_min: The smallest of the min(rows, columns) singular values.
        condition_number: Their ratio.
        isometry_gap: Log mean minus mean log of the squared singular values; 0 for an orthogonal weight.
        orthogonality_gap: Distance of the normalised squared singular values from the flat spectrum.
        participation_ratio: Squared sum over sum of squares of the squared singular values.
        effective_rank: Exponential of the entropy of their shares.
        stable_rank: Their sum over the largest.
        numerical_rank: How many singular values the dtype tells from zero.
        singular_values: All of them, in descending order.
    """

    shape: tuple[int, ...]
    rows: int
    columns: int
    frobenius_norm: float
    sigma_max: float
    sigma_min: float
    condition_number: float
    isometry_gap: float
    orthogonality_gap: float
    participation_ratio: float
    effective_rank: float
    stable_rank: float
    numerical_rank: float
    singular_values: tuple[float, ...]
