"""Training for a number of steps, with the loss of every step as a plain number."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from leadline._core.checks import check_whole
from leadline._core.errors import UsageError
from leadline._core.losses import settled
from leadline._core.randomness import seeded
from leadline._core.unstored import refuse_unstored
from leadline.probe.inputs import as_batch
from leadline.probe.loss import Loss, scalar_loss
from leadline.train.batches import pairs
from leadline.train.checkpoints import Checkpoint
from leadline.train.logs import forget, writer
from leadline.train.monitoring.monitor import Monitor
from leadline.train.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Run:
    """A training run.

    Attributes:
        optimiser: Its name.
        learning_rate: Of the optimiser.
        losses: The loss of every step, before the step; one that is not finite is the last.
    """

    optimiser: str
    learning_rate: float
    losses: tuple[float, ...]

    @property
    def diverged(self) -> bool:
        """Whether the run ended with a loss that is not finite."""
        return not self.losses or not math.isfinite(self.losses[-1])

    @property
    def final(self) -> float:
        """Mean of the last 20 losses; infinite for a run that diverged."""
        return settled(self.losses)


def fit(
    model: nn.Module,
    batches: Iterable[tuple[Any, Any]],
    *,
    steps: int = 150,
    optimiser: str = "adam",
    learning_rate: float = 1e-3,
    momentum: float = 0.0,
    weight_decay: float | None = None,
    schedule: str = "constant",
    warmup: int = 0,
    clip_norm: float | None = None,
    accumulate: int = 1,
    precision: str = "float32",
    compile: bool = False,
    loss: Loss | None = None,
    seed: int = 0,
    checkpoint: str | Path | Checkpoint | None = None,
    checkpoint_every: int = 100,
    log: Any = None,
    monitor: Monitor | None = None,
    on_step: Callable[[int], object] | None = None,
) -> Run:
    r"""Train ``model``, in place and in train mode.

    A loss that is not finite is recorded and ends the run, and so does a model that raises once its parameters are not
    finite: a run that diverges is a result. Its modes are put back, its gradients are cleared.

    With ``checkpoint`` the same call goes on where an earlier one was stopped, also by ``kill -9``, and comes to the
    same losses and weights, to the bit on a CPU. For that the batches must be the same again: those of the steps that
    are done are taken and thrown away.

    Args:
        model: The model.
        batches: Pairs of inputs and targets, gone through again when they end; inputs as for ``leadline.profile``.
        steps: Steps to take, from 1.
        optimiser: ``"adam"``, ``"adamw"`` or ``"sgd"``, of ``torch.optim``, with its defaults but for what follows.
        learning_rate: Of the optimiser, positive.
        momentum: Of ``"sgd"``, in [0, 1).
        weight_decay: Of the optimiser; by default its own, which is .01 for ``"adamw"`` and 0 for the others.
        schedule: Of the rate after the warm-up: ``"constant"``, ``"cosine"`` or ``"linear"`` to 0 at the last step, or
            ``"step"``, a tenth from half of the steps on and a hundredth from three quarters on.
        warmup: Steps over which the rate rises in equal parts; step $k$ of $w$ has $k/(w+1)$ of it.
        clip_norm: Largest norm of the gradient of all parameters, which is scaled down to it; by default any.
        accumulate: Batches of a step, whose mean loss is descended on: the gradient of one batch that holds them all
            where they are of one size, but for what a model does to a whole batch, such as batch normalisation.
        precision: ``"bfloat16"`` runs the model in ``torch.autocast``; parameters and loss stay as they are.
        compile: Whether to run the model through ``torch.compile``.
        loss: ``loss(outputs, targets)``, a scalar; by default as for ``leadline.profile``.
        seed: What dropout and its like start from; the global generator is left alone. The same seed and batches give
            the same losses on the same machine.
        checkpoint: A folder that keeps the run, and from which it goes on; a ``Checkpoint`` where it shall be told from
            runs on other data.
        checkpoint_every: Steps between two writes of it; it is also written at the end.
        log: Where the loss, the rate and the norm of the gradient before it is clipped go after every step: a path
            ending in ``.csv`` or ``.jsonl``, a function of a dict, a writer of TensorBoard, a run of Weights & Biases.
        monitor: One of this model, attached; it is told of every step, before the gradient is clipped.
        on_step: Called after every step, with how many are done.

    Returns:
        The run: at most ``steps`` losses.

    Raises:
        UsageError: If an argument is out of range, there is no batch, no targets and no loss, nothing to train, or the
            checkpoint is of another run.

    Example:
        >>> x = torch.linspace(-1, 1, 32).reshape(32, 1)
        >>> model = nn.Linear(1, 1)
        >>> run = fit(model, [(x, 2 * x)], steps=300, learning_rate=0.1)
        >>> len(run.losses), run.final < 1e-3
        (300, True)
    """
    settings = Settings(
        steps=steps, optimiser=optimiser, learning_rate=learning_rate, momentum=momentum, weight_decay=weight_decay,
        schedule=schedule, warmup=warmup, clip_norm=clip_norm, accumulate=accumulate, precision=precision, seed=seed,
    )  # fmt: skip
    check_whole("checkpoint_every", checkpoint_every, least=1)
    refuse_unstored(model, optimiser=optimiser)
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not parameters:
        raise UsageError(f"This {type(model).__name__} has no parameter that requires a gradient: nothing to train.")
    write = writer(log)
    kept = Checkpoint(checkpoint) if isinstance(checkpoint, (str, Path)) else checkpoint
    if kept:
        kept.settings |= settings.record()
    modes = [(module, module.training) for module in model.modules()]
    with seeded(seed), torch.inference_mode(False), torch.enable_grad():
        try:
            model.train()
            update = settings.update(parameters)
            losses = kept.restore(model, update)[:steps] if kept else []
            if kept:
                forget(log, after=len(losses))
            descent = _Descent(model, loss, settings, update, done=len(losses), compiled=compile)
            descent.monitor, descent.logged = monitor, log is not None
            ended = bool(losses) and not math.isfinite(losses[-1])
            for micro in () if ended else _taken(batches, steps, accumulate=accumulate, done=len(losses)):
                losses.append(descent.step(micro))
                write(len(losses), descent.scalars)
                ended = not math.isfinite(losses[-1])
                if kept and (ended or len(losses) % checkpoint_every == 0 or len(losses) == steps):
                    kept.save(model, update, losses)
                if on_step is not None:
                    on_step(len(losses))
                if ended:
                    break
        finally:
            model.zero_grad(set_to_none=True)
            for module, training in modes:
                module.training = training
    return Run(optimiser=optimiser, learning_rate=learning_rate, losses=tuple(losses))


def _taken(
    batches: Iterable[tuple[Any, Any]], steps: int, *, accumulate: int, done: int
) -> Iterator[list[tuple[Any, Any]]]:
    """The batches of each of ``steps`` steps, from the start again where they end; those of the first are skipped."""
    taken, micro, needed = 0, list[tuple[Any, Any]](), steps * accumulate
    while taken < needed:
        before = taken
        for batch in pairs(batches):
            taken += 1
            if taken > done * accumulate:
                micro.append(batch)
            if len(micro) == accumulate:
                yield micro
                micro = []
            if taken >= needed:
                return
        if taken == before:
            raise UsageError(
                f"The batches ended after {taken // accumulate} of {steps} steps and cannot be gone through again."
                if taken
                else "There is no batch to train on."
            )


class _Descent:
    """Steps of one run, and what there is to log of the last."""

    def __init__(
        self,
        model: nn.Module,
        loss: Loss | None,
        settings: Settings,
        update: torch.optim.Optimizer,
        *,
        done: int,
        compiled: bool,
    ):
        self._model, self._loss, self._settings, self._update = model, loss, settings, update
        self._rates = settings.rates(update, done=done)
        self._run: Callable[..., Any] = torch.compile(model) if compiled else model
        self._parameters = [p for group in update.param_groups for p in group["params"]]
        self.scalars: dict[str, float] = {}
        self.monitor: Monitor | None = None
        self.logged = False

    def step(self, micro: Sequence[tuple[Any, Any]]) -> float:
        """One step; the loss before it. Where that is not finite there is no step."""
        self._update.zero_grad()
        total = sum(self._backward(inputs, targets, share=1 / len(micro)) for inputs, targets in micro)
        rate = float(self._update.param_groups[0]["lr"])
        self.scalars = {"loss": total, "learning_rate": rate}
        if self.monitor is not None:
            self.monitor.step(total)
        if math.isfinite(total):
            grads = [p.grad for p in self._parameters if p.grad is not None]
            if self.logged or self._settings.clip_norm:
                norm = nn.utils.get_total_norm(grads)
                self.scalars["grad_norm"] = norm.item()
                if self._settings.clip_norm:
                    nn.utils.clip_grads_with_norm_(self._parameters, self._settings.clip_norm, norm)
            self._update.step()
            self._rates.step()
        return total

    def _backward(self, inputs: Any, targets: Any, *, share: float) -> float:
        """The share of this batch in the loss, its gradient added to the others'."""
        batch = as_batch(inputs, targets, self._model)
        device = self._parameters[0].device.type
        try:
            with torch.autocast(device, torch.bfloat16, enabled=self._settings.precision == "bfloat16"):
                outputs = self._run(*batch.args, **batch.kwargs)
            value, kind = scalar_loss(outputs, targets, self._loss, seed=0)
        except UsageError:
            raise
        except Exception:
            # Not a number is refused by some models in words of their own.
            if all(parameter.detach().isfinite().all() for parameter in self._model.parameters()):
                raise
            return math.nan
        if kind == "cotangent":
            raise UsageError(
                "There is nothing to train for: the batch has no targets, and the model no loss of its own."
            )
        number = value.item()
        if math.isfinite(number):
            (value if share == 1 else share * value).backward()
        return share * number
