"""Residual streams, noted while the model runs: what each unit adds to its input, and how large both are."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from torch import Tensor, nn

from leadline.probe.added import Added, root_mean_square
from leadline.probe.capture import Call, Tape
from leadline.probe.graph import Stream, calls_behind, makers, stream_of
from leadline.probe.inputs import first_float


@dataclass(frozen=True, kw_only=True)
class Residual:
    """A unit whose output is a sum of its input and branches.

    Attributes:
        identity: Whether its input arrives at the sum unchanged, and not projected.
        branches: Paths of the modules whose outputs are added, in order of execution.
        stream: Root mean square of what arrives at the first sum beside the branch.
        added: Root mean squares of what the sums add, behind gates and scales; empty where one of them is not known.
    """

    identity: bool
    branches: tuple[str, ...]
    stream: float | None
    added: tuple[float, ...]


@dataclass(kw_only=True)
class Streams:
    """Reads the residual stream of every unit as it ends, and lets go of outputs that were only kept for that.

    Attributes:
        units: Paths of the modules that may be residual units.
        kept: Paths of the modules whose outputs are needed until the end.
        kept_inside: Those that are needed although they lie inside a unit.
        found: The residual calls.
    """

    units: frozenset[str]
    kept: frozenset[str]
    kept_inside: frozenset[str]
    found: dict[Call, Residual] = field(default_factory=dict)
    _sizes: dict[Call, float] = field(default_factory=dict)
    _overwritten: dict[type[nn.Module], set[str]] = field(default_factory=dict)

    def ended(self, tape: Tape, call: Call, output: Tensor) -> None:
        """A call has ended; units are read, and outputs inside them let go."""
        if call.in_unit and tape.running[-1].path in self.units:
            self._measure_early(tape.running[-1], call, output)
        if call.path in self.units:
            inner = tape.calls[call.first : -1]
            first = type(call.module) not in self._overwritten
            residual = self._read(call, inner, output)
            if residual is not None:
                self.found[call] = residual
            # A unit that another one holds, or the first of its class, may turn out not to count: its leaves stay.
            settled = not first and (residual is not None or not call.in_unit)
            holds_units = any(other.path in self.units for other in inner)
            _let_go(inner, self.kept_inside if settled and not holds_units else self.kept)
        elif not call.in_unit:
            _let_go([call], self.kept)

    def is_identity(self, call: Call) -> bool:
        """Whether ``call`` is its input, unchanged, plus a branch."""
        return call in self.found and self.found[call].identity

    def _measure_early(self, unit: Call, call: Call, output: Tensor) -> None:
        """Branches that the sum will overwrite, as ``out += x`` does, are measured at once.

        Which ones those are is learnt from the first unit of a class, where all children are measured.
        """
        overwritten = self._overwritten.get(type(unit.module))
        if overwritten is None or _inside(call, unit) in overwritten:
            self._sizes[call] = root_mean_square(output)

    def _read(self, unit: Call, inner: list[Call], output: Tensor) -> Residual | None:
        overwritten = self._overwritten.setdefault(type(unit.module), set())
        stream = stream_of(unit)
        if stream is None:
            return None
        made = makers(inner)
        found = {call for node, _ in stream.branches for call in calls_behind(node, made)}
        branches = sorted(found, key=lambda call: call.start)
        overwritten |= {_inside(call, unit) for call in branches if call.output is not None and not call.intact}
        arriving = first_float(unit.arguments)
        assert arriving is not None
        readable = unit.stored and all(call.stored for call in inner)
        given = (unit.source, root_mean_square(arriving))
        added = Added(made=made, size=self._size, stream=given, readable=readable)
        return Residual(
            identity=stream.identity,
            branches=tuple(dict.fromkeys(call.path for call in branches)),
            stream=added.rms(stream.shortcut),
            added=_sizes(added, stream, output, arriving),
        )

    def _size(self, call: Call) -> float | None:
        if call not in self._sizes and call.intact and call.output is not None:
            self._sizes[call] = root_mean_square(call.output)
        return self._sizes.get(call)


def _sizes(added: Added, stream: Stream, output: Tensor, arriving: Tensor) -> tuple[float, ...]:
    sizes = [(added.rms(node), factor) for node, factor in stream.branches]
    known = tuple(size * factor for size, factor in sizes if size is not None)
    if len(known) == len(sizes):
        return known
    return (root_mean_square(output.detach() - arriving.detach()),) if stream.plain else ()


def _inside(call: Call, unit: Call) -> str:
    return call.path.removeprefix(f"{unit.path}.")


def _let_go(calls: Iterable[Call], kept: frozenset[str]) -> None:
    for call in calls:
        if call.path not in kept:
            call.output = None
