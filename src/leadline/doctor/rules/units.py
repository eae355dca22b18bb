"""Units that say nothing: always zero, or where their slope is nearly zero."""

import math
from collections.abc import Iterator

from leadline._core.diagnosis import Finding
from leadline._core.profile import LayerProfile, Profile
from leadline._core.sources import Source
from leadline._core.wording import count, portion
from leadline.doctor.registry import rule


@rule("dead-units", source=Source(key="lu2020"))
def dead_units(profile: Profile, *, limit: float = 0.75, error: float = 0.95, least: int = 4) -> Iterator[Finding]:
    """A layer in which more than a share ``limit`` of the units give zero for every sample of the batch.

    A unit whose pre-activation has a symmetric law is off for all n samples with a chance of 2⁻ⁿ where the samples are
    independent and of 1/2 where they are all alike: a share far above one half needs a bias. Dead units get no gradient
    and stay dead. Of a layer with several activations the deadest counts. From ``error`` on next to nothing passes;
    where a skip leads around the layer that is a warning. Of fewer than ``least`` values a unit nothing is said: one
    sample leaves half of the units of a ReLU off, and a few of them all by chance.
    """
    for layer in profile.layers:
        if layer.shape and _values(layer) < least:
            continue
        share = layer.dead_fraction if math.isnan(layer.dead_share) else layer.dead_share
        if share > limit:
            yield _finding(layer, share, error)


def _values(layer: LayerProfile) -> int:
    """Values of a unit: samples times positions, channels being the second axis of maps and the last of sequences."""
    samples, *others = layer.shape
    return samples * math.prod(others[1:] if len(others) > 2 else others[:-1])


def _finding(layer: LayerProfile, share: float, error: float) -> Finding:
    module = layer.dead_layer or layer.name
    inside = f" of {module}" if module != layer.name else ""
    return Finding(
        code="dead-units",
        layer=layer.name,
        severity="error" if share >= error and not layer.residual else "warning",
        message=f"{layer.name}: {portion(share)} of the units{inside} give zero for every sample.",
        evidence={"dead_fraction": share, "module": module},
    )


@rule("saturation", source=Source(key="glorot2010", locator="section 3"))
def saturation(profile: Profile, *, limit: float = 0.5, error: float = 0.9) -> Iterator[Finding]:
    """Layers in which more than a share ``limit`` of the activations sit where their slope is nearly zero.

    A gradient passes a saturated unit only by its slope, so half of the units saturated costs about as much as a ReLU's
    masked half, but for good: their inputs have to come back by a multiple of their spread. From ``error`` on the layer
    is a step function. Of a layer with several activations the most saturated counts, as a warning at most where the
    others are not. One finding, at the first layer.
    """
    found = [layer for layer in profile.layers if _saturated(layer) > limit]
    if not found:
        return
    first, share = found[0], _saturated(found[0])
    inside = f" of {first.saturated_layer}" if first.saturated_layer not in ("", first.name) else ""
    further = f", and more than {portion(limit)} in {count(len(found) - 1, 'more layer')}" if len(found) > 1 else ""
    yield Finding(
        code="saturation",
        layer=first.name,
        severity="error" if first.saturated_fraction >= error and not first.residual else "warning",
        message=f"{first.name}: {portion(share)} of the activations{inside} are saturated{further}.",
        evidence={"saturated_fraction": share, "module": first.saturated_layer or first.name, "layers": len(found)},
    )


def _saturated(layer: LayerProfile) -> float:
    return layer.saturated_fraction if math.isnan(layer.saturated_share) else layer.saturated_share
