"""How fast signals and gradients change from layer to layer in wide networks, with and without normalisation."""

import math
from dataclasses import dataclass

from leadline._core.errors import AssumptionError
from leadline._core.names import check_choice
from leadline.theory.activations import Activation
from leadline.theory.gaussian import moments

_ORDERS = ("norm_act", "act_norm")


@dataclass(frozen=True, kw_only=True)
class LayerRates:
    """Rates of one layer in nats.

    Attributes:
        signal: Growth of the logarithm of the root mean square of the pre-activation, or of the residual stream,
            from this layer to the next, towards the output.
        gradient: Growth of the logarithm of the gradient's norm from this layer to the one before, towards the input.
    """

    signal: float
    gradient: float


def plain_rates(phi: str | Activation, q: float, *, weight_std: float, bias_std: float = 0.0) -> LayerRates:
    r"""Rates of a wide layer $h' = W\varphi(h) + b$ without normalisation at variance $q$ of the pre-activation.

    $$r_\text{signal} = \tfrac12\log\frac{\sigma_w^2\,\mathrm{E}\varphi(\sqrt q z)^2 + \sigma_b^2}{q}, \qquad
    r_\text{gradient} = \tfrac12\log\bigl(\sigma_w^2\,\mathrm{E}\varphi'(\sqrt q z)^2\bigr).$$

    For the ReLU without bias both are $\tfrac12\log(\sigma_w^2/2)$: 0 under He, -.896 with torch's default.
    The weights that take a gradient backward are assumed independent of those that made the signal.

    Args:
        phi: The activation or its name.
        q: Variance of the pre-activation, above 0.
        weight_std: $\sigma_w$, weights have variance $\sigma_w^2$/fan_in; all layers are equally wide.
        bias_std: $\sigma_b$.

    Returns:
        Nats per layer; ``-inf`` where nothing passes.

    Raises:
        UsageError: If no activation has that name.
        AssumptionError: If ``q`` is not positive.

    Source:
        poole2016, eq. 3; schoenholz2017, eq. 15.

    Example:
        >>> plain_rates("relu", 1.0, weight_std=3**-0.5).gradient  # torch's default
        -0.895...
    """
    _check_variance(q)
    m = moments(phi, std=math.sqrt(q))
    return LayerRates(
        signal=_half_log((weight_std**2 * m.second + bias_std**2) / q),
        gradient=_half_log(weight_std**2 * m.slope_second),
    )


def residual_rates(
    phi: str | Activation, q: float, *, weight_std: float, bias_std: float = 0.0, skip: float = 1.0
) -> LayerRates:
    r"""Rates of a wide pre-activation residual block $x' = s\,x + W\varphi(x) + b$ at variance $q$ of the stream.

    The branch is uncorrelated with the stream, so variances add:

    $$r_\text{signal} = \tfrac12\log\Bigl(s^2 + \frac{\sigma_w^2\mathrm{E}\varphi^2 + \sigma_b^2}{q}\Bigr), \qquad
    r_\text{gradient} = \tfrac12\log\bigl(s^2 + \sigma_w^2\mathrm{E}\varphi'^2\bigr).$$

    Args:
        phi: The activation or its name.
        q: Variance of the stream, above 0.
        weight_std: $\sigma_w$ of the branch.
        bias_std: $\sigma_b$ of the branch.
        skip: Weight $s$ of the skip.

    Returns:
        Nats per block.

    Raises:
        UsageError: If no activation has that name.
        AssumptionError: If ``q`` is not positive.

    Source:
        yang2017 (arXiv:1712.08969), section 3, for the reduced residual network, $s = 1$.

    Example:
        >>> round(residual_rates("relu", 1.0, weight_std=2**0.5).gradient / math.log(2), 12)
        0.5
    """
    _check_variance(q)
    m = moments(phi, std=math.sqrt(q))
    return LayerRates(
        signal=_half_log(skip**2 + (weight_std**2 * m.second + bias_std**2) / q),
        gradient=_half_log(skip**2 + weight_std**2 * m.slope_second),
    )


def layer_norm_rates(
    phi: str | Activation, *, order: str = "norm_act", weight_std: float = 1.0, centred: bool = True
) -> LayerRates:
    r"""Rates of a wide layer normalised over its features, without bias.

    ``"norm_act"``, $h' = \mathrm{LN}(W\varphi(h))$: the norm divides by the length it finds, so
    $r = \tfrac12\log(\mathrm{E}\varphi'^2/\mathrm{E}\varphi^2)$ whatever the weights.
    ``"act_norm"``, $x' = \mathrm{LN}(\varphi(Wx))$: $r = \tfrac12\log(\sigma_w^2\mathrm{E}\varphi'(\sigma_w z)^2/V)$
    with $V = \mathrm{Var}\,\varphi(\sigma_w z)$, or $\mathrm{E}\varphi(\sigma_w z)^2$ without centring (RMS norm).

    Args:
        phi: The activation or its name.
        order: ``"norm_act"`` or ``"act_norm"``: the norm stands before or behind the activation.
        weight_std: $\sigma_w$, weights have variance $\sigma_w^2$/fan_in; no matter in ``"norm_act"``.
        centred: Layer norm subtracts the mean of the features, RMS norm does not.

    Returns:
        Nats per layer; the signal's is 0, as every norm sets the length anew.

    Raises:
        UsageError: If no activation or order has that name.
        AssumptionError: If the activation is constant.

    Source:
        Our derivation from the mean-field maps of poole2016; checked against dense networks in the tests.

    Example:
        The mean that layer norm subtracts behind a ReLU costs what batch norm costs before it.

        >>> round(layer_norm_rates("relu", order="act_norm").gradient, 4)
        0.1916
        >>> abs(layer_norm_rates("relu").gradient) < 1e-12
        True
    """
    check_choice("order", order, _ORDERS)
    if order == "norm_act":
        weight_std, centred = 1.0, False
    m = moments(phi, std=weight_std)
    length = m.variance if centred else m.second
    if length <= 1e-15:
        raise AssumptionError("A constant activation leaves nothing to normalise.")
    return LayerRates(signal=0.0, gradient=_half_log(weight_std**2 * m.slope_second / length))


def _check_variance(q: float) -> None:
    if not q > 0:
        raise AssumptionError(f"A rate needs a pre-activation of positive variance, got q={q}.")


def _half_log(value: float) -> float:
    return 0.5 * math.log(value) if value > 0 else -math.inf
