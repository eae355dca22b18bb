"""How many directions a representation uses: five ranks, smooth ones and counting ones."""

import math
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from leadline._core.errors import UsageError
from leadline._core.names import check_choice
from leadline.metrics import _formulas
from leadline.metrics._rows import Rows, check_rows, result_dtype
from leadline.metrics._spectrum import spectrum


def participation_ratio(x: Rows, *, center: bool = False) -> Float[Tensor, "*batch"]:
    r"""Squared sum over sum of squares of the Gram spectrum, the papers' $r$.

    $$r = \Bigl(\sum_i \lambda_i\Bigr)^2 \Big/ \sum_i \lambda_i^2 ,$$

    with $\lambda_i$ the squared singular values of $x$. Between 1 and the rank; unchanged by scaling and rotation.
    Behind batch normalisation it is a lower bound of the soft rank: $\mathrm{rank}_\tau \ge (1-\tau)^2 r$.

    Args:
        x: Representations ``(n, d)`` of ``n`` samples, or a batch ``(*batch, n, d)`` of such.
        center: Subtract the mean sample first; near 1 without it is usual behind ReLU, which shifts the mean.

    Returns:
        The ratio, in [1, min(n, d)], one a matrix; 0 for the zero matrix, ``nan`` for non-finite ``x``.
        Computed in float64, returned in the dtype of ``x``.

    Raises:
        UsageError: If ``x`` is no real tensor of samples and features.

    Source:
        daneshmand2020, r(H). There samples are columns; the ratio is the same.

    Example:
        >>> import torch
        >>> participation_ratio(torch.tensor([[1.0, 0.0], [0.0, 2.0]]))  # 25 / 17
        tensor(1.4706)
    """
    check_rows(x)
    return _formulas.participation_ratio(spectrum(x, center=center)).to(result_dtype(x))


def effective_rank(x: Rows, *, center: bool = False) -> Float[Tensor, "*batch"]:
    r"""Exponential of the entropy of the Gram spectrum.

    $$\exp\Bigl(-\sum_i p_i \log p_i\Bigr), \qquad p_i = \lambda_i / \textstyle\sum_j \lambda_j ,$$

    with $\lambda_i$ the squared singular values of $x$. At least the participation ratio and at most the rank;
    unchanged by scaling and rotation. It can never exceed ``n``: isotropic rows in 768 dimensions score 60 with 64
    samples and 699 with 4096, so compare batches of one size.

    Args:
        x: Representations ``(n, d)`` of ``n`` samples, or a batch ``(*batch, n, d)`` of such.
        center: Subtract the mean sample first.

    Returns:
        The rank, in [1, min(n, d)], one a matrix; 0 for the zero matrix, ``nan`` for non-finite ``x``.
        Computed in float64, returned in the dtype of ``x``.

    Raises:
        UsageError: If ``x`` is no real tensor of samples and features.

    Source:
        Roy and Vetterli 2007 (EUSIPCO), Definition 1, with squared singular values in place of singular values.

    Example:
        >>> import torch
        >>> effective_rank(torch.eye(4))
        tensor(4.)
    """
    check_rows(x)
    return _formulas.effective_rank(spectrum(x, center=center)).to(result_dtype(x))


def stable_rank(x: Rows, *, center: bool = False) -> Float[Tensor, "*batch"]:
    r"""Sum over maximum of the Gram spectrum, $\sum_i \lambda_i / \lambda_{\max} = \|x\|_F^2 / \|x\|_2^2$.

    At most the participation ratio; unchanged by scaling and rotation.

    Args:
        x: Representations ``(n, d)`` of ``n`` samples, or a batch ``(*batch, n, d)`` of such.
        center: Subtract the mean sample first.

    Returns:
        The rank, in [1, min(n, d)], one a matrix; 0 for the zero matrix, ``nan`` for non-finite ``x``.
        Computed in float64, returned in the dtype of ``x``.

    Raises:
        UsageError: If ``x`` is no real tensor of samples and features.

    Example:
        >>> import torch
        >>> stable_rank(torch.tensor([[1.0, 0.0], [0.0, 2.0]]))
        tensor(1.2500)
    """
    check_rows(x)
    return _formulas.stable_rank(spectrum(x, center=center)).to(result_dtype(x))


