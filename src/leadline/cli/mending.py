"""What one fix came to, as data, as a page for the terminal, and as files. Loads torch; the command imports it."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from leadline._core.errors import UsageError
from leadline._core.outputs import named_output
from leadline._core.randomness import seeded
from leadline._core.records import encode
from leadline._core.repair import Repair
from leadline.cli.folder import SEAL, whole_folder
from leadline.cli.weights import save_weights
from leadline.doctor.repairs import Repaired, repair
from leadline.probe.guard import undisturbed
from leadline.probe.inputs import as_batch
from leadline.reporting import report
from leadline.reporting.comparison import Comparison
from leadline.reporting.terminal_repair import repair_summary
from leadline.targets import Target
from leadline.targets.foreign import model_told
from leadline.train import Task, task

SCHEMA = 1
WEIGHTS, REPORT = "model.safetensors", "report.html"


@dataclass(frozen=True, kw_only=True)
class Mending:
    """A repair of a target.

    Attributes:
        target: What was repaired; its model is as the repair left it.
        found: The repair and what its profiles mean.
        built_with: What the target was loaded with beside its name.
        dry_run: Whether nothing was to be done.
    """

    target: Target
    found: Comparison
    built_with: Mapping[str, Any]
    dry_run: bool = False

    def document(self) -> dict[str, Any]:
        """What ``--json`` writes: the schema, the repair, and both diagnoses without the profiles, which it holds."""
        record = {field.name: getattr(self.found.repair, field.name) for field in dataclasses.fields(Repair)}
        sides = {"before": encode(self.found.before), "after": encode(self.found.after)}
        for side in sides.values():
            del side["profile"]
        return {"schema": SCHEMA, "repair": encode(record), **sides}

    def keep(self, folder: Path) -> list[Path]:
        """Write the record, the weights and the report, all of them or nothing; where they are."""
        with whole_folder(folder) as place:
            save_weights(self.target.model, place / WEIGHTS)
            report(self.found.repair, place / REPORT)
            self.found.repair.save(place / SEAL)
        return [folder / name for name in (SEAL, WEIGHTS, REPORT)]

    def page(self, *, width: int, out: Path | None) -> RenderableType:
        """What is printed; below the verdict what became of the weights, where that needs saying."""
        kept = None if self.dry_run else out
        use = self._use(kept) if kept and self.found.repair.recipe else []
        lines = []
        if self.found.repair.recipe and not self.dry_run and not kept:
            lines.append("The repaired weights were not kept; --out DIR writes them.")
        if self.dry_run and out:
            lines.append(f"A dry run: nothing was written to {out}.")
        summary = repair_summary(self.found, width=width, title=self.target.description, use=use)
        return Group(summary, *(Text(line, style="dim") for line in lines))

    def _use(self, folder: Path) -> list[str]:
        """Lines of Python that make the repaired model."""
        asked = {name: value for name, value in self.built_with.items() if name not in ("batch", "device")}
        options = "".join(f", {name}={value!r}" for name, value in asked.items())
        return [
            "from leadline import Repair",
            "from leadline.targets import load",
            "",
            "# Or a fresh model of the same code, however you build it.",
            f'model = load("{self.target.name}"{options}).model',
            f'repair = Repair.load("{folder / SEAL}")',
            f'repair.apply(model, "{folder / WEIGHTS}")',
        ]


def trained_on(target: Target, *, asked: str) -> Task:
    """What a target is trained on: all samples where the batch is of a data set, otherwise the batch.

    Args:
        target: What was loaded.
        asked: The words of the command line that make it train.

    Raises:
        UsageError: If there is nothing to train for.
    """
    if target.targets is None and target.loss is None and not _has_own_loss(target):
        raise UsageError(
            f"{asked} needs something to train for, but the batch of {target.name} has no targets "
            "and its model no loss of its own: return (module, inputs, targets), or take --data digits where that "
            "suits the model."
        )
    own_loss = target.targets is None or target.loss is not None
    if target.pool is not None and target.pool[1] is not None:
        return task(*target.pool, drawn=True, own_loss=own_loss)
    return task(target.inputs, target.targets, own_loss=own_loss)


def _has_own_loss(target: Target) -> bool:
    batch = as_batch(target.inputs, target.targets, target.model)
    with model_told(), undisturbed(target.model):
        return named_output(target.model(*batch.args, **batch.kwargs), "loss") is not None


def mended(target: Target, *, seed: int, **how: Any) -> Repaired:
    """The model of ``target`` repaired in place; the notes of the profile before name the target.

    What the model draws as it runs, such as dropout, comes from the seed too.

    Raises:
        UsageError: As ``leadline.repair``, in the words of the command line.
    """
    try:
        with model_told(), seeded(seed):
            found = repair(target.model, target.inputs, target.targets, loss=target.loss, seed=seed, **how)
    except UsageError as error:
        raise UsageError(str(error).replace("Pass force=True", "Give --force")) from error
    before = replace(found.before, notes=(f"Repaired: {target.description}.", *found.before.notes))
    return replace(found, before=before)
