"""Hooks of one monitored step: on before its first forward pass, off when its numbers are taken."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from leadline.probe.inputs import tensors
from leadline.train.monitoring.sums import Sums


class Watch:
    """Adds up outputs and gradients of the layers while it is on.

    A forward pass that runs inside a backward pass is a checkpoint's second one: its outputs were measured in the
    first. Passes without gradients on a model in eval mode are an evaluation and do not count.
    """

    def __init__(self, model: nn.Module, layers: Mapping[str, nn.Module], *, rows: int, spectra: bool):
        self.outputs = {path: Sums(rows=rows, cosine=True) for path in layers}
        self.grads = {path: Sums(rows=rows, cosine=False) for path in layers}
        self._model, self._spectra = model, spectra
        self._handles: list[Any] = []
        try:
            for path, module in layers.items():
                self._handles.append(module.register_forward_hook(self._hook(path)))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Take every hook off; doing it twice does no harm."""
        while self._handles:
            self._handles.pop().remove()

    def _hook(self, path: str) -> Any:
        def ended(module: nn.Module, args: Any, output: Any) -> None:
            # A loss beside the outputs has no rows.
            x = next((t for t in tensors(output) if t.is_floating_point() and t.numel() and t.ndim), None)
            if x is None or torch.compiler.is_compiling():
                return
            again = torch._C._current_graph_task_id() != -1
            if not again and (torch.is_grad_enabled() or self._model.training):
                self._take(path, module, x.detach())
            if x.requires_grad:
                self._handles.append(x.register_hook(arrived))

        def arrived(grad: Tensor) -> None:
            with torch.no_grad():
                self.grads[path].add(grad.detach())

        return ended

    def _take(self, path: str, module: nn.Module, x: Tensor) -> None:
        sums = self.outputs[path]
        with torch.no_grad():
            if torch.is_autocast_enabled(x.device.type):
                with torch.autocast(x.device.type, enabled=False):
                    sums.add(x, keep=self._spectra)
            else:
                sums.add(x, keep=self._spectra)
            sums.add_activation(module, x)
