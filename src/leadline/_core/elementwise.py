"""An elementwise function of tensors on NumPy's arrays, in float64: its values, and its derivative by autograd."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from leadline._core.randomness import kept_rng


def values(function: Callable[[Tensor], Tensor], x: NDArray[np.float64]) -> NDArray[np.float64]:
    """What ``function`` makes of ``x``.

    >>> values(torch.relu, np.array([-1.0, 2.0]))
    array([0., 2.])
    """
    with torch.no_grad(), kept_rng():
        return function(torch.tensor(x, dtype=torch.float64)).numpy()


def slopes(function: Callable[[Tensor], Tensor], x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Its derivative at ``x``; zero where autograd knows of none, as for functions of comparisons.

    >>> slopes(torch.relu, np.array([-1.0, 2.0])), slopes(lambda x: (x > 0).to(x), np.array([-1.0, 2.0]))
    (array([0., 1.]), array([0., 0.]))
    """
    at = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    with torch.enable_grad(), kept_rng():
        value = function(at)
        if not value.requires_grad:
            return np.zeros_like(x)
        return torch.autograd.grad(value.sum(), at, allow_unused=True, materialize_grads=True)[0].numpy()
