"""Weights that stand apart from their like: a thousand times too large, zero, or of rank one."""

import math
from collections.abc import Iterator
from statistics import median, median_low

from leadline._core.diagnosis import Finding
from leadline._core.profile import Profile
from leadline._core.sources import Source
from leadline._core.wording import figure
from leadline.doctor.layers import alike, block_of, is_norm, layer_of, module_of, multiplies, weights_by_layer
from leadline.doctor.registry import rule


@rule("activation-growth", source=Source(key="leadline"))
def large_weight(profile: Profile, *, limit: float = 30.0, alone: float = 100.0) -> Iterator[Finding]:
    """A weight whose gain is more than ``limit`` times that of its like; ``alone`` times most others', if it has none.

    The gain of a weight is ‖W‖_F/√outputs, the factor by which it multiplies a root mean square; initialisers give
    their like the same gain, and 30 is more than training makes of it. In front of a norm the forward pass hides it,
    but the gradient of that weight is divided by the factor, and a step of plain descent, relative to the weight, by
    its square: the layer stays as it is. Of two that are alike the smaller one is the usual one, unless most weights of
    the network are larger. Maps alone are held against all weights, of which there must be four or more; embeddings,
    whose numbers multiply nothing, are not.
    """
    every = list(profile.weight_norms)
    of_all = median_low([_gain(profile, name) for name in every] or [0.0])
    for group, gains in _gains(profile):
        compared = _comparable(profile, group)
        usual = of_all if not compared else median(gains) if len(group) >= 3 else max(min(gains), of_all)
        for name, gain in zip(group, gains, strict=True):
            if compared and usual > 0 and gain > limit * usual:
                yield _large(profile, group, name, gain, usual, "its like do")
            elif not compared and len(every) >= 4 and gain > alone * usual > 0 and _is_map(profile, name):
                yield _large(profile, every, name, gain, usual, "most weights do")


@rule("activation-growth", source=Source(key="leadline"))
def large_embedding(profile: Profile, *, limit: float = 30.0) -> Iterator[Finding]:
    """An embedding, or the output of a norm, whose entries have a root mean square above ``limit``.

    Normalised branches add numbers of order one to the stream; beside an embedding 30 times as large all of them
    together say nothing until it has shrunk. A norm gives numbers of order one by itself: the rest is its gain.
    """
    for layer in profile.layers:
        what = "embedding" if "Embedding" in layer.kind else "norm" if is_norm(profile, layer) else ""
        if what and limit < layer.rms < math.inf:
            yield Finding(
                code="activation-growth",
                layer=layer.name,
                severity="warning",
                message=f"{layer.name}: the {what} has a root mean square of {figure(layer.rms)}; blocks add about 1.",
                evidence={"rms": layer.rms, what: layer.name},
            )


@rule("constant-output", source=Source(key="leadline"))
def zero_weight(profile: Profile) -> Iterator[Finding]:
    """A weight that is all zeros while those like it are not.

    Zero starts are healthy where they are meant: the last weight of every residual branch, a gate, a head. One zero
    among its like is not meant, and what stands behind it gets the same for every sample.
    """
    for group, gains in _gains(profile):
        zeros = [name for name, gain in zip(group, gains, strict=True) if gain == 0]
        if zeros and (2 * len(zeros) < len(group) or (len(zeros) == 1 and _is_pair(profile, group))):
            for name in zeros:
                layer, module = layer_of(profile, name), module_of(name)
                yield Finding(
                    code="constant-output",
                    layer=layer,
                    severity="warning",
                    message=f"{layer}: the weight of {module} is 0, while {len(group) - len(zeros)} like it are not "
                    f"(gain {figure(median(gains))}): what it gives does not depend on the sample.",
                    evidence={"module": module, "gain": 0.0, "usual": median(gains)},
                )


