"""The one more forward pass: for outputs that something has overwritten, and to find where nan begins."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from torch import Tensor

from leadline.probe.capture import Call, Tape, watched
from leadline.probe.guard import undisturbed
from leadline.probe.inputs import Batch, differentiable
from leadline.probe.modules import Anatomy


@dataclass(frozen=True, kw_only=True)
class Again:
    """What the second pass was made for.

    Attributes:
        outputs: Copies of outputs by the names of their calls.
        first_nonfinite: Name of the first call with nan or inf in its output; empty where there is none.
    """

    outputs: Mapping[str, Tensor]
    first_nonfinite: str


def outputs_again(parts: Anatomy, batch: Batch, names: Collection[str]) -> Again:
    """What a second pass showed, which repeats the first exactly: same random numbers, same buffers."""
    first_nonfinite: list[str] = []

    def ended(tape: Tape, call: Call, output: Tensor) -> None:
        if not first_nonfinite and not bool(output.isfinite().all()):
            first_nonfinite.append(call.name)

    paths = {name.partition("#")[0] for name in names}
    with undisturbed(parts.model), watched(parts, copies=lambda call: call.path in paths, listeners=(ended,)) as tape:
        fed, _ = differentiable(batch)
        parts.model(*fed.args, **fed.kwargs)
        tape.recording = False
    copies = {call.name: call.output for call in tape.calls if call.name in names and call.output is not None}
    return Again(outputs=copies, first_nonfinite=first_nonfinite[0] if first_nonfinite else "")
