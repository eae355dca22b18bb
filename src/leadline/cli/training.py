"""One training of a target, as data and as a page for the terminal. Loads torch; the command imports it."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Group, RenderableType
from rich.text import Text
from torch import Tensor

from leadline._core.diagnosis import Finding
from leadline._core.errors import MissingExtraError, UsageError
from leadline._core.records import encode
from leadline._core.wording import count, figure, number
from leadline.cli.mending import trained_on
from leadline.data import load as load_data
from leadline.probe.inputs import as_batch
from leadline.reporting.terminal_table import Column, fitted_table
from leadline.targets import Target
from leadline.targets.foreign import model_told
from leadline.targets.placement import place
from leadline.train import Checkpoint, Evaluation, Monitor, Run, evaluate, fit, shuffled

SCHEMA = 1
_STEPS = 500
_ROWS = 8  # losses that are shown of a run
_AT_ONCE = 500  # samples that are evaluated together


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What a training came to.

    Attributes:
        title: What was trained on what, in a line.
        how: Optimiser, rate and steps in a line.
        run: Its losses.
        seconds: What they took, in this process.
        train: What the model does on the samples that it was trained on.
        test: And on the test part; ``None`` where there is none.
        findings: What the monitor found.
    """

    title: str
    how: str
    run: Run
    seconds: float
    train: Evaluation | None
    test: Evaluation | None
    findings: tuple[Finding, ...]

    def document(self) -> dict[str, Any]:
        """What ``--json`` writes."""
        return {
            "schema": SCHEMA,
            "title": self.title,
            "run": encode(self.run),
            "diverged": self.run.diverged,
            "seconds": round(self.seconds, 3),
            "train": encode(self.train),
            "test": encode(self.test),
            "findings": encode(self.findings),
        }

    def page(self, *, width: int) -> RenderableType:
        """What is printed; the verdict last."""
        losses = self.run.losses
        marks = sorted({round(1 + (len(losses) - 1) * k / (_ROWS - 1)) for k in range(_ROWS)}) if losses else []
        columns = [
            Column(header="step", cells=[str(mark) for mark in marks]),
            Column(header="loss", cells=[number(losses[mark - 1]) for mark in marks]),
        ]
        lines = [Text(f"{finding.severity}: {finding.message}") for finding in self.findings]
        return Group(
            Text(self.title, style="bold"),
            Text(self.how, style="dim"),
            fitted_table(columns, width=width),
            *lines,
            Text(self._verdict(), style="bold red" if self.run.diverged else "bold"),
        )

    def _verdict(self) -> str:
        if self.run.diverged:
            return f"Diverged: the loss of step {len(self.run.losses)} is no finite number."
        parts = [f"Loss {figure(self.run.final)} over the last steps"]
        for name, found in (("training", self.train), ("test", self.test)):
            if found is not None and found.accuracy is not None:
                parts.append(f"{100 * found.accuracy:.1f} % right of {count(found.samples, f'{name} sample')}")
        moments = "" if self.test is None or self.test.statistics == "running" else ", moments recalibrated"
        return f"{'; '.join(parts)}{moments}."


class Training:
    """A target with what it is trained and tested on.

    Args:
        target: What was loaded.
        data: Name of the data set as it was asked for; by default that of the target's batch.
        seed: Of the order of the samples.
    """

    def __init__(self, target: Target, *, data: str | None, seed: int):
        self._target, self._seed, self._name = target, seed, data or "digits"
        self._size = as_batch(target.inputs, target.targets, target.model).size
        self._train: tuple[Tensor, Tensor] | None = None
        self._test: tuple[Tensor, Tensor] | None = None
        if target.pool is not None and target.pool[1] is not None:
            self._train, self._test = (self._part(self._name, split) for split in ("train", "test"))
            if self._size > len(self._train[0]):
                raise UsageError(f"A batch has at most {len(self._train[0])} samples here; got --batch {self._size}.")

    def steps(self, *, steps: int | None, epochs: float | None, accumulate: int) -> int:
        """How many steps to take."""
        if epochs is None:
            return steps or _STEPS
        whole = 1 if self._train is None else len(self._train[0]) // self._size
        return max(1, round(epochs * whole / accumulate))

    def kept_in(self, folder: Path) -> Checkpoint:
        """The run in ``folder``, told from those of other targets and batches."""
        return Checkpoint(folder, about={"target": self._target.description, "batch": self._size})

    def run(self, *, watch: int | None, **how: Any) -> Trained:
        """Train, and evaluate what came of it."""
        model, findings, start = self._target.model, list[Finding](), time.perf_counter()
        with model_told():
            if watch is None:
                run = fit(model, self._batches(), loss=self._target.loss, seed=self._seed, **how)
            else:
                with Monitor(model, every=watch, on_finding=findings.append) as monitor:
                    run = fit(model, self._batches(), loss=self._target.loss, seed=self._seed, monitor=monitor, **how)
            seconds = time.perf_counter() - start
            train, test = (None, None) if run.diverged else (self._evaluated(self._train), self._evaluated(self._test))
        schedule = "" if how["schedule"] == "constant" else f", {how['schedule']} schedule"
        warmup = f", warm-up over {count(how['warmup'], 'step')}" if how["warmup"] else ""
        return Trained(
            title=self._title(),
            how=f"{run.optimiser}, rate {figure(run.learning_rate)}{schedule}{warmup}, "
            f"{count(len(run.losses), 'step')}, {figure(seconds)} s",
            run=run,
            seconds=seconds,
            train=train,
            test=test,
            findings=tuple(findings),
        )

    def _part(self, name: str, split: str) -> tuple[Tensor, Tensor]:
        part = load_data(name, split, standardise=True)
        like = self._target.inputs
        assert isinstance(like, Tensor) and part.targets is not None
        return place((part.samples, part.targets), device=like.device, dtype=like.dtype)

    def _title(self) -> str:
        if self._train is None:
            return f"{self._target.description}, the same at every step"
        samples = "digits" if self._name == "digits" else f"images of {self._name}"
        return f"{self._target.name} on {len(self._train[0])} {samples}, batches of {self._size}, seed {self._seed}"

    def _batches(self) -> Iterator[tuple[Any, Any]]:
        if self._train is None:
            return trained_on(self._target, asked="leadline train").batches(seed=self._seed)
        generator = torch.Generator().manual_seed(self._seed)
        return shuffled(*self._train, size=self._size, generator=generator)

    def _evaluated(self, part: tuple[Tensor, Tensor] | None) -> Evaluation | None:
        """With moments measured anew where there are any, since running ones are off in deep networks."""
        if part is None or self._train is None:
            return None
        batches = list(zip(part[0].split(_AT_ONCE), part[1].split(_AT_ONCE), strict=True))
        tracked = any(isinstance(m, torch.nn.modules.batchnorm._BatchNorm) for m in self._target.model.modules())
        return evaluate(
            self._target.model,
            batches,
            statistics="recalibrated" if tracked else "running",
            calibration=self._train[0].split(_AT_ONCE),
            loss=self._target.loss,
        )


def event_writer(path: Path | None) -> Any:
    """The path of a file as it is; a writer of TensorBoard for a folder.

    Raises:
        MissingExtraError: If that is not installed.
    """
    if path is None or path.suffix:
        return path
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise MissingExtraError(
            "A log for TensorBoard needs the package tensorboard: run `pip install tensorboard`, or give a .csv file."
        ) from error
    return SummaryWriter(path)
