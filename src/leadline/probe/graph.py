"""What the autograd graph tells that module hooks cannot see: where a stream runs, and what is added to it."""

from bisect import bisect_left
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor
from torch.autograd.graph import Node

from leadline.probe.capture import Call

# Nodes whose output is their input under another shape or dtype, and with scales: the same signal.
RESHAPING = {
    "AliasBackward0", "CloneBackward0", "ExpandBackward0", "PermuteBackward0", "ReshapeAliasBackward0", "RollBackward0",
    "SliceBackward0", "SqueezeBackward0", "SqueezeBackward1", "ToCopyBackward0", "TransposeBackward0",
    "UnsafeViewBackward0", "UnsqueezeBackward0", "ViewBackward0",
}  # fmt: skip
_RELABELLING = RESHAPING | {"DivBackward0", "MulBackward0", "NativeDropoutBackward0"}
# What may stand between the sum and the output of a residual unit: activations and normalisations.
_TRAILING = {
    "CudnnBatchNormBackward0", "EluBackward0", "FusedRmsNormBackward0", "GeluBackward0", "HardswishBackward0",
    "HardtanhBackward0", "LeakyReluBackward0", "MishBackward0", "NativeBatchNormBackward0",
    "NativeGroupNormBackward0", "NativeLayerNormBackward0", "ReluBackward0", "SiluBackward0", "SoftplusBackward0",
    "TanhBackward0",
}  # fmt: skip
_PARAMETER = "torch::autograd::AccumulateGrad"
REENTRANT = "CheckpointFunctionBackward"  # a checkpoint that runs the model again in a backward pass of its own
_SUMS = {"AddBackward0"}
_OF_WEIGHTS = {"TBackward0", "ToCopyBackward0"}  # what stands between a weight and the operation that takes it
_PARTS = _OF_WEIGHTS | RESHAPING | {"SelectBackward0", "SplitBackward0", "UnbindBackward0"}  # the same, of stacked ones
_PRODUCTS = {
    "AddbmmBackward0", "AddmmBackward0", "AddmvBackward0", "BaddbmmBackward0", "BmmBackward0", "ConvolutionBackward0",
    "LinearBackward0", "MmBackward0", "MvBackward0",
}  # fmt: skip


def inputs_of(node: Node) -> list[Node]:
    """The nodes that ``node`` takes its operands from, parameters and constants left out."""
    return [n for n, _ in node.next_functions if n is not None and n.name() != _PARAMETER]


def number_of(node: Node) -> int:
    """How many nodes were made before ``node``: their order of execution in the forward pass."""
    return node._sequence_nr()  # pyright: ignore[reportAttributeAccessIssue]


@dataclass(frozen=True, kw_only=True)
class Graph:
    """What autograd made for a loss.

    Attributes:
        operands: Every node of the model that the loss was computed by, from the loss backwards -> the nodes that it
            takes its operands from, as ``inputs_of`` tells.
        consumers: Node -> those of ``nodes`` that use its output.
        uses: ``id`` of a parameter -> how many operations take it, those of the loss included, in whatever shape and
            dtype.
    """

    operands: Mapping[Node, Sequence[Node]]
    consumers: Mapping[Node, Sequence[Node]]
    uses: Mapping[int, int]

    @property
    def nodes(self) -> Sequence[Node]:
        """Every node of the model that the loss was computed by, each once, from the loss backwards."""
        return list(self.operands)


def graph_behind(loss: Tensor, *, made: int) -> Graph:
    """The graph behind ``loss``, of which the first ``made`` nodes are of the model."""
    operands, consumers = dict[Node, list[Node]](), defaultdict[Node, list[Node]](list)
    uses = Counter[int]()
    waiting = [] if loss.grad_fn is None else [(loss.grad_fn, loss.grad_fn.name())]
    seen = {loss.grad_fn}
    for node, name in waiting:  # grows on the way
        of_model, own = number_of(node) < made, []
        if of_model:
            operands[node] = own
        for other, _ in node.next_functions:
            if other is None:
                continue
            kind = other.name()
            of_weight = (kind == _PARAMETER or kind in _OF_WEIGHTS) and name not in _OF_WEIGHTS
            if of_weight and (parameter := _parameter(other)):
                uses[parameter] += 1
            if kind == _PARAMETER:
                continue
            own.append(other)
            if of_model:
                consumers[other].append(node)
            if other not in seen:
                seen.add(other)
                waiting.append((other, kind))
    return Graph(operands=operands, consumers=consumers, uses=uses)


def parameters_multiplied(node: Node) -> set[int]:
    """``id`` of each parameter that ``node`` takes a matrix product or a convolution with, whole or in parts."""
    if node.name() not in _PRODUCTS:
        return set()
    return {_parameter(other, through=_PARTS) for other, _ in node.next_functions if other is not None} - {0}


