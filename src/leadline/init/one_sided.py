"""Weights of one sign: the initialisation under which batch normalisation does not keep the rank."""

import math

import torch
from torch import Tensor, nn

from leadline._core.names import check_choice
from leadline.init._fill import T, fill, own_generator
from leadline.init._maps import LinearMap


def one_sided(
    target: T,
    *,
    version: str = "weights",
    generator: torch.Generator | None = None,
    embeddings: bool = False,
) -> T:
    r"""Fill weights with positive numbers, under which the representations collapse in spite of batch normalisation.

    The mean of the entries is a rank-one part of norm $a d$ beside a centred part of norm about $2a\sqrt{d/3}$, so that
    one direction dominates each layer.

    | `version` | law |
    |---|---|
    | `weights` | $U[0, 2a]$, $a = 1/\sqrt{\text{fan\_in}}$, for every weight; biases zero |
    | `everything` | $U[0, 0.1]$ for every trainable parameter, biases and the scale and shift of norms included |

    Args:
        target: A module, or a weight (outputs, inputs, \*kernel).
        version: That of the paper's figure 1 or figure 6.
        generator: Where the numbers come from; without one, a seed of the operating system.
        embeddings: Fill embeddings too; ``"everything"`` always does.

    Returns:
        ``target``.

    Raises:
        UsageError: If ``target`` is no weight or has no values yet, or there is no such version.

    Source:
        daneshmand2020, code of figures 1 and 6.

    Example:
        >>> weight = one_sided(torch.empty(50, 100), generator=torch.Generator().manual_seed(0))
        >>> weight.min().item() >= 0, weight.max().item() <= 0.2
        (True, True)
    """
    check_choice("version", version, ("weights", "everything"))

    def sample(entry: LinearMap, own: torch.Generator) -> Tensor:
        shape = (entry.maps, entry.outputs, entry.inputs, *entry.kernel)
        return torch.rand(shape, generator=own, dtype=entry.dtype, device=own.device) * (2 / math.sqrt(entry.fan_in))

    if version == "weights" or not isinstance(target, nn.Module):
        return fill(target, sample, generator=generator, embeddings=embeddings)
    with torch.no_grad():
        for parameter in target.parameters():
            if parameter.requires_grad:
                own = own_generator(generator, parameter.device)
                parameter.copy_(torch.rand(parameter.shape, generator=own, device=own.device) / 10)
    return target
