"""The public function: try recipes, measure behind each, keep the best or put everything back."""

import fnmatch
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from leadline._core.errors import UsageError
from leadline._core.names import check_choice, nearest
from leadline._core.repair import Attempt, Outcome, Repair, Step
from leadline.doctor.repairs.auto import plan
from leadline.doctor.repairs.recipe import Patient, Recipe
from leadline.doctor.repairs.recipes import RECIPES
from leadline.doctor.repairs.snapshot import Snapshot
from leadline.doctor.repairs.sounding import Sounding
from leadline.doctor.repairs.trained import signs_of_training
from leadline.probe import profile
from leadline.probe.guard import undisturbed
from leadline.probe.inputs import as_batch
from leadline.probe.loss import main_output
from leadline.probe.modules import unwrapped

Chosen = str | Sequence[str] | Callable[[str, nn.Module], bool]


@dataclass(frozen=True, kw_only=True)
class Repaired(Repair):
    """A repair that has just been made: the record, and the old weights that undo it."""

    kept: Snapshot = field(repr=False, compare=False)

    def undo(self) -> None:
        """Put the model back, to the bit: the modules, parameters and buffers that it had."""
        self.kept.restore()


def repair(
    model: nn.Module,
    inputs: Any,
    targets: Any = None,
    *,
    loss: Callable[[Any, Any], Tensor] | None = None,
    recipe: str = "auto",
    layers: Chosen | None = None,
    dry_run: bool = False,
    force: bool = False,
    seed: int = 0,
) -> Repaired:
    """Repair a model that will not train, in place, and say what was done and what it changed.

    It is measured and diagnosed; a recipe is done, and it is measured again. ``"auto"`` tries one recipe after another,
    each on the model as it was, those that only change numbers before those that swap modules, until nothing is found
    and the score is good. If none gets there the best is kept; if none is better the model is put back, to the
    bit. A model without an error or warning is left alone if its score is .75 or more; below, it is ``hard-to-train``,
    for which no module is swapped.

    Modes, running statistics, ``.grad``, hooks and the global generators are left as they are, and so are frozen
    parameters and read-outs that share an embedding; a tied weight is changed once. When the call is interrupted or
    fails, the model is put back.

    Args:
        model: Any module.
        inputs: The batch: a tensor, a tuple of positional or a mapping of keyword arguments, of the size that will be
            trained with and some dozen samples at least: recipes take means and variances over it.
        targets: As in ``leadline.profile``.
        loss: As in ``leadline.profile``.
        recipe: ``"auto"``, or one of ``leadline.doctor.repairs.RECIPES``, which is done whatever was found; kept if
            findings are fewer behind it or, where there were none, are none.
        layers: Layers that may be changed: one or more fnmatch patterns on dotted names, which stand for what is inside
            too, or a predicate ``layers(name, module)``; all of them without it.
        dry_run: Do it, measure, and put everything back: the record says what would be done.
        force: Change weights that look trained, too. What a recipe set from the batch looks so as well.
        seed: Where everything random starts from.

    Returns:
        The record, which can ``undo()`` the repair as long as it lives: it holds a copy of the old weights.

    Raises:
        UsageError: If the weights look trained and ``force`` is not set, the recipe has nothing to work on, or an
            argument has a wrong value.

    Example:
        >>> import leadline, torch
        >>> from leadline._core.randomness import seeded
        >>> with seeded(0):
        ...     layers = [m for _ in range(12) for m in (torch.nn.Linear(32, 32), torch.nn.Sigmoid())]
        ...     net = torch.nn.Sequential(*layers, torch.nn.Linear(32, 10))
        ...     x, y = torch.randn(64, 32), torch.arange(64) % 10
        >>> repair = leadline.repair(net, x, y)
        >>> repair.reasons[0], repair.outcome, repair.recipe
        ('error: gradient-vanishing at 24', 'repaired', 'straighten')
        >>> [round(attempt.trainable, 1) for attempt in repair.attempts if attempt.kept or not attempt.recipe]
        [0.0, 1.0]
        >>> repair.undo()
    """
    if not isinstance(model, nn.Module):
        raise UsageError(f"model must be a torch.nn.Module, which is repaired in place; got {type(model).__name__}.")
    check_choice("recipe", recipe, ["auto", *RECIPES])

    def measured() -> Sounding:
        return Sounding.of(profile(model, inputs, targets, loss=loss, seed=seed))

    before = measured()
    chosen = _predicate(unwrapped(model), layers)
    patient = Patient(model=unwrapped(model), inputs=inputs, profile=before.profile, seed=seed, chosen=chosen)
    kept = Snapshot(unwrapped(model))
    course = _Course(patient=patient, before=before, measured=measured, asked=recipe)
    recipes = plan(before, patient) if recipe == "auto" else [RECIPES[recipe]]
    notes: tuple[str, ...] = ()
    if recipes and (signs := signs_of_training(patient.model)):
        notes = (f"The weights look trained: {signs[0]}",)
        if not (force or dry_run):
            raise UsageError(
                f"The weights of this {type(patient.model).__name__} look trained, and a repair would undo that: "
                f"{signs[0]} Pass force=True to change them all the same."
            )
    try:
        old = None if not recipes else _outputs(model, inputs)
        course.run(recipes, kept)
        change = 0.0 if old is None or not course.recipe else _change(old, _outputs(model, inputs))
        if dry_run:
            kept.restore()
    except BaseException:
        kept.restore()
        raise
    return Repaired(
        model=type(patient.model).__name__,
        asked=recipe,
        recipe=course.recipe,
        outcome="planned" if dry_run and course.recipe else course.outcome,
        before=before.profile,
        after=course.best.profile,
        steps=course.steps,
        attempts=course.attempts,
        reasons=tuple(f"{f.severity}: {f.code}{f' at {f.layer}' if f.layer else ''}" for f in before.findings),
        function_change=change,
        seed=seed,
        notes=(*notes, *course.notes),
        kept=kept,
    )


