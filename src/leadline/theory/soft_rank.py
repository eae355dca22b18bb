"""How many directions a representation keeps, from below: bounds of the soft rank behind batch normalisation."""

import math

import numpy as np
from numpy.typing import NDArray

from leadline._core.errors import AssumptionError


def soft_rank_bound(ratio: float, *, tau: float = 0.5, size: int | None = None) -> float:
    r"""Least number of eigenvalues at or above $\tau$ times their mean, given the participation ratio $r$.

    $$\mathrm{rank}_\tau \ge (1-\tau)^2\, r, \qquad
    \mathrm{rank}_\tau \ge \frac{(1-\tau)^2\, r}{1 - \bigl(1 - (1-\tau)^2\bigr)\, r / k}$$

    where the second needs the number $k$ of eigenvalues that the mean is over. Both hold for every non-negative
    spectrum: they are the inequalities of Paley and Zygmund and of Cantelli for an eigenvalue drawn uniformly.
    The second is the larger, is $k$ for a flat spectrum, and is attained by spectra of two values.

    It says nothing where it is at most 1, that is for $r \le (1-\tau)^{-2}$, since the largest eigenvalue always
    counts.

    Args:
        ratio: $r = (\sum\lambda)^2/\sum\lambda^2$, in [1, k].
        tau: The threshold in [0, 1).
        size: $k$; without it the paper's bound, for any number of eigenvalues.

    Returns:
        The bound, a real number; the rank is at least the next integer.

    Raises:
        AssumptionError: If ``tau`` is not in [0, 1) or ``ratio`` not in [1, ``size``].

    Source:
        daneshmand2020, theorem 2, left inequality, with samples as columns; the sharper form is leadline's. There the
        mean eigenvalue is 1 by normalisation; here it is whatever it is.

    Example:
        >>> soft_rank_bound(8.0), soft_rank_bound(8.0, size=8), soft_rank_bound(8.0, size=16)
        (2.0, 8.0, 3.2)
    """
    if not 0 <= tau < 1:
        raise AssumptionError(f"The bound holds for tau in [0, 1), got {tau:g}.")
    if not 1 <= ratio <= (math.inf if size is None else size):
        raise AssumptionError(f"A participation ratio of {size or 'any'} eigenvalues is not {ratio:g}.")
    share = (1 - tau) ** 2
    return share * ratio / (1 - (1 - share) * ratio / size if size else 1)


def squared_norm_drift(moment: NDArray[np.float64]) -> float:
    r"""Expected change of $\|M\|_F^2$ in one layer of a linear network with batch normalisation, over $\gamma^2$.

    With $M = H^\top H/n$ the feature moments behind uncentred batch normalisation ($M_{ii} = 1$), and
    $H' = \mathrm{BN}(H + \gamma H W^\top)$, W of independent entries of mean 0 and variance 1,

    $$\mathrm{E}\bigl[\|M'\|_F^2 - \|M\|_F^2\bigr] =
    \gamma^2 \bigl( 2d^2 + 8\textstyle\sum_i (M^2)_{ii}^2 - 8\,\mathrm{tr}\,M^3 - 2\|M\|_F^2 \bigr) + O(\gamma^4)$$

    (third order vanishes for symmetric laws). It is 0 on average in the stationary state of small $\gamma$, which is
    the identity that ``stationary_rank_bound`` rests on.

    Args:
        moment: M, shape ``(d, d)``: symmetric, with ones on the diagonal; any rank.

    Returns:
        The coefficient of $\gamma^2$.

    Raises:
        AssumptionError: If ``moment`` is no correlation matrix.

    Source:
        leadline's expansion ("Rank behind batch normalisation") of the chain of daneshmand2020, theorem 2, where
        samples are columns.

    Example:
        A collapsed batch stays collapsed, orthogonal features do not stay orthogonal.

        >>> squared_norm_drift(np.ones((5, 5))), squared_norm_drift(np.eye(5))
        (0.0, 40.0)
    """
    _check_moments(moment)
    square = moment @ moment
    d, diagonal, norm = len(moment), np.diagonal(square), float(np.trace(square))
    return 2 * d * d + 8 * float(diagonal @ diagonal) - 8 * float(np.sum(square * moment)) - 2 * norm


