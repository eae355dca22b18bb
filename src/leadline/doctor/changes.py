"""What if the design were another: which change of norm, activation, weights, skip or batch carries it deepest?"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any

from torch import Tensor, nn

from leadline._core.diagnosis import DepthLimit
from leadline._core.errors import UsageError
from leadline._core.wording import reach
from leadline.doctor._diagnose import diagnose
from leadline.doctor.depth import probabilities
from leadline.probe import profile
from leadline.probe.loss import Loss
from leadline.theory import gain as theory_gain

# Links of the network that a prediction is made from: enough for rates, and built in milliseconds.
LINKS = 24
# Links at most of the networks that a closer look is taken at, and how many times as many are looked at as measured.
_DEEP, _CLOSER = 200, 2
# Width from which its weights are revealed on demand and not drawn, where the design can do so.
WIDE = 1024
# Standard deviation times √fan_in of square weights of gain 1, by law.
_UNIT = {"default": 1 / math.sqrt(3), "he": math.sqrt(2), "xavier": 1.0, "gaussian": 1.0, "orthogonal": 1.0}
# Factors that are tried, in this order where they are equally good.
FACTORS = ("norm", "init", "gain", "activation", "skip", "batch")

Batch = tuple[Any, Tensor | None]


@dataclass(frozen=True, kw_only=True)
class Alternative:
    """One design and how deep it goes.

    Attributes:
        changes: Option -> its value, of the options that differ; empty for the design as it is. ``"batch"`` is the
            number of samples.
        limit: The predicted depth limit.
        predicted: Depth -> predicted probability that training passes the rule.
        measured: Depth -> the probability from a profile of a network of that depth, where one was built.
        errors: Depth -> codes of its findings that are errors.
    """

    changes: Mapping[str, Any]
    limit: DepthLimit
    predicted: Mapping[int, float]
    measured: Mapping[int, float] = field(default_factory=dict)
    errors: Mapping[int, tuple[str, ...]] = field(default_factory=dict)

    def __str__(self) -> str:
        return ", ".join(f"{name}={value}" for name, value in self.changes.items()) or "as it is"


@dataclass(frozen=True, kw_only=True)
class WhatIf:
    """The design as it is, and what was tried in its place.

    Attributes:
        depths: What was asked for.
        now: The design as it is.
        alternatives: Others, the deepest first; the first ones are measured too.
    """

    depths: tuple[int, ...]
    now: Alternative
    alternatives: tuple[Alternative, ...]

    def __str__(self) -> str:
        rows = [f"{each}: depth limit {reach(each.limit.estimate)}" for each in (self.now, *self.alternatives)]
        return "\n".join(rows)


def what_if(
    build: Callable[..., nn.Module],
    inputs: Any,
    targets: Tensor | None = None,
    *,
    now: Mapping[str, Any],
    choices: Mapping[str, Sequence[Any]],
    depths: Sequence[int] = (10, 100, 1000),
    batches: Mapping[int, Batch] | None = None,
    loss: Loss | None = None,
    best: int = 3,
    trainer: str = "adam",
    seed: int = 0,
    on_step: Callable[[str], None] | None = None,
) -> WhatIf:
    r"""Rank changes of a design by the depth limit that they are predicted to give; measure the best of them.

    Tried are every other choice of one option; the gain $g$ with which theory keeps the signal,
    $g\,\sigma_0 = 1/\sqrt{\mathbb E\,\varphi(z)^2}$ for $z \sim N(0, 1)$ and $\sigma_0$ of the law of the weights; and
    pairs of the best choices of two options, each law and each activation with the gain that suits it. The prediction
    is that of ``depth_limit`` from a network of 24 links, whose curves go on at theory's rates where it has them; for
    the best once more from one about as deep as it came to, of 200 links at most. From width 1024
    on the weights are not drawn but revealed on demand (``leadline.simulate``), where the design takes
    ``weights="lazy"``.

    Args:
        build: ``build(seed, **options)`` makes the network; where ``now`` has a ``"depth"``, of that many links.
        inputs: One batch, as for ``leadline.profile``.
        targets: Its targets.
        now: Option -> its value in the design as it is.
        choices: Option -> the values to try, among ``"norm"``, ``"activation"``, ``"init"`` and ``"skip"``; an empty
            sequence for ``"gain"``, whose value is theory's.
        depths: Depths at which probabilities are told, and at which the best are built where ``now`` has a depth.
        batches: Other numbers of samples -> inputs and targets; tried where there is a batch normalisation.
        loss: As for ``leadline.profile``.
        best: How many of the best are measured.
        trainer: Whose training is predicted, as in ``leadline.diagnose``.
        seed: Of the weights.
        on_step: Told what is being done, in a phrase.

    Returns:
        The design as it is, and the others from the deepest on.

    Raises:
        UsageError: If no depth is given, or one below 1.

    Source:
        leadline: ``depth_limit`` and ``trainable`` of designs that are not there yet.

    Example:
        >>> from leadline.targets import load
        >>> plain = load("mlp:depth=30,width=32")
        >>> found = what_if(plain.build, plain.inputs, plain.targets, now={"norm": "none", "depth": 30, "skip": 0.0},
        ...                 choices={"norm": ["batch"], "skip": [1.0]}, depths=[30], best=1)
        >>> found.now.limit.estimate < 30 < found.alternatives[0].limit.estimate
        True
    """
    if not depths or min(depths) < 1:
        raise UsageError(f"Depths are whole numbers from 1 on, such as 10,100,1000; got {list(depths)}.")
    trial = _Trial(build=build, now=now, loss=loss, seed=seed, depths=tuple(depths), trainer=trainer)
    samples = {None: (inputs, targets), **(batches or {})}
    tell = on_step or (lambda text: None)

    def tried(changes: Mapping[str, Any]) -> Alternative:
        alternative = trial.predicted(changes, samples[changes.get("batch")])
        tell(f"Trying {alternative}")
        return alternative

    present = tried({})
    singles = [tried(changes) for changes in _singles(now, choices, batches or {})]
    several = [tried(changes) for changes in _several(now, choices, sorted(singles, key=_rank), present)]
    ranked = sorted([*singles, *several], key=_rank)
    closer = [trial.closer(each, samples[each.changes.get("batch")]) for each in ranked[: _CLOSER * best]]
    ranked = sorted([*closer, *ranked[_CLOSER * best :]], key=_rank)
    confirmed = []
    for alternative in ranked[:best]:
        tell(f"Measuring {alternative}")
        confirmed.append(trial.measured(alternative, samples[alternative.changes.get("batch")]))
    return WhatIf(depths=tuple(depths), now=present, alternatives=(*confirmed, *ranked[best:]))


@dataclass(frozen=True, kw_only=True)
class _Trial:
    """How a changed design is built and looked at."""

    build: Callable[..., nn.Module]
    now: Mapping[str, Any]
    loss: Loss | None
    seed: int
    depths: tuple[int, ...]
    trainer: str

    def predicted(self, changes: Mapping[str, Any], batch: Batch, *, links: int = LINKS) -> Alternative:
        more: dict[str, Any] = {"depth": links} if "depth" in self.now else {}
        if "weights" in self.now and self.now.get("width", 0) >= WIDE:
            more["weights"] = "lazy"
        seen = profile(self._built(changes, **more), *batch, loss=self.loss)
        found = diagnose(seen, trainer=self.trainer)
        return Alternative(
            changes=changes,
            limit=found.depth_limit,
            predicted=probabilities(seen, found.predictions, self.depths, trainer=self.trainer),
        )

    def closer(self, alternative: Alternative, batch: Batch) -> Alternative:
        """The same from a network about as deep as it is predicted to carry."""
        limit = alternative.limit.estimate
        if "depth" not in self.now or not limit > LINKS:
            return alternative
        return self.predicted(alternative.changes, batch, links=round(min(limit, _DEEP)))

    def measured(self, alternative: Alternative, batch: Batch) -> Alternative:
        at = self.depths if "depth" in self.now else ()
        found = {
            depth: diagnose(
                profile(self._built(alternative.changes, depth=depth), *batch, loss=self.loss), trainer=self.trainer
            )
            for depth in at
        }
        return replace(
            alternative,
            measured={depth: each.trainable for depth, each in found.items()},
            errors={
                depth: tuple(dict.fromkeys(f.code for f in each.findings if f.severity == "error"))
                for depth, each in found.items()
            },
        )

    def _built(self, changes: Mapping[str, Any], **more: Any) -> nn.Module:
        return self.build(self.seed, **{name: value for name, value in changes.items() if name != "batch"}, **more)


def _singles(
    now: Mapping[str, Any], choices: Mapping[str, Sequence[Any]], batches: Mapping[int, Batch]
) -> list[dict[str, Any]]:
    found = [{name: value} for name in FACTORS for value in choices.get(name, ()) if value != now.get(name)]
    if "gain" in choices and (fitted := _fitted_gain(now)) != now.get("gain"):
        found.append({"gain": fitted})
    return found + [{"batch": size} for size in batches if now.get("norm") in ("batch", "fractional")]


def _several(
    now: Mapping[str, Any], choices: Mapping[str, Sequence[Any]], ranked: list[Alternative], present: Alternative
) -> list[dict[str, Any]]:
    """Every two of the best choices of each option that help; and each law and activation with the gain that suits."""
    best: dict[str, dict[str, Any]] = {}
    for each in ranked:
        (name,) = each.changes
        if _rank(each) < _rank(present):
            best.setdefault(name, dict(each.changes))
    helpful = [each for name, each in best.items() if name != "gain"]
    found = [one | other for one, other in combinations(helpful, 2)]
    if "gain" in choices:
        laws = [{"init": law} for law in choices.get("init", ())]
        gentle = [{"activation": phi, "init": "orthogonal"} for phi in choices.get("activation", ()) if laws]
        found += [{**each, "gain": _fitted_gain({**now, **each})} for each in [*helpful, *laws, *gentle]]
    different = [{name: value for name, value in each.items() if value != now.get(name)} for each in found]
    tried = [each.changes for each in ranked]
    return [each for i, each in enumerate(different) if each and each not in tried and each not in different[:i]]


def _fitted_gain(options: Mapping[str, Any]) -> float:
    """The gain that keeps the signal of unit variance, for the law of the weights."""
    return round(theory_gain(options.get("activation", "relu")) / _UNIT[options.get("init", "default")], 4)


def _rank(each: Alternative) -> tuple[float, float, int]:
    """Deepest first; of those without limit the likeliest at the greatest depth; then the fewest changes."""
    limit = each.limit.estimate
    known = -limit if not math.isnan(limit) else 0.0
    chance = each.predicted[max(each.predicted)]
    return max(known, -1e6), -chance if chance >= 0 else 0.0, len(each.changes)
