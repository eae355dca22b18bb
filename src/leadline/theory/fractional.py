r"""Fractional batch normalisation: how fast gradients grow, and what an exponent of $c/\sqrt{\text{depth}}$ achieves.

$\mathrm{BN}_\alpha(x)_j = x_j / (R_j^\alpha \bar R^{1-\alpha})$ with $R_j$ the root mean square of feature $j$ over
the batch and $\bar R$ that of all; $\alpha = 1$ is batch normalisation. The layer is
$x' = \mathrm{BN}_\alpha(xW^\top)$, the identity as activation, rows of $x$ samples.
"""

import math
from dataclasses import dataclass
from typing import Literal

from leadline._core.errors import AssumptionError
from leadline._core.names import check_choice
from leadline.theory.gram_law import WEIGHTS, isometry_gap_plateau
from leadline.theory.isometry import isometry_gap_bound
from leadline.theory.isometry_gradients import gradient_growth_bound

# From α²d = 8 n² on the measured growth is within 10 % of the law of infinite width, below it falls to nothing.
_WIDE = 8


def fractional_gradient_applies(*, n: int, d: int, alpha: float = 1.0, weights: str = "haar") -> bool:
    r"""Whether ``fractional_gradient_rate`` has a law: for Haar weights; for Gaussian ones if $\alpha^2 d \ge 8n^2$.

    >>> fractional_gradient_applies(n=10, d=20), fractional_gradient_applies(n=10, d=20, weights="gaussian")
    (True, False)
    """
    check_choice("weights", weights, WEIGHTS)
    possible = n >= 3 and d >= 3 and 0 < alpha <= 1
    return possible and (weights == "haar" or alpha**2 * d >= _WIDE * n**2)


def fractional_gradient_rate(*, n: int, d: int, alpha: float = 1.0, weights: str = "haar") -> float:
    r"""Growth of the log gradient norm per layer, towards the input.

    Haar weights: 0 for $n \ge d$ (a theorem, ``gradient_growth_bound``), and for $n < d$

    $$\frac\alpha4 \log\frac{n(d - 2\alpha)}{d(n - 2\alpha)} \approx \frac{\alpha^2}{2}\Bigl(\frac1n - \frac1d\Bigr).$$

    The right side is derived to leading order in $\alpha$ and $1/n$; the left, which has the squared inverse lengths of
    the features in closed form, is a fit of what finite sizes add: for $n \ge 6$ and $n \le d/2$ dense networks grew by
    .88 to 1.13 of it. The other sizes are further off: .35 to .84 at n = 3 or 4 and d = 2n, up to 1.2 at n = 2d/3, and
    1.17 at n = 4 towards infinite width, where the law of Gaussian weights is exact for Haar weights too:

    $$\tfrac12\log\Bigl(1 + \frac{\alpha^2}{n - 2\alpha}\Bigr),$$

    exact for $d \to \infty$ and, within the error, an upper limit of all that was measured: at
    $\alpha^2 d = 64, 16, 4, 1$ times $n^2$ the growth was .99, .96, .82 and .39 of it for n = 4, $\alpha = 1$, and
    nearer for more samples and smaller $\alpha$. Below, gradients lose in the product of random matrices what
    normalisation adds, and only the part that no layer changes (``preserved_gradient``) stays, at rate 0.

    In a batch with repeated samples n is the number of different ones, for the gradients of weights. What tells copies
    apart in the gradients of representations is not projected away and grows at about $\alpha/n$.

    Args:
        n: Samples, at least 3; of a repeated batch the different ones only.
        d: Width, at least 3.
        alpha: Exponent, in (0, 1].
        weights: ``"haar"`` or ``"gaussian"``.

    Returns:
        Nats per layer, at least 0.

    Raises:
        AssumptionError: If ``fractional_gradient_applies`` is false.
        UsageError: If there are no such weights.

    Source:
        leadline; at $\alpha = 1$ Haar weights have ``orthogonal_identity_rate``.

    Example:
        >>> [round(1000 * fractional_gradient_rate(n=10, d=100, alpha=alpha), 2) for alpha in (1.0, 0.2, 0.1)]
        [50.74, 1.84, 0.46]
    """
    if not fractional_gradient_applies(n=n, d=d, alpha=alpha, weights=weights):
        raise AssumptionError(
            f"The law needs n >= 3, d >= 3, alpha in (0, 1] and, for Gaussian weights, alpha^2 d >= {_WIDE} n^2; "
            f"got n={n}, d={d}, alpha={alpha}, weights={weights!r}."
        )
    if weights == "gaussian":
        return _wide_rate(n, alpha)
    return max(alpha / 4 * math.log(n * (d - 2 * alpha) / (d * (n - 2 * alpha))), 0.0)


