"""Training for a number of steps, with the loss of every step as a plain number."""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from leadline._core.errors import UsageError
from leadline._core.losses import settled
from leadline._core.names import check_choice
from leadline._core.randomness import seeded
from leadline._core.unstored import refuse_unstored
from leadline.probe.inputs import as_batch
from leadline.probe.loss import Loss, scalar_loss

OPTIMISERS = ("adam", "adamw", "sgd")


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
    loss: Loss | None = None,
    seed: int = 0,
    on_step: Callable[[int], object] | None = None,
) -> Run:
    """Train ``model``, in place and in train mode.

    A loss that is not finite is recorded and ends the run, and so does a model that raises once its parameters are not
    finite: a run that diverges is a result. Its modes are put back, its gradients are cleared.

    Args:
        model: The model.
        batches: Pairs of inputs and targets, gone through again when they end; inputs as for ``leadline.profile``.
        steps: Steps to take, from 1.
        optimiser: ``"adam"``, ``"adamw"`` or ``"sgd"``, of ``torch.optim``, with its defaults but for the rate.
        learning_rate: Of the optimiser, positive.
        loss: ``loss(outputs, targets)``, a scalar; by default as for ``leadline.profile``.
        seed: What dropout and its like start from; the global generator is left alone. The same seed and batches give
            the same losses on the same machine.
        on_step: Called after every step, with how many are done.

    Returns:
        The run: at most ``steps`` losses.

    Raises:
        UsageError: If an argument is out of range, there is no batch, no targets and no loss, or nothing to train.

    Example:
        >>> x = torch.linspace(-1, 1, 32).reshape(32, 1)
        >>> model = nn.Linear(1, 1)
        >>> run = fit(model, [(x, 2 * x)], steps=300, learning_rate=0.1)
        >>> len(run.losses), run.final < 1e-3
        (300, True)
    """
    check_choice("optimiser", optimiser, OPTIMISERS)
    if steps < 1:
        raise UsageError(f"Training takes at least 1 step; got {steps}.")
    if not 0 < learning_rate < math.inf:
        raise UsageError(f"The learning rate must be positive and finite; got {learning_rate}.")
    refuse_unstored(model, optimiser=optimiser)
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not parameters:
        raise UsageError(f"This {type(model).__name__} has no parameter that requires a gradient: nothing to train.")
    kinds = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}
    modes = [(module, module.training) for module in model.modules()]
    losses: list[float] = []
    with seeded(seed), torch.inference_mode(False), torch.enable_grad():
        try:
            model.train()
            update = kinds[optimiser](parameters, lr=learning_rate)
            for inputs, targets in _taken(batches, steps):
                losses.append(_step(model, inputs, targets, loss, update))
                if on_step is not None:
                    on_step(len(losses))
                if not math.isfinite(losses[-1]):
                    break
        finally:
            model.zero_grad(set_to_none=True)
            for module, training in modes:
                module.training = training
    return Run(optimiser=optimiser, learning_rate=learning_rate, losses=tuple(losses))


def _taken(batches: Iterable[tuple[Any, Any]], steps: int) -> Iterator[tuple[Any, Any]]:
    """``steps`` batches, from the start again where they end."""
    taken = 0
    while taken < steps:
        before = taken
        for batch in batches:
            yield batch
            taken += 1
            if taken == steps:
                return
        if taken == before:
            raise UsageError(
                f"The batches ended after {taken} of {steps} steps and cannot be gone through again."
                if taken
                else "There is no batch to train on."
            )


def _step(model: nn.Module, inputs: Any, targets: Any, loss: Loss | None, update: torch.optim.Optimizer) -> float:
    """One step; the loss before it. Where that is not finite there is no step."""
    batch = as_batch(inputs, targets, model)
    try:
        value, kind = scalar_loss(model(*batch.args, **batch.kwargs), targets, loss, seed=0)
    except UsageError:
        raise
    except Exception:
        # Not a number is refused by some models in words of their own.
        if all(parameter.detach().isfinite().all() for parameter in model.parameters()):
            raise
        return math.nan
    if kind == "cotangent":
        raise UsageError("There is nothing to train for: the batch has no targets, and the model no loss of its own.")
    number = value.item()
    if math.isfinite(number):
        update.zero_grad()
        value.backward()
        update.step()
    return number