def delocalisation(moments: NDArray[np.float64]) -> float:
    r"""The $\alpha$ of the rank theorem, $1 - \mathrm{E}\sum_i (M^2)_{ii}^2 \,/\, \mathrm{E}\,\mathrm{tr}\,M^3$.

    0 exactly for spectra that are flat on their support with rows of equal weight ($M^2 \propto M$: collapsed, or
    orthogonal); 1/5 in the limit of wide networks, see ``batch_norm_rank``.

    Args:
        moments: Feature moments M of one or more layers, shape ``(d, d)`` or ``(layers, d, d)``, ones on the diagonals.

    Returns:
        $\alpha$, in [0, 1).

    Raises:
        AssumptionError: If ``moments`` are no correlation matrices.

    Source:
        daneshmand2020, assumption A2. There an assumption on the stationary law; here a number that is measured.

    Example:
        >>> delocalisation(np.eye(3))
        0.0
    """
    stack = moments[None] if moments.ndim == 2 else moments
    for moment in stack:
        _check_moments(moment)
    square = stack @ stack
    diagonal = np.diagonal(square, axis1=1, axis2=2)
    return max(1 - float(np.sum(diagonal**2)) / float(np.sum(square * stack)), 0.0)


def stationary_rank_bound(d: int, *, alpha: float) -> float:
    r"""Lower bound $2\sqrt{\alpha d}$ of the mean participation ratio behind batch normalisation.

    For the linear network $H' = \mathrm{BN}(H + \gamma H W^\top)$ in the stationary state, $\gamma \to 0$: the drift of
    $\|M\|_F^2$ is 0,

    $$\mathrm{E}\,\mathrm{tr}\,M^3 - \mathrm{E}\textstyle\sum_i (M^2)_{ii}^2 + \tfrac14 \mathrm{E}\|M\|_F^2
    = \tfrac14 d^2,$$

    and $\mathrm{tr}\,M^3 \ge \|M\|_F^4/d$ turns this into $\mathrm{E}\,r \ge 2\sqrt{\alpha d}$. About 10 % below the
    truth for wide networks, where $\alpha \to 1/5$ and $r \to \sqrt d$; measured at d = 8, 16, 32: 1.83 < 2.62, 2.85 <
    3.75, 4.27 < 5.30.

    It says nothing for $\alpha \le 1/(4d)$, where it is at most 1, and so nothing of collapsed batches ($\alpha = 0$),
    which batch normalisation cannot part. Of large $\gamma$ it is no theorem: there the identity is missed by 16 % at d
    = 8 and 7 % at d = 256.

    Args:
        d: Width, at least 1.
        alpha: ``delocalisation`` of the stationary law.

    Returns:
        The bound.

    Raises:
        AssumptionError: If ``d`` is below 1 or ``alpha`` not in [0, 1].

    Source:
        daneshmand2020, theorem 2 says $\Omega(\sqrt d)$ with constants that were not at hand; identity and constant are
        leadline's.

    Example:
        >>> stationary_rank_bound(100, alpha=0.16)
        8.0
    """
    if d < 1 or not 0 <= alpha <= 1:
        raise AssumptionError(f"The bound needs a width of at least 1 and alpha in [0, 1], got d={d}, alpha={alpha:g}.")
    return 2 * math.sqrt(alpha * d)


def _check_moments(moment: NDArray[np.float64]) -> None:
    square = moment.ndim == 2 and moment.shape[0] == moment.shape[1]
    if not square or not np.allclose(np.diagonal(moment), 1, atol=1e-9) or not np.allclose(moment, moment.T, atol=1e-9):
        raise AssumptionError(
            f"Feature moments behind batch normalisation are square, symmetric and have ones on the diagonal; "
            f"this matrix of shape {moment.shape} is or has not."
        )
