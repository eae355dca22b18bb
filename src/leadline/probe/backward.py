"""The backward pass: gradients are looked at as they arrive and let go."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache, partial

import torch
from torch import Tensor

from leadline._core.errors import UsageError
from leadline.probe.refusal import out_of_memory

Take = Callable[[Mapping[str, Tensor]], None]


def gradients(
    loss: Tensor, parameters: Mapping[str, Tensor], inputs: Sequence[Tensor], take: Take, *, reentrant: bool
) -> list[Tensor | None]:
    """Hand the gradient of each parameter to ``take``, under its name, and return those of ``inputs``.

    Re-entrant checkpoints only work with ``backward``, which writes to ``.grad``: with ``reentrant`` that is done.

    Raises:
        UsageError: If it would set off hooks that act on accumulated gradients.
    """
    return _accumulated(loss, parameters, inputs, take) if reentrant else _passing(loss, parameters, inputs, take)


@contextmanager
def failures_named() -> Iterator[None]:
    """What autograd refuses, because something was overwritten that it needs, becomes one sentence.

    Raises:
        UsageError: In place of that error. Others go through: of memory, and of the device.
    """
    try:
        yield
    except RuntimeError as error:
        if type(error) is not RuntimeError:
            raise
        if out_of_memory(error):
            raise UsageError(
                "The machine's memory does not suffice for the backward pass of this model and batch; "
                "take fewer or smaller samples."
            ) from error
        raise UsageError(f"The backward pass of the model fails: {str(error).strip().splitlines()[0]}") from error


def _passing(
    loss: Tensor, parameters: Mapping[str, Tensor], inputs: Sequence[Tensor], take: Take
) -> list[Tensor | None]:
    """By ``torch.autograd.grad``, to which a hook on each matrix hands on a zero: the gradient itself is free again."""
    passed = {name for name, parameter in parameters.items() if parameter.ndim >= 2}
    with ExitStack() as hooks:
        for name in passed:
            hooks.callback(parameters[name].register_hook(partial(_looked_at, name, take)).remove)
        found = torch.autograd.grad(loss, [*parameters.values(), *inputs], allow_unused=True)
    others = {name: grad for name, grad in zip(parameters, found, strict=False) if name not in passed}
    take({name: grad for name, grad in others.items() if grad is not None})
    return list(found[len(parameters) :])


def _looked_at(name: str, take: Take, grad: Tensor | None) -> Tensor | None:
    if grad is None:
        return None
    if grad.layout != torch.strided:
        take({name: grad.detach().to_dense()})
        return None
    take({name: grad.detach()})
    return _nothing(grad.dtype, grad.device).expand(grad.shape)


@cache
def _nothing(dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.zeros((), dtype=dtype, device=device)


def _accumulated(
    loss: Tensor, parameters: Mapping[str, Tensor], inputs: Sequence[Tensor], take: Take
) -> list[Tensor | None]:
    everything = [*parameters.values(), *inputs]
    if any(getattr(tensor, "_post_accumulate_grad_hooks", None) for tensor in everything):
        raise UsageError(
            "The model uses re-entrant checkpoints and hooks on accumulated gradients, which a profile would set off; "
            "use checkpoints with use_reentrant=False."
        )
    for tensor in everything:
        tensor.grad = None
    loss.backward()
    take({name: parameter.grad for name, parameter in parameters.items() if parameter.grad is not None})
    return [tensor.grad for tensor in inputs]
