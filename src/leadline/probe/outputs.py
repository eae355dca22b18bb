"""The outputs of one pass and their gradients, each measured as soon as it is known to count."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor

from leadline.probe.cancellation import Contributions
from leadline.probe.capture import Call, Tape
from leadline.probe.inputs import Batch
from leadline.probe.meter import Meter, Numbers
from leadline.probe.tokens import Tokens

Side = Literal["output", "grad"]


@dataclass(kw_only=True)
class Outputs:
    """Measures outputs and gradients of outputs.

    Most layers are known while the model runs and are measured on the spot: what is written on them later does not
    matter, and nothing is held. The others wait until all have run.

    Attributes:
        batch: The batch.
        rows: Rows at most that spectra are taken of.
        at_once: Whether a call that has just ended is a layer as far as can be told.
    """

    batch: Batch
    rows: int
    at_once: Callable[[Call], bool]
    _meter: Meter[tuple[Call, Side]] = field(init=False)
    _tokens: Tokens = field(init=False)
    _seen: set[Call] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._meter = Meter(batch=self.batch, rows=self.rows)
        self._tokens = Tokens(batch=self.batch, rows=self.rows)

    def ended(self, tape: Tape, call: Call, output: Tensor) -> None:
        """A call has ended."""
        if self.at_once(call):
            self.take(call, output)
            call.output = None

    def take(self, call: Call, output: Tensor | None) -> None:
        """Measure the output of ``call``."""
        if output is not None:
            self._seen.add(call)
            self._meter.take((call, "output"), output)
            self._tokens.take(call, output)

    def take_rest(self, calls: Sequence[Call]) -> set[str]:
        """Measure those of ``calls`` that waited. Returns the names of those that were overwritten meanwhile."""
        waiting = [call for call in calls if call not in self._seen]
        for call in waiting:
            self.take(call, call.output if call.intact else None)
        return {call.name for call in waiting if call not in self._seen}

    def take_grad(self, call: Call, grad: Tensor | None) -> None:
        """Measure the gradient of the output of ``call``."""
        self._meter.take((call, "grad"), grad)

    def await_grads(
        self, tape: Tape, calls: Collection[Call], contributions: Contributions, *, reentrant: bool
    ) -> None:
        """Have the gradients of ``calls`` measured as they arrive, and contributions to those of weights."""

        def arrived(call: Call, grad: Tensor) -> None:
            contributions.arrived(call, grad)
            if call in calls:
                self.take_grad(call, grad)

        tape.await_grads({*calls, *contributions.given}, arrived)
        if reentrant:
            tape.await_replays([call for call in tape.calls if call in calls and call.node is None], arrived)

    def numbers(self) -> dict[tuple[Call, Side], Numbers]:
        """The numbers of all that was measured."""
        return self._meter.numbers()

    def token_metrics(self) -> dict[Call, dict[str, float]]:
        """``token_*`` of the outputs that are sequences."""
        return self._tokens.metrics()
