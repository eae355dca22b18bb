"""What a worker does with a cell: build, measure, and come back with plain numbers, or with the error."""

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from leadline.studies.sweeps.cells import Cell

# Metrics that are kept of every layer.
LAYER_METRICS = (
    "rms",
    "participation_ratio",
    "mean_square_cosine",
    "distinction",
    "isometry_gap",
    "dead_fraction",
    "saturated_fraction",
    "grad_norm",
    "grad_mean_square_cosine",
    "weight_grad_norm",
)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a cell came to.

    Attributes:
        key: The cell's.
        summary: The numbers and words of the cell by name; empty where it failed.
        layers: Of a profile: a row a layer, in order of execution.
        losses: Of a training: the loss of every step.
        error_type: Class of the error where it failed, otherwise empty.
        error: Its sentence.
        seconds: How long it took, without what the engine adds.
    """

    key: str
    summary: Mapping[str, Any] = field(default_factory=dict)
    layers: tuple[Mapping[str, Any], ...] = ()
    losses: tuple[float, ...] = ()
    error_type: str = ""
    error: str = ""
    seconds: float = math.nan


def measure_all(cells: Sequence[Cell]) -> list[Outcome]:
    """The outcomes of some cells, in their order; what an engine runs as one task."""
    return [measure(cell) for cell in cells]


def measure(cell: Cell) -> Outcome:
    """The outcome of one cell: a function of the cell alone, on one thread.

    An error of the cell is part of the outcome: a combination that a design refuses must not end a sweep.

    >>> found = measure(Cell(design="mlp", options={"depth": 4, "width": 32, "norm": "batch"}, seed=0))
    >>> len(found.layers), found.summary["participation_ratio"] > 2
    (5, True)
    """
    start = time.perf_counter()
    try:
        with _one_thread():
            outcome = _trained(cell) if cell.training else _profiled(cell)
    # Any: the parent is told, and the other cells go on.
    except Exception as error:
        return Outcome(
            key=cell.key,
            error_type=type(error).__name__,
            error=" ".join(str(error).split()) or type(error).__name__,
            seconds=time.perf_counter() - start,
        )
    return Outcome(key=cell.key, seconds=time.perf_counter() - start, **outcome)


@contextmanager
def _one_thread() -> Iterator[None]:
    """The same bits whatever the machine: sums in torch depend on the number of threads."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _loaded(cell: Cell) -> Any:
    from leadline.targets import load

    return load(cell.design, overrides=cell.options, seed=cell.seed, data=cell.data, batch=cell.batch)


def _profiled(cell: Cell) -> dict[str, Any]:
    """A profile and what it is taken to mean, in numbers."""
    from leadline._core.randomness import seeded
    from leadline.doctor import diagnose
    from leadline.probe import profile

    target = _loaded(cell)
    with seeded(cell.seed):  # of dropout
        found = profile(target.model, target.inputs, target.targets, loss=target.loss, seed=cell.seed)
    diagnosis = diagnose(found)
    last, gradients = found.chain[-1], [layer.grad_norm for layer in found.chain]
    summary = {
        # Decades per layer in order of execution: gradients that explode towards the input have a negative rate.
        "log10_grad_norm_rate": found.rate("grad_norm").estimate,
        "log10_rms_rate": found.rate("rms").estimate,
        "max_abs_log10_grad_norm": max(map(_abs_log10, gradients)),
        "participation_ratio": last.participation_ratio,
        "mean_square_cosine": last.mean_square_cosine,
        "distinction": last.distinction,
        "isometry_gap": last.isometry_gap,
        "rms": last.rms,
        "grad_mean_square_cosine": found.chain[0].grad_mean_square_cosine,
        "loss": found.loss,
        "trainable": diagnosis.trainable,
        "depth_limit": diagnosis.depth_limit.estimate if diagnosis.depth_limit else math.nan,
        "findings": " ".join(sorted({finding.code for finding in diagnosis.findings})),
        "chain": len(found.chain),
    }
    layers = [
        {
            "layer": layer.name,
            "kind": layer.kind,
            "in_chain": int(layer.name in chain),
            **{name: getattr(layer, name) for name in LAYER_METRICS},
        }
        for chain in [{layer.name for layer in found.chain}]
        for layer in found.layers
    ]
    return {"summary": summary, "layers": tuple(layers)}


def _abs_log10(value: float) -> float:
    """Decades from 1; infinite for 0 and for what overflowed."""
    if math.isnan(value):
        return math.nan
    return abs(math.log10(value)) if 0 < value < math.inf else math.inf


def _trained(cell: Cell) -> dict[str, Any]:
    """A training run, on batches of the pool where the target has one."""
    from leadline.train import fit, task

    assert cell.training is not None
    target = _loaded(cell)
    drawn = target.pool is not None and target.pool[1] is not None
    inputs, targets = target.pool if drawn and target.pool else (target.inputs, target.targets)
    goal = task(inputs, targets, drawn=drawn, own_loss=targets is None)
    run = fit(
        target.model,
        goal.batches(seed=cell.seed),
        steps=cell.training.steps,
        optimiser=cell.training.optimiser,
        learning_rate=cell.training.learning_rate,
        loss=target.loss,
        seed=cell.seed,
    )
    limit = goal.limit(run.losses[:1])
    summary = {
        "first_loss": run.losses[0],
        "final_loss": run.final,
        "limit": limit,
        "learnt": int(run.final < limit),
        "diverged": int(run.diverged),
        "steps_taken": len(run.losses),
    }
    return {"summary": summary, "losses": run.losses}