class _Course:
    """The recipes one after another, each on the model as it was; the best stays."""

    def __init__(self, *, patient: Patient, before: Sounding, measured: Callable[[], Sounding], asked: str):
        self._patient, self._before, self._measured, self._asked = patient, before, measured, asked
        self.best, self.recipe = before, ""
        self.steps: tuple[Step, ...] = ()
        self.notes: tuple[str, ...] = ()
        self._tried = [_attempt("", before)]
        self._kept = 0

    def run(self, recipes: Sequence[Recipe], kept: Snapshot) -> None:
        """Try each until one leaves nothing to cure; then leave the model as the best one made it."""
        state, model = kept, self._patient.model
        ways = [(recipe, way) for recipe in recipes for way in recipe.ways]
        for recipe, way in ways:
            if self._asked == "auto" and recipe.swaps and self.best.clean:
                break  # Numbers alone were enough.
            steps = self._mended(recipe, way)
            if steps is not None:
                found = self._measured()
                self._tried.append(_attempt(recipe.name, found, way=way))
                if self._is_better(found):
                    self.best, self.recipe, self.steps = found, recipe.name, tuple(steps)
                    self._kept = len(self._tried) - 1
                    if found.sure or (recipe, way) == ways[-1]:
                        return
                    state = Snapshot(model)
            kept.restore()
        if state is not kept:
            state.restore()

    def _mended(self, recipe: Recipe, way: str) -> list[Step] | None:
        try:
            return recipe.ways[way](self._patient)
        except UsageError as error:
            if self._asked != "auto":
                raise UsageError(f"The recipe {recipe.name!r} cannot be used here: {error}") from error
            self._tried.append(Attempt(recipe=recipe.name, way=way, note=str(error)))
            return None

    def _is_better(self, found: Sounding) -> bool:
        """Less harm; where nothing was found, as with a recipe that was asked for, nothing found behind it."""
        if self._before.findings:
            return found.harm < self.best.harm
        return not found.findings and not (self._before.clean and not found.clean)

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """What was tried, with the one that was kept marked."""
        return tuple(replace(attempt, kept=i == self._kept) for i, attempt in enumerate(self._tried))

    @property
    def outcome(self) -> Outcome:
        """How it ended."""
        if not self.recipe:
            return "healthy" if len(self._tried) == 1 else "unchanged"
        return "improved" if self.best.findings else "repaired"


def _attempt(recipe: str, found: Sounding, *, way: str = "") -> Attempt:
    return Attempt(recipe=recipe, way=way, findings=found.words, trainable=found.trainable)


def _outputs(model: nn.Module, inputs: Any) -> Tensor | None:
    """The output that meets the loss, in the mode of the model."""
    batch = as_batch(inputs, None, model)
    with undisturbed(model), torch.no_grad():
        output = main_output(model(*batch.args, **batch.kwargs))
    return None if output is None else output.double()


def _change(old: Tensor, new: Tensor | None) -> float:
    """‖new − old‖/‖old‖; ``inf`` where the old outputs were all 0 and the new ones are not."""
    if new is None or new.shape != old.shape:
        return float("inf")
    moved, size = (new - old).norm().item(), old.norm().item()
    return 0.0 if moved == 0 else moved / size if size else float("inf")


def _predicate(model: nn.Module, layers: Chosen | None) -> Callable[[str, nn.Module], bool]:
    if layers is None:
        return lambda _name, _module: True
    if callable(layers):
        return layers
    patterns = [layers] if isinstance(layers, str) else list(layers)
    names = [name for name, _ in model.named_modules()]
    for pattern in patterns:
        if not any(_within(name, pattern) for name in names):
            guess = nearest(pattern, filter(None, names))
            hint = f"; did you mean {guess!r}?" if guess else "; dotted names are matched, as 'blocks.*'."
            raise UsageError(f"No module of the model is named like {pattern!r}{hint}")
    return lambda name, _module: any(_within(name, pattern) for pattern in patterns)


def _within(name: str, pattern: str) -> bool:
    """Whether ``name``, or a module that holds it, is named like ``pattern``."""
    parts = name.split(".")
    return any(fnmatch.fnmatchcase(".".join(parts[: i + 1]), pattern) for i in range(len(parts)))
