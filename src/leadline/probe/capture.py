"""One watched pass: hooks note every call of every module, then all hooks are removed."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from leadline.probe.inputs import first_float


@dataclass(eq=False, kw_only=True)
class Call:
    """One call of one module.

    Attributes:
        name: Dotted name of the module; ``name#2`` for its second call.
        module: The module.
        order: Place in the order in which calls end.
        shape: Shape of the first float output.
        dtype: Its dtype.
        output: A copy of it, taken before anything could work on it in place; only of watched modules.
        grad: Its gradient, where one arrived.
    """

    name: str
    module: nn.Module
    order: int
    shape: tuple[int, ...] = ()
    dtype: torch.dtype = torch.float32
    output: Tensor | None = None
    grad: Tensor | None = None


@dataclass(kw_only=True)
class Tape:
    """What the hooks of one pass noted.

    Attributes:
        calls: In the order in which they ended.
        stack: Names of the modules that are running; after an exception, where it happened.
    """

    calls: list[Call] = field(default_factory=list)
    stack: list[tuple[str, nn.Module, tuple[Any, ...]]] = field(default_factory=list)
    recording: bool = True
    handles: list[Any] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)

    def enter(self, name: str, module: nn.Module, args: tuple[Any, ...]) -> None:
        """A module starts."""
        if self.recording:
            self.stack.append((name, module, args))

    def leave(self, name: str, module: nn.Module, output: Any, *, keep: bool) -> None:
        """A module is done; with ``keep`` its output is copied and the gradient of it awaited."""
        if not self.recording:
            return
        self.stack.pop()
        self.counts[name] = self.counts.get(name, 0) + 1
        call = Call(
            name=name if self.counts[name] == 1 else f"{name}#{self.counts[name]}", module=module, order=len(self.calls)
        )
        self.calls.append(call)
        tensor = first_float(output)
        if tensor is None:
            return
        call.shape, call.dtype = tuple(tensor.shape), tensor.dtype
        if keep:
            call.output = tensor.detach().clone()
            if tensor.requires_grad:
                self.handles.append(tensor.register_hook(lambda grad: setattr(call, "grad", grad.detach())))


@contextmanager
def watched(modules: Sequence[tuple[str, nn.Module]], keep: set[nn.Module]) -> Iterator[Tape]:
    """Hooks on ``modules``; outputs and their gradients are kept of those in ``keep``. No hook survives the block."""
    tape = Tape()
    with ExitStack() as hooks:
        for name, module in modules:
            hooks.callback(module.register_forward_pre_hook(_pre(tape, name)).remove)
            hooks.callback(module.register_forward_hook(_post(tape, name, keep=module in keep)).remove)
        try:
            yield tape
        finally:
            for handle in tape.handles:
                handle.remove()


def _pre(tape: Tape, name: str) -> Any:
    def hook(module: nn.Module, args: tuple[Any, ...]) -> None:
        tape.enter(name, module, args)

    return hook


def _post(tape: Tape, name: str, *, keep: bool) -> Any:
    def hook(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        tape.leave(name, module, output, keep=keep)

    return hook
