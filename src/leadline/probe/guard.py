"""Leaves no trace: buffers, modes, gradients and random state are put back, whatever happened inside."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import nn

from leadline._core.buffers import Buffers
from leadline._core.randomness import kept_rng
from leadline._core.unstored import UnstoredWeight

_OWN_FRAMES = 200  # of the hooks themselves


@contextmanager
def undisturbed(model: nn.Module) -> Iterator[None]:
    """Gradients are recorded inside, whatever the caller has switched off, and the model is left as it was.

    Buffers (also those that were replaced), modes, the random state of torch, NumPy and Python, what is in ``.grad``
    (empty inside) and what is known of weights that are not stored are put back, also after an exception.
    Parts that ``torch.compile`` has taken over run as written, so that hooks are heard.
    """
    limit = sys.getrecursionlimit()
    modes = [(module, module.training) for module in model.modules()]
    buffers = Buffers(model)
    grads = [(parameter, parameter.grad) for parameter in model.parameters()]
    unstored = [(module, module.weight_state()) for module, _ in modes if isinstance(module, UnstoredWeight)]
    with ExitStack() as stack:
        stack.enter_context(kept_rng())
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        if "torch._dynamo" in sys.modules and hasattr(torch.compiler, "set_stance"):
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        # A module that is called takes three frames of the stack and one more where there are hooks.
        sys.setrecursionlimit(limit + limit // 2 + _OWN_FRAMES)
        try:
            for parameter, _ in grads:
                parameter.grad = None
            yield
        finally:
            for parameter, grad in grads:
                parameter.grad = grad
            sys.setrecursionlimit(limit)
            for module, training in modes:
                if module.training != training:
                    module.training = training
            buffers.put_back()
            for module, state in unstored:
                module.restore_weight(state)
