"""One watched pass: hooks note every call of every module, and are all removed at its end."""

from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import Node

from leadline._core.arguments import tensors
from leadline._core.hooks import ModuleHooks
from leadline.probe.inputs import first_float
from leadline.probe.modules import Anatomy, is_leaf

# How many nodes autograd has made so far in this thread: nodes made during a call carry numbers between those at
# its start and its end, so every node of the graph is known to belong to the calls around it.
nodes_made: Callable[[], int] = torch._C._autograd._get_sequence_nr  # pyright: ignore[reportAttributeAccessIssue]
_in_transform: Callable[[Tensor], bool] = torch._C._functorch.is_functorch_wrapped_tensor  # pyright: ignore[reportAttributeAccessIssue]
_saving_hooks: Callable[[bool], Any] = torch._C._autograd._top_saved_tensors_default_hooks  # pyright: ignore[reportAttributeAccessIssue]


@dataclass(eq=False, kw_only=True, slots=True)
class Call:
    """One call of one module.

    Attributes:
        path: Dotted name of the module.
        name: The same; ``path#2`` for its second call.
        module: The module; ``None`` for a tensor that no module returned.
        arguments: Positional and keyword arguments, while it runs.
        start: Number of autograd nodes made before it.
        stop: Number of autograd nodes made when it ended.
        first: How many calls had ended when it started.
        innermost: Whether no other module ran inside it.
        holds: Whether the module has parameters of its own.
        carries: The same, and that no module that does ran inside it.
        in_unit: Whether it runs inside one of the units of the tape.
        source: Node that made its first float argument.
        node: Node that made its first float output.
        place: Which of that node's outputs it is.
        leaf: The output itself where it is one that nothing made, as a parameter that is returned.
        shape: Shape of that output; empty where there is none.
        dtype: Its dtype.
        output: That output, or a copy of it; only as long as it is needed.
        version: How often it had been written when the call ended.
        carrier: The last call that carries and that ended before or at the end of this one.
        stored: Whether autograd kept its tensors as they are, and not by a checkpoint or on another device.
        unread: Whether its output is complex or lives inside a transform of ``torch.func`` alone, and so is not seen.
    """

    path: str
    module: Any = None
    start: int = 0
    first: int = 0
    name: str = ""
    arguments: Any = None
    stop: int = 0
    innermost: bool = True
    holds: bool = False
    carries: bool = False
    in_unit: bool = False
    source: Node | None = None
    node: Node | None = None
    place: int = 0
    leaf: Tensor | None = None
    shape: tuple[int, ...] = ()
    dtype: torch.dtype = torch.float32
    output: Tensor | None = None
    version: int = 0
    carrier: "Call | None" = None
    stored: bool = True
    unread: bool = False

    @staticmethod
    def of(name: str, tensor: Tensor | None) -> "Call":
        """The record of a tensor that no module returned; of integers only the shape."""
        call = Call(path=name, name=name)
        if tensor is not None:
            call.take(tensor.detach() if tensor.is_floating_point() else None, like=tensor)
        return call

    def take(self, output: Tensor | None, *, like: Tensor) -> None:
        """Note the tensor ``like`` as the output, and ``output`` as its values."""
        self.node, self.shape, self.dtype = like.grad_fn, tuple(like.shape), like.dtype
        self.place = like.output_nr
        self.leaf = like if like.requires_grad and like.grad_fn is None else None
        self.output = output
        self.version = 0 if output is None else output._version

    @property
    def intact(self) -> bool:
        """Whether ``output`` is what the module returned: nothing has written on it since."""
        return self.output is not None and self.output._version == self.version


