"""How fast linear networks without normalisation collapse to one direction, with and without skip connections."""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import digamma, gammaln

from leadline._core.errors import AssumptionError
from leadline.theory.products import lyapunov_exponents

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(64)
_SMALL = 3e-3  # below it the closed form is within 5γ², and the mixtures have many terms


def collapse_rate(d: int, *, gamma: float = math.inf) -> float:
    r"""Rate at which $\log(\sigma_1/\sigma_2)$ grows in a linear network without normalisation, nats per layer.

    For $H' = H + \gamma H W^\top$, W of independent N(0, 1) entries, or $H' = HW^\top$ at $\gamma = \infty$: the gap
    between the two largest Lyapunov exponents. No choice of scale changes it, and

    $$\mu_1 - \mu_2 \approx \frac{\gamma^2}{2}\,\frac{2 + \gamma^2 d}{(1 + \gamma^2 d)^2}:\qquad
    \gamma^2 \text{ for } \gamma^2 d \ll 1, \quad \frac{1}{2d} \text{ for } \gamma^2 d \gg 1.$$

    The participation ratio follows as $r - 1 \propto e^{-2(\mu_1 - \mu_2) L}$: collapse takes about $1/\gamma^2$ layers
    at small $\gamma$, whatever the width, and d layers without a skip.

    Args:
        d: Width, at least 2.
        gamma: $\gamma > 0$. With weights of variance $\sigma^2/d$ it is $\sigma/\sqrt d$.

    Returns:
        The rate, the exact expectation for Gaussian weights, to about 1e-9 relative; for $\gamma < .003$ the closed
        form, which is low by $5\gamma^2$ relative.

    Raises:
        AssumptionError: If ``d`` is below 2 or ``gamma`` not positive.

    Source:
        newman1986 for $\gamma = \infty$; leadline's derivation with skips. daneshmand2020 states the collapse without a
        rate.

    Example:
        >>> round(collapse_rate(64), 5), round(collapse_rate(64, gamma=0.01) / 0.01**2, 3)
        (0.008, 0.991)
    """
    if d < 2 or not gamma > 0:
        raise AssumptionError(f"A second direction needs d >= 2, and a layer gamma > 0; got d={d}, gamma={gamma:g}.")
    if gamma == math.inf:
        first, second = lyapunov_exponents(d, count=2)
        return float(first - second)
    if gamma < _SMALL:
        spread = gamma**2 * d
        return gamma**2 / 2 * (2 + spread) / (1 + spread) ** 2
    return float(_stretch(d, 1.0, gamma) - _second_stretch(d, gamma)) / 2


def _stretch(d: int, length: float, gamma: float) -> float:
    """E log of the squared length of a vector of squared ``length`` plus γ times d normal variables.

    The square is γ² times a noncentral chi-square variable, a Poisson mixture of central ones.
    """
    at, mass = _poisson(length / (2 * gamma**2))
    return 2 * math.log(gamma) + math.log(2) + float(mass @ digamma(d / 2 + at))


def _second_stretch(d: int, gamma: float) -> float:
    """The same of the second direction, less its projection on the image of the first.

    The square u² of its cosine to that image is a Beta(½, (d−1)/2 + J) variable, J a Poisson variable of mean
    1/(2γ²), and independent of the d − 1 normal variables that are left.
    """
    at, mass = _poisson(1 / (2 * gamma**2))
    power = (d - 1) / 2 + at[:, None]
    reach = min(math.pi / 2, 12 / math.sqrt(2 * float(power.min())))
    angle = reach / 2 * (1 + _NODES)
    log_norm = gammaln(power + 0.5) - gammaln(power) - 0.5 * math.log(math.pi) + math.log(2)
    density = mass @ np.exp(log_norm + (2 * power - 1) * np.log(np.cos(angle)))
    stretches = np.array([_stretch(d - 1, math.cos(a) ** 2, gamma) for a in angle])
    return float(reach / 2 * (_WEIGHTS * density) @ stretches)


def _poisson(mean: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where a Poisson variable lies but for 1e-20, and with what probability."""
    reach = 10 * math.sqrt(mean) + 30
    at = np.arange(max(math.floor(mean - reach), 0), math.ceil(mean + reach) + 1, dtype=np.float64)
    mass = np.exp(at * math.log(mean) - mean - gammaln(at + 1)) if mean > 0 else (at == 0).astype(np.float64)
    return at, mass / mass.sum()
