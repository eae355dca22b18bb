r"""How far gradients can grow or vanish through batch normalisation, given isometry gaps or the norms of one network.

Layers are $y = xW^\top$, $x' = y\,\mathrm{diag}(s)$ with rows of $x$ samples. The linear map passes the gradient as it
is (orthogonal $W$), and batch normalisation multiplies it by $\mathrm{diag}(s)$ behind a projection: for
$s_j = 1/R_j$, $\delta_j \mapsto (\delta_j - \hat y_j \langle\hat y_j, \delta_j\rangle)/R_j$.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import root_scalar

from leadline._core.errors import AssumptionError
from leadline.theory.gaussian import integrate
from leadline.theory.isometry import isometry_gap_layers


def extreme_eigenvalues(gap: float, *, d: int) -> tuple[float, float]:
    r"""The smallest and the largest eigenvalue that an isometry gap allows, on the scale of mean 1.

    The two solutions of $-\log\lambda - (d-1)\log\frac{d-\lambda}{d-1} = d\,\phi$; attained where the other
    eigenvalues are equal. Hence $-\log\lambda_{\min} \le d\phi + \min(1, \sqrt{2d\phi})$.

    Args:
        gap: $\phi \ge 0$; ``inf`` for dependent features.
        d: Number of eigenvalues, at least 2.

    Returns:
        Smallest and largest, to about 1e-12 relative; 0 and $d$ where they differ from these by less than 1e-300.

    Raises:
        AssumptionError: If the gap is negative or ``d`` below 2.

    Source:
        leadline, for the proof of meterez2023, theorem 5.

    Example:
        >>> low, high = extreme_eigenvalues(0.5 * math.log(4 / 3), d=2)
        >>> round(low, 9), round(high, 9)
        (0.5, 1.5)
    """
    if not gap >= 0 or d < 2:
        raise AssumptionError(f"Needs a gap of at least 0 and two eigenvalues at least, got {gap} and d={d}.")
    if gap == 0:
        return 1.0, 1.0
    if math.isinf(gap):
        return 0.0, float(d)
    return math.exp(-_fall(gap, d, 1)), 1 - (d - 1) * math.expm1(-_fall(gap, d, d - 1))


def _fall(gap: float, d: int, count: int) -> float:
    """How far log λ falls of ``count`` equal eigenvalues where the others are equal too."""
    others = d - count

    def excess(log_fall: float) -> float:
        fall = math.exp(log_fall)
        change = math.expm1(-fall)
        rise = -count * change / others
        return count * _above_log(change, -fall) + others * _above_log(rise, math.log1p(rise)) - d * gap

    # The gap is at most what the squares of the changes give, and at least (fall - 1) count/d.
    low, high = 0.5 * (math.log(2 * others / count) + math.log(gap)), math.log(d * gap / count + 2)
    return math.exp(root_scalar(excess, bracket=(low - 1, high), xtol=1e-15).root)


def _above_log(x: float, log: float) -> float:
    """What x exceeds log(1 + x) by, however small: the integral of x²t/(1 + xt) over t in [0, 1]."""
    if abs(x) > 0.5:
        return x - log
    return float(integrate(lambda t: x * x * t / (1 + x * t), np.array([0.0, 1.0])))


def gradient_certificate(
    scales: Sequence[ArrayLike], *, input_norm: float, weight_norms: Sequence[float] | None = None
) -> float:
    r"""Upper bound of the log gradient norm of a weight over that of the last representation, for one network.

    $$\log\frac{\lVert\partial L/\partial W_l\rVert_F}{\lVert\partial L/\partial x_L\rVert_F} \le
    \sum_{k \ge l} \bigl(-\log \min_j R_j^{(k)}\bigr) + \sum_{k > l} \log\lVert W_k\rVert_2 + \log\sigma_{\max}(x_l).$$

    Holds for every draw, every batch, every linear map and every loss, with or without subtraction of the mean and
    epsilon, and for fractional batch normalisation: the Jacobian of each is $\mathrm{diag}(1/R)$ behind a
    contraction. Never vacuous for finite numbers; loose by what separates $\min_j R_j$ from the typical one.

    Args:
        scales: What every feature was divided by, $R^{(k)}$, for the layers from $l$ to the last.
        input_norm: $\sigma_{\max}(x_l)$, the largest singular value of the layer's input.
        weight_norms: Largest singular value of each later weight; 1 by default (orthogonal weights).

    Returns:
        Nats; ``inf`` where a scale is 0.

    Raises:
        AssumptionError: If there is no layer, a negative or non-finite scale, or another number of weights than later
            layers.

    Source:
        leadline; the chain of meterez2023, proof of theorem 5, without expectation.

    Example:
        >>> round(gradient_certificate([[1.0, 0.5], [1.0, 1.0]], input_norm=1.0), 4)
        0.6931
    """
    lowest = [float(np.min(np.asarray(layer, np.float64))) for layer in scales]
    if not lowest or not all(math.isfinite(value) and value >= 0 for value in lowest):
        raise AssumptionError(f"Needs the finite scales >= 0 of one layer at least, got the minima {lowest}.")
    norms = [1.0] * (len(lowest) - 1) if weight_norms is None else list(weight_norms)
    if len(norms) != len(lowest) - 1:
        raise AssumptionError(f"{len(lowest)} layers have {len(lowest) - 1} later weights, got {len(norms)}.")
    if min(lowest) == 0:
        return math.inf
    return math.log(input_norm) + float(np.sum(np.log(norms))) - float(np.sum(np.log(lowest)))


def gradient_growth_bound(gap: float, *, d: int, layers: int | None = None, alpha: float = 1.0) -> float:
    r"""Upper bound of the expected log gradient norm of any weight, over that of the last representation.

    $$\mathrm{E}\log\frac{\lVert\partial L/\partial W_l\rVert_F}{\mathrm{Lip}\,L} \le
    \tfrac{\alpha}{2}\sum_{k \ge 0}\Bigl( x_k + \min\bigl(1, \sqrt{2x_k}\bigr) \Bigr) + \tfrac12\log\lambda_{\max}
    + \tfrac12\phi_0\,[\alpha < 1], \qquad x_k = d\,\phi_0 (1 - \alpha/k_0)^k,$$

    for features of norm 1 (of root mean square 1: add $\tfrac12\log n$), with $k_0$ of ``isometry_gap_layers`` and
    $\lambda_{\max}$ of ``extreme_eigenvalues``. The sum converges: **no depth makes Haar weights explode when n ≥ d**.
    Over all depths the first term is at most $k_0\bigl(\tfrac12 x_0 + \sqrt{2x_0}\bigr)$, whatever $\alpha$. Tight at
    isometry, where it is 0, and of use for small gaps: 4.5 nats at $\phi_0 = 1.7\cdot10^{-4}$, $d = 50$; at
    $\phi_0 = 19$, $d = 20$ it is 3 million nats.

    Args:
        gap: $\phi_0$, the isometry gap of the input; ``inf`` for a degenerate batch.
        d: Width, at least 2; at most as many as there are samples.
        layers: Normalised layers behind the weight's input; any number by default.
        alpha: Exponent of fractional batch normalisation, in (0, 1].

    Returns:
        Nats; ``inf`` (vacuous) for an infinite gap.

    Raises:
        AssumptionError: If the gap is negative, ``d`` below 2, ``layers`` below 1 or ``alpha`` outside (0, 1].

    Source:
        meterez2023, theorem 5, there $C d^5(\phi_0^3 + 1)$ without the constant. The explicit form, of the order of
        $d^3\phi_0^2$, n ≥ d and $\alpha < 1$ are leadline's.

    Example:
        >>> round(gradient_growth_bound(1.7e-4, d=50), 1), gradient_growth_bound(0.0, d=50)
        (4.5, 0.0)
    """
    k = isometry_gap_layers(gap, d=d)
    if not 0 < alpha <= 1 or (layers is not None and layers < 1):
        raise AssumptionError(f"The bound needs alpha in (0, 1] and layers >= 1, got {alpha} and {layers}.")
    if math.isinf(k):
        return math.inf
    x, keep = d * gap, 1 - alpha / k
    count = math.inf if layers is None else layers
    # The square root's part is 1 for the first layers, then geometric.
    ones = min(max(math.ceil(-math.log(2 * x) / math.log(keep)), 0), count) if 2 * x > 1 else 0
    roots = math.sqrt(2 * x * keep**ones) * (1 - keep ** ((count - ones) / 2)) / (1 - math.sqrt(keep))
    total = x * (1 - keep**count) / (1 - keep) + ones + roots
    return alpha / 2 * total + 0.5 * math.log(extreme_eigenvalues(gap, d=d)[1]) + (gap / 2 if alpha < 1 else 0.0)


def preserved_gradient(x: ArrayLike, grad: ArrayLike) -> NDArray[np.float64]:
    r"""The part of a gradient that no layer changes, $\tfrac12(g x^\top - x g^\top)$, shape (n, n).

    A layer $\mathrm{BN}(xW^\top)$ without mean subtraction, fractional or not, commutes with rotations of the samples
    against each other, $x \mapsto Ox$. So $\langle g, Ax\rangle$ is the same at every layer for every antisymmetric
    $A$: for any weights, any n and d, without any hypothesis. Subtracting the mean keeps the rotations that fix
    the ones.

    Args:
        x: Representations of ``n`` samples at some layer.
        grad: The loss's gradient there.

    Returns:
        An antisymmetric matrix, the same at every layer.

    Raises:
        AssumptionError: If the shapes differ or are no matrices.

    Source:
        leadline; meterez2023 has no lower bound.

    Example:
        >>> preserved_gradient(np.eye(2), np.array([[3.0, 2.0], [0.0, 1.0]]))
        array([[ 0.,  1.],
               [-1.,  0.]])
    """
    x, grad = _pair(x, grad)
    product = grad @ x.T
    return (product - product.T) / 2


def gradient_floor(x: ArrayLike, preserved: ArrayLike) -> float:
    r"""The smallest norm that a gradient at ``x`` can have, given its preserved part $A$.

    $$\lVert g\rVert_F^2 \ge \sum_{i<j} \frac{4 a_{ij}^2}{\mu_i + \mu_j},$$

    $\mu$ the eigenvalues of $xx^\top$ and $a$ the entries of $A$ in its eigenbasis; attained. So gradients with
    respect to representations do not vanish with depth. At isometry ($\mu = c$) it is $\lVert A\rVert_F/\sqrt c$.

    Args:
        x: Representations of ``n`` samples at some layer.
        preserved: ``preserved_gradient`` at any layer, the output's for instance.

    Returns:
        The norm, in the units of the gradient.

    Raises:
        AssumptionError: If the shapes do not fit.

    Source:
        leadline.

    Example:
        >>> x, grad = np.eye(3)[:2], np.array([[0.0, 2.0, 0.0], [0.0, 0.0, 0.0]])
        >>> round(gradient_floor(x, preserved_gradient(x, grad)), 6), float(np.linalg.norm(grad))
        (1.414214, 2.0)
    """
    x, preserved = np.asarray(x, np.float64), np.asarray(preserved, np.float64)
    if x.ndim != 2 or preserved.shape != (x.shape[0], x.shape[0]):
        raise AssumptionError(f"n samples have an (n, n) preserved part, got {x.shape} and {preserved.shape}.")
    left, sigma, _ = np.linalg.svd(x, full_matrices=True)
    mu = np.zeros(x.shape[0])
    mu[: sigma.size] = np.square(sigma)
    entries = left.T @ preserved @ left
    sums = mu[:, None] + mu
    kept = sums > 1e-15 * max(float(mu.max()), np.finfo(np.float64).tiny)
    return math.sqrt(2 * float(np.sum(np.square(entries)[kept] / sums[kept])))


def gradient_at_isometry(x: ArrayLike, grad: ArrayLike, *, layers: float = math.inf) -> float:
    r"""Root mean square of the gradient's norm ``layers`` layers before an output that is at isometry.

    With $x^\top x = c\,I$, split $g = x a/c + b$, $a = x^\top g = a_- + a_+$ (antisymmetric and symmetric). A layer
    with Haar weights $W$ keeps $b$ and $a_-$, and takes $a_+$ to $W^\top(a_+ - \mathrm{diag}\,a_+)W$:

    $$\mathrm{E}\lVert g_l\rVert^2 = \lVert b\rVert^2 + \frac{\lVert a_-\rVert^2}{c} +
    \frac{\lVert a_+ - \mathrm{diag}\,a_+\rVert^2}{c} \Bigl(\frac{d}{d+2}\Bigr)^{l-1}.$$

    Args:
        x: The last representation, (n, d) with n ≥ d, features orthogonal and equally long.
        grad: The loss's gradient there.
        layers: $l \ge 1$; the default is the limit, in which every draw has this norm.

    Returns:
        The norm, in the units of ``grad``.

    Raises:
        AssumptionError: If ``x`` is not at isometry (to 1e-6), has n < d, or ``layers`` is below 1.

    Source:
        leadline.

    Example:
        >>> round(gradient_at_isometry(np.eye(2), np.array([[3.0, 2.0], [0.0, 1.0]])), 6)
        1.414214
    """
    x, grad = _pair(x, grad)
    d = x.shape[1]
    gram = x.T @ x
    c = float(np.trace(gram)) / d
    if x.shape[0] < d or not np.abs(gram - c * np.eye(d)).max() <= 1e-6 * c:
        raise AssumptionError(f"Needs orthogonal, equally long features and n >= d; got shape {x.shape}.")
    if not layers >= 1:
        raise AssumptionError(f"Needs one layer at least, got layers={layers}.")
    a = x.T @ grad
    outside = grad - x @ a / c
    symmetric = (a + a.T) / 2
    symmetric = symmetric - np.diag(np.diag(symmetric))
    kept = np.square(outside).sum() + np.square((a - a.T) / 2).sum() / c
    return math.sqrt(float(kept + np.square(symmetric).sum() / c * (d / (d + 2)) ** (layers - 1)))


def _pair(x: ArrayLike, grad: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    x, grad = np.asarray(x, np.float64), np.asarray(grad, np.float64)
    if x.ndim != 2 or x.shape != grad.shape:
        raise AssumptionError(f"A gradient has the shape (n, d) of the representation, got {x.shape} and {grad.shape}.")
    return x, grad
