"""Residual streams whose branch begins with a norm, in closed form at any depth, and budgets of slopes."""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from leadline._core.errors import AssumptionError
from leadline.theory.activations import Activation
from leadline.theory.gaussian import Moments, integrate, moments
from leadline.theory.rates import LayerRates

_SUMMED = 10_000  # blocks that are summed one by one


def pre_norm_rates(
    phi: str | Activation, variance: float, *, weight_std: float, skip: float = 1.0, centred: bool = False
) -> LayerRates:
    r"""Rates of a wide block $x' = s\,x + W\varphi(\mathrm{norm}(x))$ whose stream has variance v.

    The branch always has variance $b = \sigma_w^2\,\mathrm{E}\,\varphi(z)^2$, and the gradient through it is divided by
    the stream's standard deviation, so with $a = \sigma_w^2\,\mathrm{E}\,\varphi'(z)^2$

    $$r_\text{signal} = \tfrac12\log\Bigl(s^2 + \frac bv\Bigr), \qquad r_\text{gradient} = \tfrac12\log\Bigl(s^2 + \frac
    av\Bigr).$$

    The norm may be layer norm, RMS norm or batch norm of large batches; for batch norm v is the variance over the
    batch, and b, too, is without the mean of $\varphi$ (``centred``).

    Args:
        phi: The activation or its name.
        variance: v > 0 in front of the block.
        weight_std: $\sigma_w$ of the branch's last weight, of variance $\sigma_w^2$/fan_in.
        skip: s.
        centred: Whether v and b are variances about the mean of the batch.

    Returns:
        Nats per block.

    Raises:
        UsageError: If no activation has that name.
        AssumptionError: If ``variance`` is not positive.

    Source:
        yang2019, section 4, and zhang2019, section 2, for s = 1.

    Example:
        >>> rates = pre_norm_rates("relu", 1.0, weight_std=2**0.5)
        >>> round(rates.signal / math.log(2), 12), round(rates.gradient / math.log(2), 12)
        (0.5, 0.5)
    """
    if not variance > 0:
        raise AssumptionError(f"A rate needs a stream of positive variance, got {variance}.")
    slope, branch = _branch(moments(phi), weight_std, centred)
    return LayerRates(signal=_half_log(skip**2 + branch / variance), gradient=_half_log(skip**2 + slope / variance))


def pre_norm_growth(
    phi: str | Activation, blocks: int, *, weight_std: float, variance: float = 1.0, centred: bool = False
) -> LayerRates:
    r"""Total growth over L blocks $x' = x + W\varphi(\mathrm{norm}(x))$, in closed form.

    The stream's variance is $v_0 + L b$, and the product of all $1 + a/(v_0 + l b)$ is a ratio of Gamma functions:

    $$R_\text{signal} = \tfrac12\log\frac{v_0 + Lb}{v_0}, \qquad
    R_\text{gradient} = \tfrac12\log\frac{\Gamma(\frac{v_0 + a}{b} + L)\,\Gamma(\frac{v_0}{b})}
    {\Gamma(\frac{v_0 + a}{b})\,\Gamma(\frac{v_0}{b} + L)} \approx \tfrac12\,\frac ab \log L .$$

    Growth is a power of the depth: that is what a norm inside the branch does for a residual network. Relative to the
    stream only $\tfrac12(\frac ab - 1)\log L$ is left.

    Args:
        phi: The activation or its name.
        blocks: L, at least 0.
        weight_std: $\sigma_w > 0$ of the branch's last weight.
        variance: $v_0 > 0$ in front of the first block.
        centred: As in ``pre_norm_rates``.

    Returns:
        Nats over all L blocks, of the stream towards the output, of the gradient towards the input; to about 1e-12
        relative, as the sum of the blocks and beyond 10,000 of them as its integral.

    Raises:
        UsageError: If no activation has that name.
        AssumptionError: If the branch or the stream has no variance, or ``blocks`` is negative.

    Source:
        leadline's sum of the rates of yang2019 and zhang2019.

    Example:
        A thousand blocks multiply the gradient by 32, where without the norm it would be 10¹⁵⁰.

        >>> round(math.exp(pre_norm_growth("relu", 1000, weight_std=2**0.5).gradient), 1)
        31.6
    """
    slope, branch = _branch(moments(phi), weight_std, centred)
    if blocks < 0 or not (variance > 0 and branch > 0):
        raise AssumptionError(
            f"Growth needs blocks >= 0 and a stream and a branch of positive variance, "
            f"got blocks={blocks}, variance={variance}, and {branch:.3g} of the branch."
        )
    start, step = variance / branch, slope / branch
    return LayerRates(signal=0.5 * math.log1p(blocks / start), gradient=0.5 * _log_product(start, step, blocks))


