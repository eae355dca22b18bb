"""What a repair came to, in sentences."""

import math

from leadline._core.repair import Proof, Repair, change as change
from leadline._core.wording import count, listed
from leadline.doctor.repairs import RECIPES
from leadline.reporting import words
from leadline.reporting.comparison import Comparison


def verdict(found: Comparison) -> str:
    """How it ended, in one sentence: repaired or not, by which recipe, and what remains."""
    repair, remain = found.repair, remains(found)
    if repair.recipe and not found.gone and not found.remaining:
        if repair.outcome == "planned":
            return (
                f"Nothing was changed. With {repair.recipe} there would be no error or warning, as there is none now."
            )
        if repair.asked != "auto":
            return f"Changed by {repair.recipe}, as asked; no error or warning was there before, and none is now."
        return (
            f"Changed by {repair.recipe}, since it was hard to train; there was no error or warning, and is none now."
        )
    if repair.outcome == "repaired":
        return f"Repaired by {repair.recipe}: {remain}."
    if repair.outcome == "improved":
        return f"Better by {repair.recipe}, but not cured: {remain}."
    if repair.outcome == "planned":
        return f"Nothing was changed. With {repair.recipe}, {remain}."
    if repair.outcome == "unchanged":
        return f"Not repaired: no recipe made it better, and the model is as it was; {remain}."
    if found.remaining:
        return f"Nothing that a recipe cures, and the model is as it was; {remain}."
    return "Healthy: there is nothing to repair, and the model is as it was."


def remains(found: Comparison) -> str:
    """What errors and warnings there are at the end, in a clause."""
    severities = [finding.severity for finding in found.remaining]
    counts = [count(severities.count(s), s) for s in ("error", "warning") if s in severities]
    would = "would " if found.repair.outcome == "planned" else ""
    if not counts:
        counts = ["no error or warning"]
    return f"{listed(counts)} {would}remain{'' if would or len(severities) > 1 else 's'}"


def chances(found: Comparison) -> str:
    """The two scores in a sentence; empty where there are none."""
    before, after = found.before.trainable, found.after.trainable
    if math.isnan(before) or math.isnan(after):
        return ""
    if not found.repair.recipe:
        return words.verdict(found.after)
    was, now = words.probability(before), words.probability(after)
    if was == now:
        return f"The probability that it trains stays {now}."
    then = "would be" if found.repair.outcome == "planned" else "is now"
    return f"The probability that it trains was {was} and {then} {now}."


def means(repair: Repair) -> str:
    """What the recipe does, and whether the architecture stays, in a sentence; empty where none was kept."""
    if not repair.recipe:
        return ""
    known = RECIPES.get(repair.recipe)
    what = f"{repair.recipe}: {known.text}" if known else repair.recipe
    kept = "modules are swapped, so that the architecture is another" if repair.swaps else "no module is swapped"
    return f"{what[0].upper()}{what[1:]}; {kept}."


def proven(proof: Proof) -> str:
    """What training showed, in a sentence."""
    if proof.learnt_after:
        was = "and so did the model as it was" if proof.learnt_before else "the model as it was did not"
        return f"Proven: the repaired model learns, {was}."
    was = "the model as it was did" if proof.learnt_before else "nor did the model as it was"
    return f"Not proven: the repaired model did not learn, {was}."


def depths(found: Comparison) -> str:
    """How deep the design carries, before and after.

    >>> from leadline._core.profile import Profile
    >>> nothing = Profile(layers=())
    >>> depths(Comparison.of(Repair(model="Net", asked="auto", outcome="healthy", before=nothing, after=nothing)))
    'unknown'
    """
    unit = found.before.profile.unit
    before, after = found.before.depth_limit.estimate, found.after.depth_limit.estimate
    if not found.repair.recipe:
        return words.depth_of(before, unit=unit)
    first = f"{round(before)}" if math.isfinite(before + after) else words.depth_of(before, unit=unit)
    return f"{first} → {words.depth_of(after, unit=unit)}"
