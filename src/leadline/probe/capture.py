"""One watched pass: hooks note every call of every module, and are all removed at its end."""

from collections.abc import Callable, Iterator, Mapping, Sequence, Set as AbstractSet
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import Node

from leadline.probe.inputs import first_float, tensors
from leadline.probe.modules import holds_parameters, is_leaf

# How many nodes autograd has made so far in this thread: nodes made during a call carry numbers between those at
# its start and its end, so every node of the graph is known to belong to the calls around it.
nodes_made: Callable[[], int] = torch._C._autograd._get_sequence_nr  # pyright: ignore[reportAttributeAccessIssue]
_saving_hooks: Callable[[bool], Any] = torch._C._autograd._top_saved_tensors_default_hooks  # pyright: ignore[reportAttributeAccessIssue]


@dataclass(eq=False, kw_only=True)
class Call:
    """One call of one module.

    Attributes:
        path: Dotted name of the module.
        name: The same; ``path#2`` for its second call.
        module: The module.
        first: How many calls had ended when it started.
        arguments: Positional and keyword arguments, while it runs.
        start: Number of autograd nodes made before it.
        stop: Number of autograd nodes made when it ended.
        innermost: Whether no other module ran inside it.
        source: Node that made its first float argument.
        node: Node that made its first float output.
        shape: Shape of that output; empty where there is none.
        dtype: Its dtype.
        output: That output, or a copy of it; only as long as it is needed.
        version: How often it had been written when the call ended.
        carrier: The last innermost call with parameters that ended before or at the end of this one.
        stored: Whether autograd kept its tensors as they are, and not by a checkpoint or on another device.
    """

    path: str
    module: nn.Module = field(default_factory=nn.Identity)
    start: int = 0
    first: int = 0
    arguments: Any = None
    source: Node | None = None
    name: str = ""
    stop: int = 0
    innermost: bool = True
    node: Node | None = None
    shape: tuple[int, ...] = ()
    dtype: torch.dtype = torch.float32
    output: Tensor | None = None
    version: int = 0
    carrier: "Call | None" = None
    stored: bool = True

    @staticmethod
    def of(name: str, tensor: Tensor | None) -> "Call":
        """The record of a tensor that no module returned; of integers only the shape."""
        if tensor is None:
            return Call(path=name, name=name)
        call = Call(path=name, name=name, shape=tuple(tensor.shape), dtype=tensor.dtype, version=tensor._version)
        call.output = tensor.detach() if tensor.is_floating_point() else None
        return call

    @property
    def intact(self) -> bool:
        """Whether ``output`` is what the module returned: nothing has written on it since."""
        return self.output is not None and self.output._version == self.version


