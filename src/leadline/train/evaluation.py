"""Loss and accuracy on samples that were not trained on, with moments that fit the depth."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from leadline._core.buffers import Buffers
from leadline._core.errors import UsageError
from leadline._core.names import check_choice
from leadline._core.outputs import named_output
from leadline._core.randomness import kept_rng
from leadline.nn.normalisation import recalibrate
from leadline.probe.inputs import as_batch
from leadline.probe.loss import Loss, main_output, scalar_loss
from leadline.train.batches import pairs

STATISTICS = ("running", "batch", "recalibrated")


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What a model does on samples.

    Attributes:
        loss: Mean over the samples.
        accuracy: Share whose largest output is the label's; ``None`` where targets are no labels.
        samples: How many there were.
        statistics: Which moments the batch normalisations used.
    """

    loss: float
    accuracy: float | None
    samples: int
    statistics: str


def evaluate(
    model: nn.Module,
    batches: Iterable[tuple[Any, Any]],
    *,
    statistics: str = "running",
    calibration: Iterable[Any] | None = None,
    loss: Loss | None = None,
) -> Evaluation:
    """Loss and accuracy in eval mode, with one of three kinds of moments in the batch normalisations.

    * ``"running"``: the running moments as training left them, which is what ``model.eval()`` does. Each is an average
      over steps at which the weights were others, and torch's variance is divided by n - 1, so that every layer is off
      by a little. The next layer takes that for another input, and with depth the errors multiply: 300 linear layers
      that have learnt the digits test at a loss of 1.35 nats with them and at .45 without, 1000 at chance.
    * ``"recalibrated"``: running moments measured anew on ``calibration`` with the weights as they are, as
      ``leadline.nn.recalibrate`` does. It agrees with training at any depth, and no sample depends on another that
      is evaluated beside it: the right choice for a deep network.
    * ``"batch"``: the moments of the evaluated batch itself. It needs nothing else, but an output then depends on
      the batch that a sample comes in.

    The model is left as it was, running moments included; ``leadline.nn.recalibrate`` itself keeps them.

    Args:
        model: The model.
        batches: Pairs of inputs and targets, gone through once; inputs as for ``leadline.profile``.
        statistics: One of the three.
        calibration: Inputs, of training samples, for ``"recalibrated"``: what the model is called with. Large batches
            are best.
        loss: As for ``fit``; a mean over the samples of its batch.

    Raises:
        UsageError: If there is no batch, no such kind, or nothing to recalibrate on.

    Example:
        >>> x = torch.linspace(-1, 1, 32).reshape(32, 1)
        >>> evaluate(nn.Linear(1, 2).eval(), [(x, (x[:, 0] > 0).long())]).samples
        32
    """
    check_choice("statistics", statistics, STATISTICS)
    if statistics == "recalibrated" and calibration is None:
        raise UsageError("Recalibrated moments need calibration=: inputs of training samples to measure them on.")
    total, right, labelled, samples = 0.0, 0, 0, 0
    modes = [(module, module.training) for module in model.modules()]
    buffers = Buffers(model)
    with kept_rng(), torch.no_grad():
        try:
            model.eval()
            if statistics == "recalibrated":
                recalibrate(model, calibration or ())
            with _moments_of_batches(model) if statistics == "batch" else nullcontext():
                for inputs, targets in pairs(batches):
                    batch = as_batch(inputs, targets, model)
                    outputs = model(*batch.args, **batch.kwargs)
                    value = _mean_loss(outputs, targets, loss)
                    total, samples = total + batch.size * value, samples + batch.size
                    output = main_output(outputs)
                    if isinstance(targets, Tensor) and not targets.is_floating_point() and output is not None:
                        found = _right(output, targets)
                        right, labelled = right + int(found.sum()), labelled + found.numel()
        finally:
            buffers.put_back()
            for module, training in modes:
                module.training = training
    if not samples:
        raise UsageError("There is no batch to evaluate on.")
    return Evaluation(
        loss=total / samples,
        accuracy=right / labelled if labelled else None,
        samples=samples,
        statistics=statistics,
    )


def _mean_loss(outputs: Any, targets: Any, loss: Loss | None) -> float:
    if loss is not None:
        return float(loss(outputs, targets))
    own, output = named_output(outputs, "loss"), main_output(outputs)
    if targets is None and own is not None:
        return own.item()
    if targets is None or output is None:
        raise UsageError("There is nothing to evaluate: the batch has no targets, and the model no loss of its own.")
    with torch.enable_grad():
        # What training would refuse, an output without a gradient, is no mistake here.
        return scalar_loss(output.detach().requires_grad_(), targets, None, seed=0)[0].item()


def _right(output: Tensor, labels: Tensor) -> Tensor:
    """Whether the largest output is the label's, for the labels that count."""
    guesses = output.argmax(-1 if output.shape[:-1] == labels.shape else 1).flatten()
    labels = labels.to(guesses.device).flatten()
    return (guesses == labels)[labels != -100]


def _norms(model: nn.Module) -> list[_BatchNorm]:
    return [part for part in model.modules() if isinstance(part, _BatchNorm)]


@contextmanager
def _moments_of_batches(model: nn.Module) -> Iterator[None]:
    """Batch normalisations use the batch's moments and note none."""
    norms = [(norm, norm.training, norm.track_running_stats) for norm in _norms(model)]
    try:
        for norm, _, _ in norms:
            norm.train()
            norm.track_running_stats = False
        yield
    finally:
        for norm, training, tracked in norms:
            norm.training, norm.track_running_stats = training, tracked
