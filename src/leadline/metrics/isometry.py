"""How far a representation is from orthogonal samples of equal length: gaps and condition of its spectrum."""

from jaxtyping import Float
from torch import Tensor

from leadline.metrics import _formulas
from leadline.metrics._rows import Rows, check_rows, result_dtype
from leadline.metrics._spectrum import spectrum


def isometry_gap(x: Rows, *, center: bool = False) -> Float[Tensor, "*batch"]:
    r"""Log-ratio of arithmetic to geometric mean of the Gram spectrum.

    $$\log\bigl(\tfrac1k \sum_i \lambda_i\bigr) - \tfrac1k \sum_i \log \lambda_i ,$$

    with $\lambda_i$ the $k = \min(n, d)$ squared singular values of $x$. Unchanged by scaling and rotation; zero
    exactly when the rows (for $n > d$ the columns) are orthogonal and of equal length. With $n < d$ it is not
    monotone under batch normalisation: statements of the papers need $n \ge d$.

    Args:
        x: Representations ``(n, d)`` of ``n`` samples, or a batch ``(*batch, n, d)`` of such.
        center: Subtract the mean sample first. Centred rows are dependent, so the gap is then infinite for n ≤ d.

    Returns:
        The gap in nats, in [0, ∞], one a matrix; ``inf`` for dependent rows (σ_min ≤ max(n, d)·2.2e-16·σ_max) and
        for the zero matrix, ``nan`` for non-finite ``x``. Computed in float64, returned in the dtype of ``x``; right
        to about 1e-16 times the condition number, and near isometry to 1e-15·√gap.

    Raises:
        UsageError: If ``x`` is no real tensor of samples and features.

    Source:
        meterez2023, eq. 5. There samples are columns and n = d.

    Example:
        >>> import torch
        >>> isometry_gap(torch.eye(3))
        tensor(0.)
        >>> isometry_gap(torch.tensor([[1.0, 0.0], [0.0, 3.0]]))  # log 5 - log 3
        tensor(0.5108)
    """
    check_rows(x)
    n, d = x.shape[-2:]
    return _formulas.isometry_gap(spectrum(x, center=center), n=n, d=d).to(result_dtype(x))


def orthogonality_gap(x: Rows, *, center: bool = False) -> Float[Tensor, "*batch"]:
    r"""Distance of the trace-normalised spectrum from the flat one.

    $$\Bigl\| \frac{\lambda}{\sum_i \lambda_i} - \frac1k \Bigr\|_2 ,$$

    which for $n \le d$ is $\| x x^\top / \|x\|_F^2 - I/n \|_F$. Unchanged by scaling and rotation; its square is
    $1/r - 1/k$ with $r$ the participation ratio.

    Args:
        x: Representations ``(n, d)`` of ``n`` samples, or a batch ``(*batch, n, d)`` of such.
        center: Subtract the mean sample first.

    Returns:
        The gap, in [0, √(1 − 1/k)], one a matrix; ``nan`` for the zero matrix, which has no direction, and for
        non-finite ``x``. Computed in float64, returned in the dtype of ``x``.

    Raises:
        UsageError: If ``x`` is no real tensor of samples and features.

    Source:
        daneshmand2021, eq. 2. There samples are columns and n ≤ d; for n > d the paper's matrix is singular and
        its gap has the floor √(1/d − 1/n), which is left out here.

    Example:
        >>> import torch
        >>> orthogonality_gap(torch.tensor([[1.0, 1.0], [1.0, 1.0]]))
        tensor(0.7071)
    """
    check_rows(x)
    return _formulas.orthogonality_gap(spectrum(x, center=center)).to(result_dtype(x))


def condition_number(x: Rows, *, center: bool = False) -> Float[Tensor, "*batch"]:
    r"""Largest over smallest of the $k = \min(n, d)$ singular values.

    Unchanged by scaling and rotation; 1 exactly when the isometry gap is 0.

    Args:
        x: Representations ``(n, d)`` of ``n`` samples, or a batch ``(*batch, n, d)`` of such.
        center: Subtract the mean sample first. Centred rows are dependent: infinite for n ≤ d.

    Returns:
        The condition number, in [1, ∞], one a matrix; ``inf`` for dependent rows (σ_min ≤ max(n, d)·2.2e-16·σ_max)
        and for the zero matrix, ``nan`` for non-finite ``x``. Computed in float64, returned in the dtype of ``x``:
        float16 ends at 65504.

    Raises:
        UsageError: If ``x`` is no real tensor of samples and features.

    Example:
        >>> import torch
        >>> condition_number(torch.tensor([[1.0, 0.0], [0.0, 4.0]]))
        tensor(4.)
    """
    check_rows(x)
    n, d = x.shape[-2:]
    return _formulas.condition_number(spectrum(x, center=center), n=n, d=d).to(result_dtype(x))