@dataclass(kw_only=True)
class Tape:
    """What the hooks of one pass note.

    Attributes:
        holders: Paths of the modules with parameters of their own.
        copies: Whether the output of a call is copied, because something may write on it before it is looked at.
        units: Paths of the modules inside which calls are marked.
        listeners: Called with each call as it ends and with its output.
        calls: In the order in which they ended.
        running: The calls under way, innermost last; after an exception, where it happened.
        entries: Leaves put where integers became numbers without a gradient, so that gradients flow behind them.
        recording: Whether calls are noted.
    """

    holders: Container[str] = ()
    copies: Callable[[Call], bool] = lambda call: False
    units: Container[str] = ()
    listeners: Sequence["Listener"] = ()
    calls: list[Call] = field(default_factory=list)
    running: list[Call] = field(default_factory=list)
    entries: list[Tensor] = field(default_factory=list)
    recording: bool = True
    _counts: dict[str, int] = field(default_factory=dict)
    _carrier: Call | None = None
    _handles: list[Any] = field(default_factory=list)
    _replays: list[Call] = field(default_factory=list)
    _then: Callable[[Call, Tensor], None] = lambda call, grad: None

    def start(self, path: str, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """A module starts."""
        if self.recording:
            holds = path in self.holders
            call = Call(path=path, module=module, start=nodes_made(), first=len(self.calls), holds=holds, carries=holds)
            if self.running:
                outer = self.running[-1]
                call.in_unit = outer.in_unit or outer.path in self.units
            call.arguments = (*args, kwargs) if kwargs else args
            self.running.append(call)

    def end(self, path: str, module: nn.Module, args: tuple[Any, ...], output: Any) -> Tensor | None:
        """A module is done. Returns what takes the place of its output, or ``None``."""
        tensor = first_float(output)
        if not self.recording:
            self._replayed(path, tensor)
            return None
        # A call that an exception ended, one that the model caught, is still there.
        while (call := self.running.pop()).module is not module:
            pass
        call.innermost = call.first == len(self.calls)
        replaced = None
        if tensor is None:
            call.unread = any(t.is_complex() for t in tensors(output))
        elif _in_transform(tensor):
            tensor, call.unread = None, True
        if tensor is not None:
            if not tensor.requires_grad and tensor is output and _enters(call):
                self.entries.append(tensor.detach().requires_grad_())
                tensor = replaced = self.entries[-1].clone()
            call.take(_values(tensor, copied=self.copies(call)), like=tensor)
            source = first_float(call.arguments)
            call.source = None if source is None else source.grad_fn
            call.stored = _saving_hooks(False) is None
        call.stop = nodes_made()
        self._counts[path] = count = self._counts.get(path, 0) + 1
        call.name = path if count == 1 else f"{path}#{count}"
        if call.carries:
            self._carrier = call
        if call.holds:
            for outer in self.running:
                outer.carries = False
        call.carrier = self._carrier
        self.calls.append(call)
        if tensor is not None:
            for listener in self.listeners:
                listener(self, call, tensor)
        call.arguments = None
        return replaced

    def await_grads(self, calls: Iterable[Call], then: Callable[[Call, Tensor], None]) -> None:
        """``then`` is called with each of ``calls`` and the gradient of its output, once that is complete.

        Asked of the node that made the output, not of the tensor: what writes on the tensor later changes only that.
        """
        for call in calls:
            if call.node is not None:
                self._handles.append(call.node.register_prehook(partial(_arrived, call, then)))
            elif call.leaf is not None:
                self.await_grad(call.leaf, partial(_looked_at, call, then))

    def await_replays(self, calls: Sequence[Call], then: Callable[[Call, Tensor], None]) -> None:
        """The same for calls that a re-entrant checkpoint ran without gradients, and runs again with them."""
        self._replays, self._then = list(calls), then

    def _replayed(self, path: str, tensor: Tensor | None) -> None:
        # The last calls come first, as in any backward pass.
        call = next((call for call in reversed(self._replays) if call.path == path), None)
        if call is not None and tensor is not None and tensor.requires_grad:
            self._replays.remove(call)
            self.await_grad(tensor, partial(_looked_at, call, self._then))

    def await_grad(self, tensor: Tensor, then: Callable[[Tensor], None]) -> None:
        """``then`` is called with the gradient of ``tensor`` once it is complete."""
        if tensor.requires_grad:
            self._handles.append(tensor.register_hook(then))

    def release(self) -> None:
        """Remove every hook on tensors and nodes."""
        for handle in self._handles:
            handle.remove()


Listener = Callable[[Tape, Call, Tensor], None]


def _values(tensor: Tensor, *, copied: bool) -> Tensor:
    if tensor.is_inference():
        with torch.inference_mode(False):  # which then counts what is written on it
            return tensor.clone()
    values = tensor.detach()
    return values.clone() if copied else values


def _arrived(call: Call, then: Callable[[Call, Tensor], None], grads: tuple[Tensor | None, ...]) -> None:
    grad = grads[call.place]
    if grad is not None:
        then(call, grad.detach())


def _looked_at(call: Call, then: Callable[[Call, Tensor], None], grad: Tensor | None) -> None:
    if grad is not None:
        then(call, grad.detach())


def _enters(call: Call) -> bool:
    """Whether integers alone came in, to a leaf, while gradients are recorded: a frozen embedding."""
    given = list(tensors(call.arguments))
    integers = bool(given) and not any(t.is_floating_point() for t in given)
    return integers and torch.is_grad_enabled() and is_leaf(call.module)


@contextmanager
def watched(
    parts: Anatomy,
    *,
    listeners: Sequence[Listener],
    copies: Callable[[Call], bool] = lambda call: False,
    units: Container[str] = (),
) -> Iterator[Tape]:
    """Hooks on all modules, noting on a tape with these attributes. No hook survives the block."""
    tape = Tape(holders=parts.own, copies=copies, units=units, listeners=listeners)
    hooks = ModuleHooks()
    try:
        for path, module in parts.modules.items():
            hooks.before(module, partial(tape.start, path))
            hooks.after(module, partial(tape.end, path))
        yield tape
    finally:
        tape.release()
        hooks.remove()
