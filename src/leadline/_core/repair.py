"""What was changed in a model to make it train, step by step, with what was measured before and after."""

import dataclasses
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from leadline._core.errors import UsageError
from leadline._core.profile import Profile
from leadline._core.records import encode, read_record, write_json
from leadline._core.wording import figure

if TYPE_CHECKING:
    from torch import Tensor, nn

SCHEMA = 1

# How a repair ended -> what that says, in a phrase.
OUTCOMES = {
    "repaired": "the findings are gone",
    "improved": "findings are fewer or milder, but some remain",
    "unchanged": "no recipe made it better: the model is as it was",
    "healthy": "nothing was found that a recipe cures: the model is as it was",
    "planned": "only said, not done: the model is as it was",
}
# What "repaired" says of a recipe that was asked for where nothing was found.
_AS_ASKED = "changed as asked: nothing was found before, and nothing is now"
Outcome = Literal["repaired", "improved", "unchanged", "healthy", "planned"]


@dataclass(frozen=True, kw_only=True)
class Step:
    """One change.

    Attributes:
        action: What was done, one word: the key of the function that does it again.
        layer: Dotted name of the module or parameter that was changed; empty where many were.
        text: The change in a sentence, with its numbers.
        data: The same as data: all that the action needs to be done again.
        swaps: Whether a module took another's place or was added.
    """

    action: str
    layer: str
    text: str
    data: Mapping[str, Any] = field(default_factory=dict)
    swaps: bool = False


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One recipe that was tried, and what was found behind it.

    Attributes:
        recipe: Its name.
        way: Which of its ways, in a phrase, where it has several.
        findings: ``"severity: code"`` of each error and warning that was found behind it, or of the model as it was.
        trainable: The score of the diagnosis behind it.
        kept: Whether this is how the model was left.
        note: Why it could not be tried or was not kept, where that needs saying.
    """

    recipe: str
    way: str = ""
    findings: tuple[str, ...] = ()
    trainable: float = 0.0
    kept: bool = False
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A training run as plain numbers.

    Attributes:
        model: ``"before"`` the repair or ``"after"`` it.
        learning_rate: Of the optimiser.
        losses: The loss of every step.
        learnt: Whether it passed the rule.
    """

    model: Literal["before", "after"]
    learning_rate: float
    losses: tuple[float, ...]
    learnt: bool = False


@dataclass(frozen=True, kw_only=True)
class Proof:
    """Both models, trained.

    Attributes:
        rule: Optimiser, steps and task in a sentence, and when a run counts as learnt.
        curves: The runs.
        learnt_before: Whether the model as it was passed the rule at some rate.
        learnt_after: Whether the repaired one did.
    """

    rule: str
    curves: tuple[Curve, ...]
    learnt_before: bool
    learnt_after: bool


