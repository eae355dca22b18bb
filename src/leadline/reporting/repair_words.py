"""What a repair came to, in sentences."""

import math

from leadline._core.repair import Attempt, Proof, Repair, change as change
from leadline._core.wording import count, listed, reach
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


def tried(attempt: Attempt) -> str:
    """The recipe, and which of its ways where it has several.

    >>> tried(Attempt(recipe="straighten", way="budget 2")), tried(Attempt(recipe="normalise"))
    ('straighten, budget 2', 'normalise')
    """
    return ", ".join(filter(None, (attempt.recipe, attempt.way)))


def proven(proof: Proof) -> str:
    """What training showed, in a sentence that names the rates at which a model learnt."""
    before, after = (_rates(proof, side) for side in ("before", "after"))
    if proof.learnt_after:
        was = f"the model as it was learnt{before} too" if proof.learnt_before else "the model as it was did not learn"
        return f"Proven: the repaired model learns{after}; {was}."
    was = f"the model as it was did{before}" if proof.learnt_before else "nor did the model as it was"
    return f"Not proven: the repaired model did not learn, {was}."


def _rates(proof: Proof, model: str) -> str:
    """`` at 0.0001, not at 0.01 and 0.001``; empty where the record does not tell the runs apart."""
    runs = [curve for curve in proof.curves if curve.model == model]
    learnt, failed = (listed([f"{c.learning_rate:g}" for c in runs if c.learnt is passed]) for passed in (True, False))
    if not learnt:
        return ""
    return f" at {learnt}, not at {failed}" if failed else f" at {learnt}"


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
    first = reach(before) if math.isfinite(before + after) else words.depth_of(before, unit=unit)
    return f"{first} → {words.depth_of(after, unit=unit)}"
