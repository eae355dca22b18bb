r"""Where samples settle behind batch normalisation and an activation, and how fast: the forward fixed point.

A wide layer $x' = \varphi(\mathrm{BN}(Wx))$ sees its batch of n samples through their Gram matrix alone. A feature of
$\mathrm{BN}(Wx)$ is $\sqrt n\,u$ with u on the unit sphere orthogonal to the ones; where samples are alike but for a
common part, u is uniform, and the next Gram matrix is the same whatever that common part and the scale were.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from leadline._core.errors import AssumptionError
from leadline.theory.activations import Activation, activation
from leadline.theory.batch_norm import PairFunction, sphere_expectation


@dataclass(frozen=True, kw_only=True)
class BatchNormFixedPoint:
    """What the samples of a batch come to behind many wide layers.

    Attributes:
        cosine: Between two different samples.
        participation_ratio: Of the representation of the batch.
        contraction: Factor per layer of the slowest deviation of the centred Gram matrix; at 1 and above the fixed
            point does not hold, and samples fall into groups.
    """

    cosine: float
    participation_ratio: float
    contraction: float


def batch_norm_fixed_point(phi: str | Activation, *, n: int) -> BatchNormFixedPoint:
    r"""The forward fixed point of layers $x' = \varphi(\mathrm{BN}(Wx))$ at infinite width.

    With $x_i = \sqrt n\,u_i$ for u uniform on the unit sphere of $\mathbb{R}^n$ orthogonal to the ones,

    $$c = \frac{\mathrm{E}\,\varphi(x_1)\varphi(x_2)}{\mathrm{E}\,\varphi(x_1)^2}, \qquad
    r = \frac{n}{1 + (n-1)\,c^2} .$$

    A small deviation $\Delta$ of the centred Gram matrix tilts the law of u by $\frac{n-1}2 u^\top\Delta u$, so that it
    comes out of the layer as $\frac{n-1}{2a}\mathrm{E}\,\varphi\varphi^\top u^\top\Delta u$ with
    $a = \mathrm{E}\varphi(x_1)^2 - \mathrm{E}\varphi(x_1)\varphi(x_2)$. By symmetry there are two factors, one for
    deviations of single samples' lengths and one for those of pairs; the larger one is returned. Both are
    $\frac{n-1}{n+1}$ for the identity.

    Args:
        phi: The activation or its name; no gain in front of it (the norm's scale is 1).
        n: Samples, at least 4; linearly independent.

    Returns:
        The fixed point. Networks of finite width fluctuate about it, and lose rank where they are narrower than the
        square of their batch (``surviving_samples``).

    Raises:
        UsageError: If no activation has that name.
        AssumptionError: If ``n`` is below 4 or the activation is constant.

    Source:
        yang2019, theorem 3.4 and section 3.2 (the fixed points they call BSB1); the two factors are derived here for
        any activation. They are compared with simulation in the tests.

    Example:
        >>> point = batch_norm_fixed_point("relu", n=32)
        >>> round(point.cosine, 3), round(point.participation_ratio, 2), round(point.contraction, 3)
        (0.302, 8.35, 0.931)
    """
    phi = activation(phi)
    if n < 4:
        raise AssumptionError(f"The law of a feature has a density in pairs of samples from n = 4 on, got n={n}.")
    f = phi.function

    def mean(weight: PairFunction, *, both: bool = True) -> float:
        """Of the activation of one sample squared, or of two, times ``weight``."""
        return sphere_expectation(lambda x, y: f(x) * (f(y) if both else f(x)) * weight(x, y), n, phi.breakpoints)

    own, pair = mean(lambda x, y: np.ones_like(x), both=False), mean(lambda x, y: np.ones_like(x))
    spread = own - pair
    if spread <= 1e-15:
        raise AssumptionError("A constant activation leaves nothing to normalise.")
    cosine = pair / own

    def of_rest(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
        """E x_k x_l of two further samples."""
        return ((x + y) ** 2 - (n - x * x - y * y)) / ((n - 2) * (n - 3))

    # Deviation (e1 − e2)(e3 − e4)ᵀ, read off at samples 1 and 3.
    pairs = mean(lambda x, y: x * y + (x + y) ** 2 / (n - 2) + of_rest(x, y))
    # Deviation e1e1ᵀ − e2e2ᵀ, centred: what comes out of the layer along it.
    single = mean(lambda x, y: x * x - (n - x * x) / (n - 1), both=False)
    with_other = mean(lambda x, y: x * x - y * y)
    with_third = mean(lambda x, y: x * x - (n - x * x - y * y) / (n - 2))
    lengths = (single - 2 / n * (single + with_other + (n - 2) * with_third)) / (1 - 2 / n)
    factors = [(n - 1) / (n * spread) * pairs, (n - 1) / (2 * n * spread) * lengths]
    return BatchNormFixedPoint(
        cosine=cosine, participation_ratio=n / (1 + (n - 1) * cosine**2), contraction=max(factors, key=abs)
    )