@dataclass(frozen=True, kw_only=True)
class Repair:
    """What was changed, and what it changed.

    Attributes:
        model: Class of the model.
        asked: The recipe that was asked for.
        recipe: The recipe that was kept; empty where the model is as it was.
        outcome: One of ``OUTCOMES``.
        before: The profile of the model as it was.
        after: That of the model as it was left; of a plan as it would be.
        steps: What was changed, in the order in which it was; of a plan what would be.
        attempts: The recipes that were tried, the model as it was first.
        reasons: The findings that it was repaired for, ``"severity: code at layer"``.
        function_change: Relative change of the outputs on the batch, ‖new − old‖/‖old‖, in the mode of the model; 0
            where the model is as it was.
        seed: Where everything random started from.
        proof: Training curves of both models, or ``None``.
        notes: What the reader should know.
    """

    model: str
    asked: str
    recipe: str = ""
    outcome: Outcome
    before: Profile
    after: Profile
    steps: tuple[Step, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    reasons: tuple[str, ...] = ()
    function_change: float = 0.0
    seed: int = 0
    proof: Proof | None = None
    notes: tuple[str, ...] = ()

    @property
    def swaps(self) -> bool:
        """Whether modules were swapped or added, so that the architecture is another."""
        return any(step.swaps for step in self.steps)

    @property
    def function_changed(self) -> bool:
        """Whether the outputs on the batch changed at all."""
        return self.function_change != 0

    def apply(self, model: "nn.Module", weights: "Mapping[str, Tensor] | str | Path | None" = None) -> "nn.Module":
        """Do the steps on a fresh model of the same code, in place.

        With ``weights``, those that the repaired model had, modules are swapped and the weights loaded: the model
        then gives the outputs of the repaired one to the bit. Without them drawing and scaling are done again,
        which gives the same weights where the fresh model started from the same ones.

        Args:
            model: A model of the same code, unrepaired.
            weights: The state dict of the repaired model, or the path of a safetensors file that holds it.

        Returns:
            ``model``.

        Raises:
            UsageError: If a step does not fit the model, the weights do not, or a step came from the data of the batch
                and there are no weights; the model is then as it was but for the steps before.
        """
        steps = [step for step in self.steps if step.swaps or weights is None]
        for step in steps:
            if step.action not in ACTIONS:
                raise UsageError(
                    f"The repair has a step {step.action!r}, which is not known; known are {', '.join(ACTIONS)}."
                )
        for step in steps:
            ACTIONS[step.action](model, step.data)
        if weights is not None:
            _load(model, weights)
        return model

    def undo(self) -> None:
        """Put the repaired model back, to the bit; only what ``leadline.repair`` returned can do that.

        Raises:
            UsageError: If this record was loaded: it holds no weights.
        """
        raise UsageError("A repair that was loaded holds no old weights to put back: build the model anew instead.")

    def save(self, path: str | Path) -> Path:
        """Write the record as strict JSON; weights are not in it: save the model's state dict beside it."""
        names = [each.name for each in dataclasses.fields(Repair)]
        return write_json({"schema": SCHEMA, **{name: encode(getattr(self, name)) for name in names}}, path)

    @staticmethod
    def load(path: str | Path) -> "Repair":
        """Read what ``save`` wrote.

        Raises:
            UsageError: If the file is missing, is no repair, or is of another version.
        """
        return read_record(Repair, path, schema=SCHEMA)

    def __str__(self) -> str:
        cured = self.reasons or self.outcome != "repaired"
        head = f"{self.model}: {OUTCOMES[self.outcome] if cured else _AS_ASKED}"
        lines = [f"{head} ({self.recipe})" if self.recipe else head]
        told = [step.text for step in self.steps] + ([change(self)] if self.recipe else []) + list(self.notes)
        return "\n".join([*lines, *(f"  {text}" for text in told)])


def change(repair: Repair) -> str:
    """Whether the function changed on the batch, and by how much; empty where nothing was done."""
    if not repair.recipe:
        return ""
    size = repair.function_change
    would = "would change" if repair.outcome == "planned" else "changed"
    if size == 0:
        return "The outputs on the batch are the same to the bit."
    if math.isnan(size):
        return "How much the outputs on the batch changed cannot be told: some are not finite."
    if math.isinf(size):
        return f"The outputs on the batch {would}; by how much cannot be told, since they were all 0 or so many others."
    share = f"{figure(100 * size)} % of" if size < 10 else f"{figure(size)} times"
    return f"The outputs on the batch {would} by {share} their norm: it is another function."


Action = Callable[["nn.Module", Mapping[str, Any]], object]

# Action of a step -> what does it to a model, in place. The doctor enters its own.
ACTIONS: dict[str, Action] = {}


def action(name: str) -> Callable[[Action], Action]:
    """Enter the decorated function as what does the steps of this name."""

    def register(function: Action) -> Action:
        ACTIONS[name] = function
        return function

    return register


def _load(model: "nn.Module", weights: "Mapping[str, Tensor] | str | Path") -> None:
    if isinstance(weights, (str, os.PathLike)):
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            weights = load_file(weights)
        except (OSError, SafetensorError) as error:
            raise UsageError(f"Cannot read the weights in {weights}: {error}.") from error
    shared = _shared(model)
    missing, unexpected = model.load_state_dict(dict(weights), strict=False)
    # A file holds a shared tensor once.
    missing = [name for name in missing if not any(other in weights for other in shared.get(name, ()))]
    if missing or unexpected:
        first = f"lack {missing[0]!r}" if missing else f"have {unexpected[0]!r}, which it has not"
        raise UsageError(f"The weights are not those of this repaired {type(model).__name__}: they {first}.")


def _shared(model: "nn.Module") -> dict[str, list[str]]:
    """Name of an entry of the state dict -> the names under which the same tensor stands in it."""
    state = model.state_dict(keep_vars=True)
    groups: dict[int, list[str]] = {}
    for name, value in state.items():
        groups.setdefault(id(value), []).append(name)
    return {name: groups[id(value)] for name, value in state.items()}
