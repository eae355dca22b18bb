"""Noise of mini-batch gradients, and what of a weight's gradient cancels if its contributions have random signs."""

import math

from scipy.special import gammaln

from leadline._core.errors import AssumptionError
from leadline._core.names import check_choice

_SIZES = ("equal", "gaussian")


def step_noise(spread: float, *, batch: int, samples: int | None = None, learning_rate: float = 1.0) -> float:
    r"""Expected squared distance of a mini-batch's step from the step with the gradient of all samples.

    $$\mathrm{E}\|\alpha\bar g - \alpha g_B\|^2 = \frac{\alpha^2}{b}\,C, \qquad
    \text{without replacement } \frac{\alpha^2}{b}\,C\,\frac{N - b}{N - 1},$$

    with $C = \frac1N\sum_i \|g_i - \bar g\|^2$. Both are exact, so the noise is proportional to $\alpha^2/b$; a step of
    all samples has none.

    Args:
        spread: $C \ge 0$, in squared units of a gradient.
        batch: b, at least 1.
        samples: N for drawing without replacement, at least b; with replacement, or of endless data, leave it out.
        learning_rate: $\alpha$.

    Returns:
        The expectation, in squared units of a step.

    Raises:
        AssumptionError: If the batch is empty or has more samples than there are, or the spread is negative.

    Source:
        bjorck2018, eq. 3, states the bound $\alpha^2 C/b$. Its proof has $C(N - b)/(Nb)$ without replacement, which is
        low by $(N-1)/N$, since the indicators of a draw are taken as $\mathrm{E}\,g_i g_j = b^2/N^2$ and not
        $b(b-1)/(N(N-1))$.

    Example:
        >>> step_noise(2.0, batch=8), step_noise(2.0, batch=8, samples=8)
        (0.25, 0.0)
    """
    if spread < 0:
        raise AssumptionError(f"A spread of gradients is at least 0, got {spread:g}.")
    if batch < 1 or (samples is not None and batch > samples):
        raise AssumptionError(f"A batch has from 1 to {samples or 'any number of'} samples, got {batch}.")
    left = 1.0 if samples is None else (samples - batch) / max(samples - 1, 1)
    return learning_rate**2 * spread / batch * left


def random_sign_cancellation(contributions: int, *, sizes: str = "equal") -> float:
    r"""Mean absolute contribution over mean absolute sum, for N contributions of random signs.

    For ``"equal"`` sizes

    $$\frac{N}{\mathrm{E}|S_N|} = \frac{2^{N-1}}{\binom{N-1}{\lfloor (N-1)/2 \rfloor}} \approx \sqrt{\pi N/2},$$

    exactly, and $\sqrt N$ for ``"gaussian"`` ones; any other law of finite variance gives
    $\mathrm{E}|x|/\sqrt{\mathrm{E}x^2}$ times the former for large N. It is the baseline for
    ``leadline.metrics.cancellation``: 1 means that all contributions agree, so that the gradient hardly depends on the
    input; networks with batch normalisation were measured at .33 to .53 of it, without at 1 to 10 in all.

    Args:
        contributions: N, samples times positions that share the weight, at least 1.
        sizes: Law of the sizes, ``"equal"`` or ``"gaussian"``.

    Returns:
        The ratio, at least 1.

    Raises:
        UsageError: If there is no such law.
        AssumptionError: If ``contributions`` is below 1.

    Source:
        leadline, for the ratio of bjorck2018, table 1, which compares with 1 only.

    Example:
        >>> random_sign_cancellation(2), round(random_sign_cancellation(128 * 64), 1)
        (2.0, 113.4)
    """
    check_choice("sizes", sizes, _SIZES)
    if contributions < 1:
        raise AssumptionError(f"A gradient has at least one contribution, got {contributions}.")
    if sizes == "gaussian":
        return math.sqrt(contributions)
    last = contributions - 1
    half = last // 2
    return math.exp(last * math.log(2) - gammaln(last + 1) + gammaln(half + 1) + gammaln(last - half + 1))
