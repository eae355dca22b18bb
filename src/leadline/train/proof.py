"""The proof of a repair: the model as it was and as it is, trained alike."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

from torch import nn

from leadline._core.losses import LAST, settled
from leadline._core.repair import Curve, Proof
from leadline._core.wording import listed
from leadline.doctor.repairs import Repaired
from leadline.doctor.repairs.snapshot import Snapshot
from leadline.probe.guard import undisturbed
from leadline.probe.loss import Loss
from leadline.probe.modules import unwrapped
from leadline.train.fitting import fit
from leadline.train.task import Task

LEARNING_RATES = (1e-2, 1e-3, 1e-4)
STEPS = 150


def prove(
    repair: Repaired,
    model: nn.Module,
    task: Task,
    *,
    loss: Loss | None = None,
    on_step: Callable[[int, int], object] | None = None,
) -> Repaired:
    """Train the model as it was and as it is now, each at three rates, and see which of the two learns.

    Adam at 0.01, 0.001 and 0.0001, 150 steps each, on the same batches. A model has learnt if at some rate the mean
    loss of the last 20 steps is below the task's limit; it is one run a rate on one task, and shows no more than that.
    Afterwards the model is as it was given, to the bit, also after an interruption.

    Args:
        repair: What ``leadline.repair`` returned.
        model: The model that it repaired.
        task: What to train on.
        loss: As it was given to ``leadline.repair``.
        on_step: Called after every step with how many are done, and of how many.

    Returns:
        The repair, with its proof.

    Raises:
        UsageError: If there is nothing to train for.

    Example:
        >>> import leadline
        >>> from leadline.targets import load
        >>> target = load("mlp:depth=4,width=32", batch=32)
        >>> repair = leadline.repair(target.model, target.inputs, target.targets, recipe="unit-variance")
        >>> proof = prove(repair, target.model, leadline.train.task(target.inputs, target.targets)).proof
        >>> len(proof.curves), proof.learnt_after
        (6, True)
    """
    repaired = Snapshot(unwrapped(model))
    total = 2 * len(LEARNING_RATES) * STEPS
    curves: list[Curve] = []
    sides: Sequence[Literal["before", "after"]] = ("before", "after")
    try:
        for side in sides:
            repair.undo() if side == "before" else repaired.restore()
            for rate in LEARNING_RATES:
                done = len(curves) * STEPS
                told = None if on_step is None else lambda step, done=done: on_step(done + step, total)
                losses = _losses(model, task, rate, loss=loss, seed=repair.seed, on_step=told)
                curves.append(Curve(model=side, learning_rate=rate, losses=losses))
    finally:
        repaired.restore()
    firsts = [curve.losses[0] for curve in curves]
    curves = [replace(curve, learnt=settled(curve.losses) < task.limit(firsts)) for curve in curves]
    learnt = {curve.model for curve in curves if curve.learnt}
    proof = Proof(
        rule=f"Adam at {listed([f'{rate:g}' for rate in LEARNING_RATES])}, {STEPS} steps on {task.about} (seed "
        f"{repair.seed}); learnt where the mean loss of the last {LAST} steps is {task.rule(firsts)}.",
        curves=tuple(curves),
        learnt_before="before" in learnt,
        learnt_after="after" in learnt,
    )
    return replace(repair, proof=proof)


def _losses(
    model: nn.Module,
    task: Task,
    rate: float,
    *,
    loss: Loss | None,
    seed: int,
    on_step: Callable[[int], object] | None,
) -> tuple[float, ...]:
    """The losses of one run; the model is put back behind it."""
    start, batches = Snapshot(unwrapped(model)), task.batches(seed=seed)
    try:
        with undisturbed(model):
            run = fit(model, batches, steps=STEPS, learning_rate=rate, loss=loss, seed=seed, on_step=on_step)
    finally:
        start.restore()
    return run.losses
