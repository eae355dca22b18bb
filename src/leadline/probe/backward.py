"""The backward pass: gradients by value, so that nobody's ``.grad`` is touched."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from leadline._core.errors import UsageError
from leadline.probe.graph import nodes_behind


def gradients(loss: Tensor, wanted: Sequence[Tensor]) -> list[Tensor | None]:
    """Gradient of ``loss`` by each of ``wanted``; ``None`` where it does not depend on one.

    Checkpoints of the re-entrant kind only work with ``backward``, which writes to ``.grad``; what is there is put
    aside and put back.

    Raises:
        UsageError: If the backward pass itself fails, or would set off hooks that act on accumulated gradients.
    """
    reentrant = any(node.name() == "CheckpointFunctionBackward" for node in nodes_behind([loss]))
    try:
        if not reentrant:
            return list(torch.autograd.grad(loss, list(wanted), allow_unused=True))
        if any(getattr(tensor, "_post_accumulate_grad_hooks", None) for tensor in wanted):
            raise UsageError(
                "The model uses re-entrant checkpoints and hooks on accumulated gradients, which a profile would set "
                "off; use checkpoints with use_reentrant=False."
            )
        return _accumulated(loss, wanted)
    except RuntimeError as error:
        if type(error) is not RuntimeError:  # memory, interrupts of the device: not the model's doing
            raise
        raise UsageError(f"The backward pass of the model fails: {str(error).strip().splitlines()[0]}") from error


def _accumulated(loss: Tensor, wanted: Iterable[Tensor]) -> list[Tensor | None]:
    aside = [(tensor, tensor.grad) for tensor in wanted]
    try:
        for tensor, _ in aside:
            tensor.grad = None
        loss.backward()
        return [tensor.grad for tensor, _ in aside]
    finally:
        for tensor, grad in aside:
            tensor.grad = grad