def numerical_rank(x: Rows, *, center: bool = False) -> Float[Tensor, "*batch"]:
    r"""Number of singular values above the rounding of the dtype.

    $$\#\{\, i : \sigma_i > \max(n, d) \cdot \varepsilon \cdot \sigma_{\max} \,\}$$

    with $\varepsilon$ the machine epsilon of the dtype of ``x`` (of float64 for integers, which are exact): the
    directions that arithmetic in that dtype can tell from none. In bfloat16 and a width beyond 128 that is not even
    the first; convert to float32 to count there.

    Args:
        x: Representations ``(n, d)`` of ``n`` samples, or a batch ``(*batch, n, d)`` of such.
        center: Subtract the mean sample first.

    Returns:
        The count, one a matrix; 0 for the zero matrix, ``nan`` for non-finite ``x``. Singular values in float64,
        returned in the dtype of ``x``.

    Raises:
        UsageError: If ``x`` is no real tensor of samples and features.

    Example:
        >>> import torch
        >>> numerical_rank(torch.tensor([[1.0, 2.0], [2.0, 4.0]]))
        tensor(1.)
    """
    check_rows(x)
    n, d = x.shape[-2:]
    eps = torch.finfo(x.dtype).eps if x.is_floating_point() else _formulas.EPS
    return _formulas.numerical_rank(spectrum(x, center=center), n=n, d=d, eps=eps).to(result_dtype(x))


def soft_rank(
    x: Rows, tau: float = 0.5, relative_to: Literal["features", "support"] | str = "features", *, center: bool = False
) -> Float[Tensor, "*batch"]:
    r"""Number of eigenvalues at or above a share of their mean.

    $$\mathrm{rank}_\tau = \#\{\, i : \lambda_i \ge \tau \bar\lambda \,\}$$

    with $\lambda_i$ the $d$ eigenvalues of $x^\top x / n$ and $\bar\lambda$ their mean, zeros included. Behind batch
    normalisation $\bar\lambda = 1$ and this is the paper's count. With far fewer samples than features that mean is
    small and the count blind to collapse: a spectrum with 99 % in one of 64 directions scores 64 in 4096 features.
    ``relative_to="support"`` takes the mean over the $k = \min(n, d)$ directions that the samples can span.

    Args:
        x: Representations ``(n, d)`` of ``n`` samples, or a batch ``(*batch, n, d)`` of such.
        tau: The share, not negative; a tie to rounding counts.
        relative_to: ``"features"``: mean over all ``d`` eigenvalues; ``"support"``: over the largest ``k``.
        center: Subtract the mean sample first.

    Returns:
        The count, one a matrix; 0 for the zero matrix, ``nan`` for non-finite ``x``. Computed in float64,
        returned in the dtype of ``x``.

    Raises:
        UsageError: If ``x`` is no real tensor of samples and features, ``tau`` is negative or not finite, or
            ``relative_to`` is neither of the two.

    Source:
        daneshmand2020, rank_tau(H), made free of scale.

    Example:
        >>> import torch
        >>> soft_rank(torch.diag(torch.tensor([3.0, 2.0, 0.1])))
        tensor(2.)
    """
    check_rows(x)
    check_choice("relative_to", relative_to, ["features", "support"])
    if not (tau >= 0 and math.isfinite(tau)):
        raise UsageError(f"`tau` must be a number from 0 up, got {tau}; the paper uses 0.5.")
    eigenvalues = spectrum(x, center=center)
    return _formulas.soft_rank(eigenvalues, d=x.shape[-1], tau=tau, relative_to=relative_to).to(result_dtype(x))