@dataclass(frozen=True, kw_only=True)
class FractionalLaw:
    """What fractional batch normalisation does over a whole network.

    Attributes:
        alpha: The exponent.
        growth: Growth of the log gradient norm from the last layer to the first, nats; an upper bound or an estimate.
        gap: Isometry gap of the last representation, nats; an upper bound of its mean or an estimate.
        status: ``"theorem"`` (both are proved upper bounds), ``"conjecture"`` (estimates of a derivation to leading
            order, checked against dense networks), ``"false"`` (samples collapse: the gap is unbounded).
    """

    alpha: float
    growth: float
    gap: float
    status: Literal["theorem", "conjecture", "false"]


def fractional_law(c: float, *, depth: int, n: int, d: int, gap: float = 0.0, weights: str = "haar") -> FractionalLaw:
    r"""Gradient and gap of a network with the exponent $\alpha = \min(1, c/\sqrt L)$ at depth $L$.

    * **Theorem**, Haar weights and $n \ge d$: at any depth the gradient's growth is below a number that depends on
      $\phi_0$ and $d$ alone, and $\mathrm{E}\,\phi_L \le \phi_0 (1 - \alpha/k)^L \le \phi_0\,e^{-c\sqrt L/k} \to 0$.
      (So with $\alpha = 1$, faster.)
    * **Conjecture**, Haar weights and $n < d$: growth $\to \tfrac{c^2}{2}(\tfrac1n - \tfrac1d)$, where batch
      normalisation explodes; deviations from isometry decay like $e^{-2c\sqrt L/(n+2)}$, and what every layer adds
      settles at a gap of about $\frac{\alpha n}{4d}(1 - \frac nd) = O(1/\sqrt L)$.
    * **Conjecture and false**, Gaussian weights: growth at most about $\tfrac{c^2}{2n}$, but the gap that layers add
      *rises* as $1/\alpha$, to about $\frac{n^2}{8\alpha d}$, and n samples stay apart for $(n-1)(n+2) < 4\alpha d$
      only, that is up to the depth $\bigl(\frac{4cd}{(n-1)(n+2)}\bigr)^2$. Far deeper networks collapse (after of the
      order of $d$ layers): no $c$ helps at every depth.

    Args:
        c: The constant, above 0.
        depth: Layers $L$, at least 1.
        n: Samples, at least 3.
        d: Width, at least 3.
        gap: $\phi_0$, isometry gap of the input; the theorem's bounds need it.
        weights: ``"haar"`` or ``"gaussian"``.

    Returns:
        The law. For ``"conjecture"`` the input's own gap has died away.

    Raises:
        AssumptionError: If an argument is below its range.
        UsageError: If there are no such weights.

    Source:
        leadline; the derivations are on the page on the laws of depth.

    Example:
        >>> law = fractional_law(3.0, depth=1000, n=10, d=100)
        >>> law.status, round(law.growth, 2), round(law.gap, 4)
        ('conjecture', 0.41, 0.0021)
        >>> fractional_law(3.0, depth=1000, n=50, d=100, weights="gaussian").status
        'false'
    """
    check_choice("weights", weights, WEIGHTS)
    if not c > 0 or depth < 1 or n < 3 or d < 3 or not gap >= 0:
        raise AssumptionError(f"Needs c > 0, depth >= 1, n, d >= 3 and gap >= 0; got {c}, {depth}, {n}, {d}, {gap}.")
    alpha = min(1.0, c / math.sqrt(depth))
    if weights == "haar" and n >= d:
        growth = gradient_growth_bound(gap, d=d, layers=depth, alpha=alpha)
        bound = isometry_gap_bound(gap, d=d, layers=depth, alpha=alpha)
        return FractionalLaw(alpha=alpha, growth=growth, gap=bound, status="theorem")
    if n > d:
        raise AssumptionError(f"With Gaussian weights the law is on n <= d samples, got n={n} and d={d}.")
    rate = _wide_rate(n, alpha) if weights == "gaussian" else fractional_gradient_rate(n=n, d=d, alpha=alpha)
    settled = isometry_gap_plateau(n=n, d=d, alpha=alpha, weights=weights)
    status = "false" if math.isinf(settled) else "conjecture"
    return FractionalLaw(alpha=alpha, growth=depth * rate, gap=settled, status=status)


def _wide_rate(n: int, alpha: float) -> float:
    return 0.5 * math.log1p(alpha**2 / (n - 2 * alpha))
