"""Which layer reads which: the way back through the autograd graph from each layer to the nearest others."""

from collections.abc import Mapping, Sequence

from torch import Tensor
from torch.autograd.graph import Node

from leadline.probe.capture import Call
from leadline.probe.graph import Graph

INPUTS = "inputs"


def reads(layers: Sequence[Call], graph: Graph, inputs: Sequence[Tensor]) -> Mapping[Call, tuple[str, ...]]:
    """Call of a layer -> names of the layers that it reads with none in between, ``"inputs"`` for the batch itself.

    Empty where the graph does not tell: behind detached tensors, checkpoints, and constants of the model.

    Args:
        layers: The layers, in order of execution.
        graph: The graph of the pass.
        inputs: The leaves that the model was given copies of.
    """
    made = {call.node: call.name for call in layers if call.node is not None}
    given = {id(tensor) for tensor in inputs}
    return {call: _nearest(call.node, made, graph, given) for call in layers if call.node is not None}


def _nearest(start: Node, made: Mapping[Node, str], graph: Graph, given: set[int]) -> tuple[str, ...]:
    found: dict[str, None] = {}
    waiting, seen = [start], {start}
    for node in waiting:  # grows on the way
        operands = graph.operands.get(node, ())
        if not operands and _leaf(node) in given:
            found[INPUTS] = None
        for other in operands:
            if other in seen:
                continue
            seen.add(other)
            if other in made:
                found[made[other]] = None
            else:
                waiting.append(other)
    return tuple(found)


def _leaf(node: Node) -> int:
    """``id`` of the leaf that ``node`` takes first; of ``None`` where there is none."""
    first = node.next_functions[0][0] if node.next_functions else None
    return id(getattr(first, "variable", None))
