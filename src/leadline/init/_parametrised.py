"""Setting a weight that a parametrisation makes, with the state that the parametrisation keeps beside it."""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import _SpectralNorm
from torch.nn.utils.parametrize import ParametrizationList

_ITERATIONS = 15  # of the power method, as torch does where a norm is put on


@torch.no_grad()
def set_parametrised(module: nn.Module, key: str, value: Tensor) -> None:
    """Give ``module.key`` this value; a spectral norm is estimated anew, which evaluation divides by as it stands."""
    setattr(module, key, value)
    made = cast(ParametrizationList, module.parametrizations[key])  # type: ignore[index]
    given = [getattr(made, name) for name, _ in made.named_parameters(recurse=False)]
    for parametrisation in made:
        if isinstance(parametrisation, _SpectralNorm):
            _estimate(parametrisation, given[0])
        given = [parametrisation(*given)]


def _estimate(norm: _SpectralNorm, weight: Tensor) -> None:
    """Put new singular vectors in the place of the old ones, from a fixed start: alike whatever was there before."""
    matrix = norm._reshape_weight_to_matrix(weight)
    generator = torch.Generator().manual_seed(0)
    for name, size in zip(("_u", "_v"), matrix.shape, strict=True):
        setattr(norm, name, F.normalize(torch.randn(size, generator=generator).to(matrix), dim=0))
    norm._power_method(matrix, _ITERATIONS)