@dataclass(kw_only=True)
class Tape:
    """What the hooks of one pass note.

    Attributes:
        copying: Whether outputs are copied at once, because something may write on them later.
        calls: In the order in which they ended.
        running: The calls under way, innermost last; after an exception, where it happened.
        replays: Path -> calls whose outputs get their gradients when a re-entrant checkpoint runs them again.
        entries: Leaves put where integers became numbers without a gradient, so that gradients flow behind them.
        listeners: Called with each call as it ends and with its output.
        arrived: Called with each call whose output is kept, and the gradient of it, once that is complete.
    """

    copying: bool = False
    listeners: Sequence[Callable[["Tape", Call, Tensor], None]] = ()
    arrived: Callable[[Call, Tensor], None] = lambda call, grad: None
    calls: list[Call] = field(default_factory=list)
    running: list[Call] = field(default_factory=list)
    entries: list[Tensor] = field(default_factory=list)
    recording: bool = True
    replays: dict[str, list[Call]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    carrier: Call | None = None
    handles: list[Any] = field(default_factory=list)

    def start(self, path: str, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """A module starts; calls repeated during the backward pass by a checkpoint are not noted."""
        if self.recording:
            call = Call(path=path, module=module, start=nodes_made(), first=len(self.calls))
            call.arguments = (*args, kwargs) if kwargs else args
            self.running.append(call)

    def end(self, path: str, module: nn.Module, output: Any, *, keep: bool, holds: bool) -> Any:
        """A module is done. Returns what takes the place of its output, or ``None``."""
        if not self.recording:
            self._replayed(path, output)
            return None
        # A call that an exception ended, one that the model caught, is still there.
        while (call := self.running.pop()).module is not module:
            pass
        tensor, replaced = first_float(output), None
        if tensor is not None:
            if not tensor.requires_grad and tensor is output and self._enters(call):
                self.entries.append(tensor.detach().requires_grad_())
                tensor = replaced = self.entries[-1].clone()
            self._note(call, tensor, keep=keep)
        call.stop = nodes_made()
        self.counts[call.path] = count = self.counts.get(call.path, 0) + 1
        call.name = call.path if count == 1 else f"{call.path}#{count}"
        call.innermost = call.first == len(self.calls)
        if holds and call.innermost:
            self.carrier = call
        call.carrier = self.carrier
        self.calls.append(call)
        if tensor is not None:
            for listener in self.listeners:
                listener(self, call, tensor)
        call.arguments = None
        return replaced

    def _replayed(self, path: str, output: Any) -> None:
        """A re-entrant checkpoint has run a module again, now with gradients; the last of its calls comes first."""
        tensor = first_float(output) if self.replays.get(path) else None
        if tensor is not None and tensor.requires_grad:
            call = self.replays[path].pop()
            self.await_grad(tensor, lambda grad: self.arrived(call, grad))

    def _note(self, call: Call, tensor: Tensor, *, keep: bool) -> None:
        source = first_float(call.arguments)
        call.source = None if source is None else source.grad_fn
        call.node, call.shape, call.dtype = tensor.grad_fn, tuple(tensor.shape), tensor.dtype
        call.stored = _saving_hooks(False) is None
        call.output = tensor.detach().clone() if keep and self.copying else tensor.detach()
        call.version = call.output._version
        if keep and tensor.requires_grad:
            self.await_grad(tensor, lambda grad: self.arrived(call, grad))

    def watch(self, name: str, tensor: Tensor | None) -> Call:
        """A record of a tensor that no module returned, whose gradient is awaited."""
        call = Call.of(name, tensor)
        if tensor is not None and tensor.requires_grad:
            self.await_grad(tensor, lambda grad: self.arrived(call, grad))
        return call

    def await_grad(self, tensor: Tensor, then: Callable[[Tensor], None]) -> None:
        """``then`` is called with the gradient of ``tensor`` once it is complete."""
        self.handles.append(tensor.register_hook(then))

    @staticmethod
    def _enters(call: Call) -> bool:
        """Whether integers alone came in, to a leaf, while gradients are recorded: a frozen embedding."""
        given = list(tensors(call.arguments))
        integers = bool(given) and not any(t.is_floating_point() for t in given)
        return integers and torch.is_grad_enabled() and is_leaf(call.module)


@contextmanager
def watched(modules: Mapping[str, nn.Module], keep: AbstractSet[str], *, copying: bool = False) -> Iterator[Tape]:
    """Hooks on ``modules``; gradients are awaited for the outputs of those in ``keep``. No hook survives the block."""
    tape = Tape(copying=copying)
    with ExitStack() as hooks:
        for path, module in modules.items():
            before, after = _hooks(tape, path, keep=path in keep, holds=holds_parameters(module))
            hooks.callback(module.register_forward_pre_hook(before, with_kwargs=True).remove)
            hooks.callback(module.register_forward_hook(after).remove)
        try:
            yield tape
        finally:
            for handle in tape.handles:
                handle.remove()


def _hooks(tape: Tape, path: str, *, keep: bool, holds: bool) -> tuple[Any, Any]:
    def before(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        tape.start(path, module, args, kwargs)

    def after(module: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        return tape.end(path, module, output, keep=keep, holds=holds)

    return before, after