@rule("rank-collapse", source=Source(key="daneshmand2020"))
def low_rank_weight(profile: Profile, *, limit: float = 1.05, least: int = 8) -> Iterator[Finding]:
    """A weight of rank one: it passes a single direction, whatever comes in.

    ``Profile.weight_ranks`` is the participation ratio seen through 16 random directions: exactly 1 for rank one (up to
    ``limit``, for rounding), about 1.7 for weights that share one sign, above 8 for usual ones. Weights with fewer than
    ``least`` rows or columns cannot be told and are left out, as are parameters of another name than weight where all
    of their like have rank one: those are no maps, but the rates of a state space, say, which start like that.
    """
    ones = {
        name
        for name, rank in profile.weight_ranks.items()
        if 0 < rank <= limit and min(profile.weight_shapes.get(name, (0, 0))) >= least
    }
    for group in alike(profile, profile.weight_ranks):
        low = [name for name in group if name in ones]
        if "weight" in group[0].rpartition(".")[2] or len(low) < len(group):
            for name in low:
                layer, module = layer_of(profile, name), module_of(name)
                rows, columns = profile.weight_shapes[name]
                yield Finding(
                    code="rank-collapse",
                    layer=layer,
                    severity="warning",
                    message=f"{layer}: the weight of {module}, {rows} by {columns}, has rank one "
                    f"(participation ratio {figure(profile.weight_ranks[name])}).",
                    evidence={"module": module, "weight_rank": profile.weight_ranks[name]},
                )


@rule("rank-collapse", source=Source(key="leadline"))
def one_signed_weights(profile: Profile, *, limit: float = 3.2, least: int = 12) -> Iterator[Finding]:
    """Weights along the chain that have nearly one direction in common, as those have whose entries share one sign.

    Their participation ratio is below ``limit`` in the median, where independent entries of mean zero have 4.4 at 12
    rows and columns and more beyond, and those drawn between 0 and a bound at most 3: one direction of the signal then
    outgrows all others. Of 35 such networks that were trained 7 learned; behind norms on residual branches 6 of 6 did,
    hence silence there. Weights with fewer than ``least`` rows or columns are left out: of 1200 pairs of 8, 10 or
    11 of them that torch drew 56 were below the limit, of 400 of 12 none.
    """
    held = weights_by_layer(profile)
    names = [
        name
        for layer in profile.chain
        for name in held[layer.name]
        if profile.weight_ranks.get(name, 0.0) > 1.05 and min(profile.weight_shapes[name]) >= least
    ]
    ratio = median(profile.weight_ranks[name] for name in names) if len(names) >= 2 else math.inf
    normed = any("Norm" in part for layer in profile.chain for part in layer.parts)
    if ratio >= limit or (normed and all(layer.residual for layer in profile.chain)):
        return
    layer = layer_of(profile, names[0])
    yield Finding(
        code="rank-collapse",
        layer=layer,
        severity="warning",
        message=f"{layer}: from here on the weights have nearly one direction in common (participation ratio "
        f"{figure(ratio)} in the median of {len(names)}), as those have whose entries share one sign.",
        evidence={"module": module_of(names[0]), "weight_rank": ratio, "weights": len(names)},
    )


def _gains(profile: Profile) -> Iterator[tuple[list[str], list[float]]]:
    """Each group of like weights with their gains."""
    for group in alike(profile, profile.weight_norms):
        yield group, [_gain(profile, name) for name in group]


def _comparable(profile: Profile, group: list[str]) -> bool:
    return len(group) >= 3 or _is_pair(profile, group)


def _is_map(profile: Profile, weight: str) -> bool:
    layer = profile.named.get(layer_of(profile, weight))
    return layer is not None and multiplies(layer)


def _is_pair(profile: Profile, group: list[str]) -> bool:
    """Whether these are the same weight of two blocks."""
    return len(group) == 2 and all(block_of(profile, name) for name in group)


def _gain(profile: Profile, name: str) -> float:
    rows = profile.weight_shapes.get(name, (1, 1))[0]
    return profile.weight_norms[name] / math.sqrt(rows)


def _large(profile: Profile, group: list[str], name: str, gain: float, usual: float, than: str) -> Finding:
    layer, module = layer_of(profile, name), module_of(name)
    factor, share = gain / usual, profile.weights.get(name, math.nan) / _usual_gradient(profile, group)
    hidden = ""
    if share < 10 / factor and any("Norm" in part for each in profile.layers for part in (each.kind, *each.parts)):
        hidden = f"; a norm behind it hides that, but its gradient is {figure(share)} times theirs"
    return Finding(
        code="activation-growth",
        layer=layer,
        severity="warning",
        message=f"{layer}: the weight of {module} multiplies by {figure(gain)}, {figure(factor)} times as much as "
        f"{than}{hidden}.",
        evidence={"module": module, "gain": gain, "usual": usual, "factor": factor, "gradient": share},
    )


def _usual_gradient(profile: Profile, group: list[str]) -> float:
    norms = [profile.weights[name] for name in group if profile.weights.get(name, 0.0) > 0]
    return median(norms) if norms else math.nan