def _parameter(node: Node, *, through: Collection[str] = _OF_WEIGHTS) -> int:
    """``id`` of the parameter that ``node`` hands on, and 0 where it is something else."""
    while node.name() in through and node.next_functions and node.next_functions[0][0] is not None:
        node = node.next_functions[0][0]
    return id(node.variable) if node.name() == _PARAMETER else 0  # pyright: ignore[reportAttributeAccessIssue]


def paths_behind(nodes: Iterable[Node], calls: Iterable[Call]) -> set[str]:
    """Paths of the modules that made one of ``nodes``, and of those of which no graph tells."""
    numbers = sorted(map(number_of, nodes))
    return {c.path for c in calls if c.node is None or bisect_left(numbers, c.start) < bisect_left(numbers, c.stop)}


@dataclass(frozen=True, kw_only=True)
class Stream:
    """How the input of a unit runs through to its output.

    Attributes:
        identity: Whether it arrives unchanged, and not by a projection.
        shortcut: Node of the stream where it meets the first sum.
        branches: Nodes of what is added to it, one or more a sum, each with the factor that the sum gives it.
        plain: Whether the output is the input and the branches summed, and nothing else.
    """

    identity: bool
    shortcut: Node
    branches: tuple[tuple[Node, float], ...]
    plain: bool = False


def stream_of(call: Call) -> Stream | None:
    """The residual stream through ``call``; ``None`` where its output is no sum of its input and a branch.

    The output may pass activations and normalisations behind the sum (a stock ResNet, post-norm transformers).
    Where no unchanged input is found, the sum behind the output counts with the shorter of its operands for the
    stream, if both come from the input: a projected shortcut. Whether the unit is residual is then for the others
    of its class to say.
    """
    if call.node is None or call.source is None:
        return None
    within = _made_within(call)
    path = _path(call.node, call.source, passable=lambda node: within(node) and _carries_the_stream(node))
    if path is not None:
        sums = [(node, after) for node, after in pairwise(path) if node.name() in _SUMS]
        branches = [
            (other, _factor(node, other)) for node, after in sums for other in inputs_of(node) if other is not after
        ]
        if branches:
            plain = all(node.name() in _SUMS for node in path[:-1])
            return Stream(identity=True, shortcut=sums[-1][1], branches=tuple(branches), plain=plain)
        return None
    total = call.node
    while total.name() not in _SUMS:
        operands = inputs_of(total)
        if not _carries_the_stream(total) or len(operands) != 1:
            return None
        total = operands[0]
    return _projected(total, call)


def _projected(total: Node, call: Call) -> Stream | None:
    source = call.source
    assert source is not None
    operands = inputs_of(total)
    within = _made_within(call)
    paths = [_path(operand, source, passable=within) for operand in operands]
    if len(operands) != 2 or paths[0] is None or paths[1] is None:
        return None
    short, long = (0, 1) if len(paths[0]) < len(paths[1]) else (1, 0)
    return Stream(
        identity=False, shortcut=operands[short], branches=((operands[long], _factor(total, operands[long])),)
    )


def _factor(total: Node, operand: Node) -> float:
    """What a sum multiplies an operand by: ``alpha``, of the second."""
    second = total.next_functions[1][0] is operand
    return abs(float(total._saved_alpha)) if second else 1.0  # pyright: ignore[reportAttributeAccessIssue]


def _carries_the_stream(node: Node) -> bool:
    name = node.name()
    return name in _SUMS or name in _TRAILING or (name in _RELABELLING and len(inputs_of(node)) == 1)


def _made_within(call: Call) -> Callable[[Node], bool]:
    return lambda node: number_of(node) >= call.start


def _path(start: Node, goal: Node, *, passable: Callable[[Node], bool]) -> list[Node] | None:
    """The shortest way back from ``start`` to ``goal`` through ``passable`` nodes."""
    before: dict[Node, Node | None] = {start: None}
    waiting = deque([start])
    while waiting:
        node = waiting.popleft()
        if node is goal:
            path = [node]
            while (previous := before[path[-1]]) is not None:
                path.append(previous)
            return path[::-1]
        if passable(node):
            for other in inputs_of(node):
                if other not in before:
                    before[other] = node
                    waiting.append(other)
    return None


def makers(calls: Iterable[Call]) -> dict[Node, Call]:
    """Node -> the outermost of ``calls`` whose output it made; modules that only relabel their input make nothing."""
    found: dict[Node, Call] = {}
    for call in calls:
        if call.node is None:
            continue
        makes = not call.innermost or call.holds or call.node.name() not in _RELABELLING
        if makes:
            found[call.node] = call
    return found


def calls_behind(node: Node, made: Mapping[Node, Call]) -> list[Call]:
    """The calls whose outputs ``node`` is the sum of, up to scale, dropout and shape."""
    found: list[Call] = []
    waiting, seen = [node], {node}
    while waiting:
        current = waiting.pop()
        if current in made:
            found.append(made[current])
        elif current.name() in _SUMS or current.name() in _RELABELLING:
            others = [other for other in inputs_of(current) if other not in seen]
            seen.update(others)
            waiting += others[::-1]
    return found
