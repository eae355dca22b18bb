"""Gains that keep the scale of signals or gradients, and the weight variances of the usual initialisers."""

import math

from leadline._core.errors import AssumptionError
from leadline._core.names import check_choice
from leadline.theory.activations import Activation
from leadline.theory.gaussian import moments

_RULES = ("he", "he_fan_out", "xavier", "lecun", "torch")


def gain(phi: str | Activation) -> float:
    r"""The gain that keeps the second moment of a signal: $1/\sqrt{\mathrm{E}\,\varphi(z)^2}$, $z \sim N(0, 1)$.

    Weights of variance gain²/fan_in give pre-activations of unit variance from layer to layer. $\sqrt2$ for the
    ReLU; 1.59 for tanh, where torch's table has 5/3.

    Args:
        phi: The activation or its name.

    Returns:
        The gain, dimensionless, to about 1e-14.

    Raises:
        UsageError: If no activation has that name.
        AssumptionError: If the activation vanishes on all of the line.

    Source:
        he2015, section 2.2, for any activation.

    Example:
        >>> round(gain("relu") ** 2, 12)
        2.0
        >>> round(gain("gelu"), 4)
        1.5335
    """
    return _inverse_root(moments(phi).second, "second moment")


def gradient_gain(phi: str | Activation) -> float:
    r"""The gain that keeps the norm of a gradient: $1/\sqrt{\mathrm{E}\,\varphi'(z)^2}$, $z \sim N(0, 1)$.

    It equals ``gain`` exactly for positively homogeneous activations (identity, ReLU, leaky ReLU); for the
    others no gain keeps both at unit variance.

    Args:
        phi: The activation or its name.

    Returns:
        The gain, dimensionless, to about 1e-14.

    Raises:
        UsageError: If no activation has that name.
        AssumptionError: If the activation is constant.

    Source:
        schoenholz2017, eq. 5: the slope is one at this gain.

    Example:
        >>> round(gradient_gain("relu") ** 2, 12)
        2.0
    """
    return _inverse_root(moments(phi).slope_second, "slope")


def weight_variance(rule: str, *, fan_in: int, fan_out: int) -> float:
    r"""Variance of a weight under an initialiser's rule.

    | rule | variance |
    |---|---|
    | `he` | $2/\text{fan\_in}$ |
    | `he_fan_out` | $2/\text{fan\_out}$ |
    | `xavier` | $2/(\text{fan\_in} + \text{fan\_out})$ |
    | `lecun` | $1/\text{fan\_in}$ |
    | `torch` | $1/(3\,\text{fan\_in})$: uniform on $\pm 1/\sqrt{\text{fan\_in}}$, torch's default |

    Args:
        rule: Name of the rule.
        fan_in: Inputs of a unit (times the kernel's size), at least 1.
        fan_out: Outputs that an input feeds (times the kernel's size), at least 1.

    Returns:
        The variance of one entry.

    Raises:
        UsageError: If there is no such rule.
        AssumptionError: If a fan is below 1.

    Source:
        he2015, eq. 10 and 14; glorot2010, eq. 12.

    Example:
        >>> weight_variance("he", fan_in=200, fan_out=50)
        0.01
    """
    check_choice("rule", rule, _RULES)
    if fan_in < 1 or fan_out < 1:
        raise AssumptionError(f"A fan counts connections and is at least 1, got fan_in={fan_in}, fan_out={fan_out}.")
    return {
        "he": 2 / fan_in,
        "he_fan_out": 2 / fan_out,
        "xavier": 2 / (fan_in + fan_out),
        "lecun": 1 / fan_in,
        "torch": 1 / (3 * fan_in),
    }[rule]


def _inverse_root(value: float, what: str) -> float:
    if value <= 0:
        raise AssumptionError(f"The {what} of this activation is 0 under a standard normal, so no gain keeps it.")
    return 1 / math.sqrt(value)
