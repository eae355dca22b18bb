"""What one step of gradient descent does to the loss of its own mini-batch."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from leadline._core.errors import UsageError
from leadline.metrics._line import landscape


def relative_loss(
    model: nn.Module,
    inputs: Any,
    targets: Any,
    *,
    steps: Sequence[float] | Float[Tensor, " steps"],
    loss: Callable[[Any, Any], Tensor] | None = None,
) -> Float[Tensor, " steps"]:
    r"""Loss of a mini-batch after a step along its own gradient, over the loss before it.

    $$\mathrm{rel}(s) = \frac{\ell(w - s\, g)}{\ell(w)}, \qquad g = \nabla \ell(w) ,$$

    all on one mini-batch. Near 0 it falls like $1 - s \|g\|^2 / \ell$; the step at which it passes 1 and runs away
    is the largest learning rate that this batch allows. The model is called in the mode it is in, every time with the
    same dropout masks and on copies of its parameters and buffers; its ``.grad`` and generators stay as they are.

    Args:
        model: Any module with parameters that require a gradient.
        inputs: A tensor, a tuple (positional) or a dict (keywords).
        targets: What the loss compares with.
        steps: Step sizes $s$; the paper takes a logarithmic grid from 1e-5 to 0.2.
        loss: Maps outputs and targets to a scalar. By default cross entropy for integer targets and mean square for
            float ones, of the output itself, its ``logits`` or its first float tensor.

    Returns:
        One ratio a step, in the dtype of the loss; ``inf`` or ``nan`` where the step diverges, ``nan`` for a loss of 0.

    Raises:
        UsageError: If there is no step, no parameter requires a gradient, or the loss is no scalar that depends on one.

    Source:
        bjorck2018, figure of the loss along the step.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> net = nn.Linear(1, 1, bias=False)
        >>> _ = nn.init.ones_(net.weight)
        >>> relative_loss(net, torch.ones(1, 1), torch.zeros(1, 1), steps=[0.0, 0.25, 1.0]).detach()
        tensor([1.0000, 0.2500, 1.0000])
    """
    sizes = torch.as_tensor(steps, dtype=torch.float64)
    if sizes.ndim != 1 or not len(sizes):
        raise UsageError(f"`steps` must be a sequence of one step size or more, such as [0.1]; got {steps!r}.")
    around = landscape(model, inputs, targets, loss)
    return torch.stack([around.loss(around.moved(step, around.gradient)) / around.start for step in sizes.tolist()])
