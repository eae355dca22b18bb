"""Hooks of one monitored step: on before its first forward pass, off when its numbers are taken."""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from leadline._core.arguments import tensors
from leadline._core.hooks import ModuleHooks
from leadline.train.monitoring.merging import world_size
from leadline.train.monitoring.parameters import squared_norms
from leadline.train.monitoring.sums import Buffers, Sums


class Watch:
    """Adds up outputs and gradients of the layers while it is on.

    A forward pass that runs inside a backward pass is a checkpoint's second one: its outputs were measured in the
    first. Passes without gradients on a model in eval mode are an evaluation and do not count.
    """

    def __init__(
        self, model: nn.Module, layers: Mapping[str, nn.Module], *, rows: int, spectra: bool, buffers: Buffers,
        early: Mapping[str, nn.Parameter] | None = None,
    ):  # fmt: skip
        # Owners are the outputs of all layers in order, then their gradients.
        self.sums = Sums(2 * len(layers), cosines=len(layers), rows=rows, buffers=buffers)
        self._model, self._spectra = model, spectra
        self.early_squares: Tensor | None = None
        self._early, self._ending, self._over = early, False, False
        self._count, self._hooks = len(layers), ModuleHooks()
        self._handles: list[Any] = []
        try:
            for parameter in (early or {}).values():
                if parameter.requires_grad:
                    self._handles.append(parameter.register_hook(self._backward_runs))
            for i, module in enumerate(layers.values()):
                self._hooks.after(module, partial(Watch._ended, self, i))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Take every hook off and compute what waits; doing it twice does no harm."""
        self._over = True
        self._hooks.remove()
        while self._handles:
            self._handles.pop().remove()
        self.sums.flush()

    def _backward_runs(self, grad: Tensor) -> None:
        if not self._ending:
            self._ending = True
            torch.autograd.Variable._execution_engine.queue_callback(self._backward_ended)  # pyright: ignore[reportAttributeAccessIssue]

    def _backward_ended(self, *, last: bool = False) -> None:
        if not last:
            # Once more at the end of the queue: wrappers like DDP have put gradients together by then.
            again = partial(self._backward_ended, last=True)
            torch.autograd.Variable._execution_engine.queue_callback(again)  # pyright: ignore[reportAttributeAccessIssue]
            return
        self._ending = False
        with torch.no_grad():
            grads = [p.grad for p in (self._early or {}).values() if p.grad is not None]
            self.early_squares = squared_norms(grads, world=world_size())

    def _ended(self, owner: int, module: nn.Module, args: Any, output: Any) -> None:
        x = output if isinstance(output, Tensor) else _first(output)
        # A loss beside the outputs has no rows.
        if x is None or not (x.ndim and x.is_floating_point() and x.numel()) or torch.compiler.is_compiling():
            return
        again = torch._C._current_graph_task_id() != -1
        if not again and (torch.is_grad_enabled() or self._model.training):
            values = x.detach()
            self.sums.add(owner, values, keep=self._spectra)
            self.sums.add_activation(owner, module, values)
        if x.requires_grad:
            _add_hook(x, partial(Watch._arrived, self, owner + self._count))

    def _arrived(self, owner: int, grad: Tensor) -> None:
        if self._over:
            return
        if self._early:
            self._backward_runs(grad)
        self.sums.add(owner, grad.detach() if grad.requires_grad else grad)


def _add_hook(x: Tensor, hook: Callable[[Tensor], None]) -> None:
    """``x.register_hook`` without a handle: the hook goes with the graph, and does nothing once the watch is over."""
    hooks: Any = x._backward_hooks
    if hooks is None:
        x._backward_hooks = hooks = OrderedDict()
        if x.grad_fn is not None:
            x.grad_fn._register_hook_dict(x)
    hooks[object()] = hook  # handles have numbers; a tensor that two modules hand on has two


def _first(output: Any) -> Tensor | None:
    return next((t for t in tensors(output) if t.is_floating_point() and t.numel() and t.ndim), None)
