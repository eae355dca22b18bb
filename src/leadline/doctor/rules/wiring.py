"""Layers that are there but take no part."""

from collections.abc import Iterator, Mapping

from leadline._core.diagnosis import Finding
from leadline._core.profile import Profile
from leadline._core.sources import Source
from leadline._core.wording import listed
from leadline.doctor.layers import layer_of, parents
from leadline.doctor.registry import rule


@rule("unused-layer", source=Source(key="leadline"))
def unused_layer(profile: Profile) -> Iterator[Finding]:
    """Modules with parameters that never ran, or whose output never reached the loss.

    A warning and no more: a pooler or an auxiliary head may be there on purpose. A module inside another unused one is
    not named by itself. Frozen layers take part, and a gradient of exactly zero still reached its layer. Of several
    that ran one after another the last is named: behind it what they gave was lost.
    """
    unused = set(profile.unused)
    outermost = [name for name in profile.unused if not unused & set(parents(name))]
    spans = {name: _span(profile, name) for name in outermost}
    for name in (name for name, span in spans.items() if not span):
        yield _finding(profile, name, "took no part: it never ran, or what it gave was not used", [name])
    for run in _runs(profile, {name: span for name, span in spans.items() if span}):
        others = f", nor did that of {listed(run[:-1])} in front of it" if len(run) > 1 else ""
        yield _finding(profile, run[-1], f"ran, but its output did not reach the loss{others}", run)


def _span(profile: Profile, name: str) -> tuple[int, int] | None:
    """Places in the order of execution of the first and last layer that is the module or inside it."""
    places = [layer.depth for layer in profile.layers if f"{layer.name}.".startswith(f"{name}.")]
    return (places[0], places[-1]) if places else None


def _runs(profile: Profile, spans: Mapping[str, tuple[int, int]]) -> Iterator[list[str]]:
    """The modules in order of execution, together where no layer that takes part lies between them."""
    run: list[str] = []
    for name in sorted(spans, key=spans.__getitem__):
        if run and any(layer.parameters for layer in profile.layers[spans[run[-1]][1] + 1 : spans[name][0]]):
            yield run
            run = []
        run.append(name)
    if run:
        yield run


def _finding(profile: Profile, name: str, how: str, modules: list[str]) -> Finding:
    return Finding(
        code="unused-layer",
        layer=name,
        severity="warning",
        message=f"{name}: {how}.",
        evidence={"module": name, "layer": layer_of(profile, name), "modules": modules},
    )
