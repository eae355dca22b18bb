"""Layers that are there but take no part."""

from collections.abc import Iterator

from leadline._core.diagnosis import Finding
from leadline._core.profile import Profile
from leadline._core.sources import Source
from leadline.doctor.layers import layer_of
from leadline.doctor.registry import rule


@rule("unused-layer", source=Source(key="leadline"))
def unused_layer(profile: Profile) -> Iterator[Finding]:
    """Modules with parameters that never ran, or whose output never reached the loss.

    A warning and no more: a pooler or an auxiliary head may be there on purpose. A module inside another unused one is
    not named by itself. Frozen layers take part, and a gradient of exactly zero still reached its layer.
    """
    unused = set(profile.unused)
    for name in profile.unused:
        parents = {name[:i] for i, letter in enumerate(name) if letter == "."}
        if not parents & unused:
            ran = any(layer.name == name for layer in profile.layers)
            how = (
                "ran, but its output did not reach the loss"
                if ran
                else "took no part: it never ran, or what it gave was not used"
            )
            yield Finding(
                code="unused-layer",
                layer=name,
                severity="warning",
                message=f"{name}: {how}.",
                evidence={"module": name, "layer": layer_of(profile, name)},
            )
