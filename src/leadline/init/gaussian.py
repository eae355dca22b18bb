"""Independent normal weights whose variance keeps the size of signals, gradients, or a compromise of both."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from leadline._core.checks import check_finite
from leadline.init._fill import T, fill, normal
from leadline.init._maps import LinearMap
from leadline.init.gains import ActivationLike, gain


def gaussian(target: T, *, gain: float = 1.0, generator: torch.Generator | None = None, embeddings: bool = False) -> T:
    r"""Fill every weight with independent $N(0, g^2/\text{fan\_in})$, in place.

    The fan counts what an output really sums over: inputs of its group times places of the kernel, for a transposed
    convolution divided by the stride, since an output pixel sees only one place in $s$.

    Biases of what is filled become zero. Frozen or empty parameters, complex weights, norms and embeddings are left
    alone, also where a read-out shares the embedding; a tied weight is drawn once; fused queries, keys and values
    each have their own fan.

    Args:
        target: A module, or a weight (outputs, inputs, \*kernel).
        gain: Factor $g$ on the standard deviation.
        generator: Where the numbers come from; without one, a seed of the operating system.
        embeddings: Fill embeddings too, as matrices (tokens, features).

    Returns:
        ``target``.

    Raises:
        UsageError: If ``target`` is no weight, or has no values yet.

    Source:
        poole2016, section 2, with the variance written as a gain.

    Example:
        >>> weight = gaussian(torch.empty(100, 400), generator=torch.Generator().manual_seed(0))
        >>> round(weight.var().item() * 400, 2)
        1.0
    """
    check_finite("gain", gain)
    return _filled(target, lambda entry: gain**2 / entry.fan_in, generator=generator, embeddings=embeddings)


def he(
    target: T,
    *,
    activation: ActivationLike = "relu",
    backward: bool = False,
    generator: torch.Generator | None = None,
    embeddings: bool = False,
) -> T:
    r"""Fill every weight with independent normal numbers of He's variance, in place, for any activation.

    $$\frac{1}{\text{fan\_in}\;\mathrm{E}\,\varphi(z)^2} \quad\text{or, backward,}\quad
    \frac{1}{\text{fan\_out}\;\mathrm{E}\,\varphi'(z)^2},$$

    for the ReLU 2/fan. The first keeps pre-activations at unit variance, the second gradients at their size. What is
    filled and what is left alone, and how fans are counted: as for ``gaussian``; the fan out of a convolution with
    stride is divided by the stride.

    Args:
        target: A module, or a weight (outputs, inputs, \*kernel).
        activation: What stands before the weights: see ``gain``.
        backward: Keep gradients instead of signals.
        generator: Where the numbers come from; without one, a seed of the operating system.
        embeddings: Fill embeddings too, as matrices (tokens, features).

    Returns:
        ``target``.

    Raises:
        UsageError: If ``target`` is no weight or has no values yet, or no activation has that name.
        AssumptionError: If the activation vanishes on all of the line.

    Source:
        he2015, eq. 10 and 14.

    Example:
        >>> weight = he(torch.empty(100, 400), activation="gelu", generator=torch.Generator().manual_seed(0))
        >>> round(weight.var().item() * 400, 1)  # 1.5335²
        2.4
    """
    factor = gain(activation, keep="gradient" if backward else "signal") ** 2
    return _filled(
        target,
        lambda entry: factor / (entry.fan_out if backward else entry.fan_in),
        generator=generator,
        embeddings=embeddings,
    )


def xavier(
    target: T,
    *,
    activation: ActivationLike = "identity",
    generator: torch.Generator | None = None,
    embeddings: bool = False,
) -> T:
    r"""Fill every weight with independent normal numbers of Xavier's variance, in place.

    $$\frac{2\,g^2}{\text{fan\_in} + \text{fan\_out}},$$

    with $g$ the ``gain`` of the activation: between what keeps signals and what keeps gradients. What is filled and
    what is left alone, and how fans are counted: as for ``he``.

    Args:
        target: A module, or a weight (outputs, inputs, \*kernel).
        activation: What stands before the weights: see ``gain``.
        generator: Where the numbers come from; without one, a seed of the operating system.
        embeddings: Fill embeddings too, as matrices (tokens, features).

    Returns:
        ``target``.

    Raises:
        UsageError: If ``target`` is no weight or has no values yet, or no activation has that name.
        AssumptionError: If the activation vanishes on all of the line.

    Source:
        glorot2010, eq. 12, normal where the paper draws uniformly.

    Example:
        >>> weight = xavier(torch.empty(100, 300), generator=torch.Generator().manual_seed(0))
        >>> round(weight.var().item() * 200, 1)
        1.0
    """
    factor = 2 * gain(activation) ** 2
    return _filled(
        target, lambda entry: factor / (entry.fan_in + entry.fan_out), generator=generator, embeddings=embeddings
    )


def _filled(
    target: T, variance: Callable[[LinearMap], float], *, generator: torch.Generator | None, embeddings: bool
) -> T:
    def sample(entry: LinearMap, own: torch.Generator) -> Tensor:
        shape = (entry.maps, entry.outputs, entry.inputs, *entry.kernel)
        return normal(*shape, generator=own, dtype=entry.dtype).mul_(math.sqrt(variance(entry)))

    return fill(target, sample, generator=generator, embeddings=embeddings)
