"""Whether a module computes the same in either mode and at every call."""

import copy

import torch
from jaxtyping import Float
from torch import Tensor, nn

from leadline._core.randomness import kept_rng


def change(module: nn.Module, x: Float[Tensor, "n width"]) -> str | None:
    """What differs from call to call of ``module``, or ``None`` where nothing does.

    A copy is called once in each mode with ``x``, on the CPU; the global generators tell whether it drew from them.

    >>> change(nn.Dropout(0.1), torch.ones(1, 4)), change(nn.Tanh(), torch.ones(1, 4))
    ('draws random numbers', None)
    """
    module, values = copy.deepcopy(module).cpu(), []
    with torch.no_grad(), kept_rng():
        for training in (True, False):
            before = torch.get_rng_state()
            values.append(module.train(training)(x.clone()))
            if not torch.equal(before, torch.get_rng_state()):
                return "draws random numbers"
    same = torch.allclose(*values, rtol=0, atol=0, equal_nan=True)
    return None if same else "computes something else in eval mode than in train mode"