def residual_growth(shares: ArrayLike, *, slopes: ArrayLike) -> float:
    r"""Growth of the log gradient norm, relative to the stream, over residual blocks.

    $$R = \tfrac12\sum_l \log(1 + \lambda_l(\chi_l - 1))$$

    $\lambda_l$ is the share of the branch in the variance of the stream behind block l and $\chi_l$ the branch's own
    factor, $\mathrm{E}\varphi'^2/\mathrm{E}\varphi^2$ (with Var φ behind batch normalisation). Shaping spends a budget
    B by $2R \le B$: equal shares 1/L (SkipInit, Fixup) need no shaping at all, shares 1/l (a norm in the branch) grow
    by $\tfrac12(\chi - 1)\log L$, and shares of 1/2 (no norm) by $\tfrac L2\log\frac{1 + \chi}{2}$.

    Dense networks with batch normalisation lie within 17 % for n ≤ d/2; with n ≥ d they grow less.

    Args:
        shares: $\lambda_l$ in [0, 1], one a block.
        slopes: $\chi_l \ge 0$, one a block or one for all.

    Returns:
        Nats in all.

    Raises:
        AssumptionError: If a share is not in [0, 1] or a slope is negative.

    Source:
        leadline, "Shaping any activation".

    Example:
        >>> round(residual_growth(1 / np.arange(2, 1001), slopes=3.0), 3), round(math.log(1000), 3)
        (6.013, 6.908)
    """
    shares, slopes = np.broadcast_arrays(np.asarray(shares, np.float64), np.asarray(slopes, np.float64))
    if not (np.all((shares >= 0) & (shares <= 1)) and np.all(slopes >= 0)):
        raise AssumptionError("Shares lie in [0, 1] and slopes are at least 0.")
    with np.errstate(divide="ignore"):
        return 0.5 * float(np.sum(np.log1p(shares * (slopes - 1))))


def _log_product(start: float, step: float, blocks: int) -> float:
    """Sum of log(1 + step/(start + l)) over l < ``blocks``; from differences of log Gamma no digit may be left."""

    def term(x: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.log1p(step / x)

    summed = min(blocks, _SUMMED)
    total = float(np.sum(term(np.asarray(start + np.arange(summed), np.float64))))
    if summed == blocks:
        return total
    # Euler and Maclaurin: the next correction is below 1e-14 of this one.
    ends = np.array([start + summed, start + blocks])
    values, slopes = term(ends), -step / (ends * (ends + step))
    edges = np.linspace(0.0, math.log1p((blocks - summed) / ends[0]), 33)
    area = float(integrate(lambda y: term(ends[0] * np.exp(y)) * ends[0] * np.exp(y), edges))
    return total + area + float(values[0] - values[1]) / 2 + float(slopes[1] - slopes[0]) / 12


def _branch(m: Moments, weight_std: float, centred: bool) -> tuple[float, float]:
    """The slope a and the variance b of the branch."""
    return weight_std**2 * m.slope_second, weight_std**2 * (m.variance if centred else m.second)


def _half_log(value: float) -> float:
    return 0.5 * math.log(value) if value > 0 else -math.inf
