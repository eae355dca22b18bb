"""Watches a model while it trains: on some of the steps, and with nothing on the model on all others."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from leadline._core.diagnosis import Finding
from leadline._core.errors import UsageError
from leadline.probe.modules import anatomy
from leadline.probe.select import Layers, plan
from leadline.probe.spectra import Spectra
from leadline.train.logs import writer
from leadline.train.monitoring.findings import findings
from leadline.train.monitoring.merging import numbers, world_size
from leadline.train.monitoring.parameters import local_copies, squared_changes, squared_norms
from leadline.train.monitoring.reading import Reading
from leadline.train.monitoring.sums import Buffers
from leadline.train.monitoring.watching import Watch

_SPECTRAL = ("participation_ratio", "effective_rank", "isometry_gap")
_BLIND = "{} of {} layers are compiled and take no hooks: their outputs are not measured, parameters and gradients are."


class Monitor:
    """Measures outputs, gradients and parameters of every layer on each ``every``-th optimiser step.

    Call ``step()`` once per optimiser step, after the last ``backward()`` and before the optimiser and any clipping.
    Hooks are on the model during monitored steps only. Outputs, gradients, generators and ``.grad`` stay bit for bit
    what they are without a monitor. All micro-batches since the last ``step()`` count as one batch, and under
    ``torch.distributed`` all processes do, if their batches are of equal size: ``step()`` is then called by all.

    ``rms``, ``norm``, dead and saturated fractions are of all entries; ``distinction`` and ``mean_cosine`` of 32 rows
    at most, evenly taken, of a call and process, and of 16 where a row has more than 16384 entries; spectra of ``rows``
    rows of the first call in this process.
    Rows are samples, of tensors with three axes positions. A module that is called twice is one layer.

    Under ``torch.compile`` modules take no hooks: there only parameters and their gradients are measured, and
    ``Reading.blind`` says so. Dead units are told of ReLU, ReLU6 and Hardswish, saturation of tanh and sigmoid and
    their hard kin, where they are modules; ``leadline.profile`` sees more.

    A monitored step costs less on the CPU with the extra ``fast``: there one compiled loop reads each contiguous tensor
    in single or double precision once, with the same numbers to rounding.

    Args:
        model: Any model, wrapped (DDP, FSDP2) or not.
        every: Optimiser steps from one monitored step to the next; the first step is one.
        spectrum_every: Monitored steps from one with spectra to the next; ``None``: no spectra.
        rows: Rows at most that spectra are of, at least 2; fewer than 32 bound the others too.
        log: ``None``, a path (``.csv``, ``.jsonl``), a function of a dict, or a writer (TensorBoard, Weights & Biases).
            Only the first process writes.
        layers: ``"leaves"``, ``"blocks"``, patterns of dotted names, or a predicate, as in ``leadline.profile``.
        per_layer: Log every number of every layer, and not a few that tell of all.
        updates: Measure ``update_ratio``, the norm of what the optimiser's last step before the monitored one changed
            a layer's parameters by, over their norm. It costs a copy of the parameters, made a step ahead.
        after_clipping: ``step()`` is called after clipping: gradients of parameters are taken at the end of each
            backward pass, the last of which counts.
        on_finding: Called with each finding when it first appears.

    Raises:
        UsageError: If a number is too small, ``log`` is no place to log to, or a pattern matches no module.

    Example:
        >>> model = torch.nn.Linear(4, 2)
        >>> with Monitor(model, every=10) as monitor:
        ...     model(torch.ones(8, 4)).sum().backward()
        ...     reading = monitor.step()
        >>> round(reading.layers[""]["grad_rms"], 3)
        1.0
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        every: int = 50,
        spectrum_every: int | None = 10,
        rows: int = 64,
        log: Any = None,
        layers: Layers = "leaves",
        per_layer: bool = False,
        updates: bool = False,
        after_clipping: bool = False,
        on_finding: Callable[[Finding], object] | None = None,
    ):
        for name, value, least in (("every", every, 1), ("spectrum_every", spectrum_every, 1), ("rows", rows, 2)):
            if value is not None and value < least:
                raise UsageError(f"{name} must be at least {least}, got {value}.")
        self.readings: list[Reading] = []
        self.findings: list[Finding] = []
        self.steps = 0
        self._every, self._spectrum_every, self._rows = every, spectrum_every, rows
        self._parts = anatomy(model)
        chosen = plan(self._parts, layers).early
        compiled = _compiled(model)
        self._layers = {p: m for p, m in self._parts.modules.items() if p in chosen and m not in compiled}
        own = {path: parameters for path, parameters in self._parts.own.items() if path in self._layers}
        self._own = {path: [f"{path}.{key}" if path else key for key in keys] for path, keys in own.items()}
        hidden = len(chosen) - len(self._layers)
        self._blind = _BLIND.format(hidden, len(chosen)) if hidden else ""
        self._write, self._per_layer, self._on_finding = writer(log), per_layer, on_finding
        self._updates, self._after_clipping = updates, after_clipping
        self._before: list[Tensor] | None = None
        self._buffers: Buffers = {}
        self._watch: Watch | None = None
        self._attached, self._monitored = False, 0

    def attach(self) -> "Monitor":
        """Begin; the next step is monitored if it is one of the ``every``-th."""
        self._attached = True
        self._arm()
        return self

    def close(self) -> None:
        """Take everything off the model; doing it twice does no harm."""
        self._attached, self._before = False, None
        self._disarm()
        self._buffers.clear()

    def __enter__(self) -> "Monitor":
        return self.attach()

    def __exit__(self, *exception: object) -> None:
        self.close()

    def step(self, loss: float | Tensor | None = None, *, grad_scale: float = 1.0) -> Reading | None:
        """One optimiser step is about to be taken.

        Args:
            loss: Of the step, for the forecast of divergence.
            grad_scale: What the loss was multiplied with before ``backward`` (``GradScaler.get_scale()``, if gradients
                are not unscaled yet), so that it is taken out of the gradients.

        Returns:
            The numbers if the step was monitored, else ``None``.

        Raises:
            UsageError: If the monitor is not attached.
        """
        if not self._attached:
            raise UsageError("The monitor is not attached; use `with Monitor(model) as monitor:` or call attach().")
        watch, step = self._watch, self.steps
        self.steps += 1
        if watch is None:
            self._arm()
            self._remember()
            return None
        self._disarm()
        reading = self._read(watch, step, loss, grad_scale)
        self._arm()
        self._remember()
        self._raise(reading)
        return reading

    def _arm(self) -> None:
        if self._attached and self._watch is None and self.steps % self._every == 0:
            spectra = self._spectrum_every is not None and self._monitored % self._spectrum_every == 0
            parameters = self._parts.parameters if self._after_clipping else None
            self._watch = Watch(
                self._parts.model,
                self._layers,
                rows=self._rows,
                spectra=spectra,
                early=parameters,
                buffers=self._buffers,
            )

    def _remember(self) -> None:
        # The optimiser's step that follows is the last before a monitored one.
        if self._updates and self._watch is not None:
            self._before = local_copies(list(self._parts.parameters.values()))

    def _disarm(self) -> None:
        if self._watch is not None:
            self._watch.close()
            self._watch = None

    @torch.no_grad()
    def _read(self, watch: Watch, step: int, loss: float | Tensor | None, grad_scale: float) -> Reading:
        world = world_size()
        named = self._parts.parameters
        with_grads = {name: grad for name, p in named.items() if (grad := p.grad) is not None}
        early = watch.early_squares  # none where no backward pass has been, or no parameter has its gradient yet
        if early is not None and len(early) == len(with_grads):
            grads = early
        else:
            grads = squared_norms(list(with_grads.values()), world=world)
        before, self._before = self._before, None
        others = {
            "weight": squared_norms(list(named.values()), world=world),
            "grad": grads,
            "update": squared_changes(list(named.values()), before, world=world) if before is not None else None,
            "loss": None if loss is None else torch.as_tensor(loss).detach().double().reshape(1) / world,
        }
        others = {key: value for key, value in others.items() if value is not None}
        # A mean over processes is taken of gradients of parameters: each has those of its own mean loss.
        found, totals = numbers(watch.sums, others, world=world, grad_size=grad_scale * world)
        squares = {
            "weight": dict(zip(named, totals.get("weight", []), strict=True)),
            "grad": dict(zip(with_grads, totals.get("grad", []), strict=True)),
            "update": dict(zip(named if before is not None else [], totals.get("update", []), strict=True)),
        }
        layers = dict(zip(self._layers, found, strict=True))
        for path, names in self._own.items():
            row, weight = layers[path], _norm(squares["weight"], names)
            if weight is None:
                continue
            row["weight_norm"] = weight
            if (grad := _norm(squares["grad"], names)) is not None:
                row["weight_grad_norm"] = grad / grad_scale
            if before is not None:
                row["update_ratio"] = _ratio(_norm(squares["update"], names) or 0.0, weight)
        kept = watch.sums.kept
        for path, row in _spectra({path: kept[i] for i, path in enumerate(self._layers) if i in kept}).items():
            layers[path] |= row
        self._monitored += 1
        whole = {
            "grad_norm": sum(squares["grad"].values()) ** 0.5 / grad_scale,
            "weight_norm": sum(squares["weight"].values()) ** 0.5,
        }
        if before is not None:
            whole["update_ratio"] = _ratio(sum(squares["update"].values()) ** 0.5, whole["weight_norm"])
        if loss is not None:
            whole["loss"] = totals["loss"][0]
        order = {path: row for path, row in layers.items() if row}
        return Reading(step=step, layers=order, totals=whole, blind=self._blind)

    def _raise(self, reading: Reading) -> None:
        known = {_about(f) for f in self.findings}
        fresh = [f for f in findings(reading, self.readings) if _about(f) not in known]
        self.readings.append(reading)
        self.findings += fresh
        if world_size() == 1 or torch.distributed.get_rank() == 0:
            self._write(reading.step, reading.scalars(per_layer=self._per_layer))
        for finding in fresh:
            if self._on_finding is not None:
                self._on_finding(finding)


def _norm(squares: Mapping[str, float], names: Sequence[str]) -> float | None:
    parts = [squares[name] for name in names if name in squares]
    return sum(parts) ** 0.5 if parts else None


def _ratio(change: float, norm: float) -> float:
    return change / norm if norm else math.nan


def _about(finding: Finding) -> tuple[object, ...]:
    return finding.code, finding.layer, finding.evidence.get("metric")


def _compiled(model: nn.Module) -> set[nn.Module]:
    return {
        inner
        for module in model.modules()
        if "_orig_mod" in module._modules or module._compiled_call_impl is not None
        for inner in module.modules()
    }


def _spectra(rows: Mapping[str, Tensor]) -> dict[str, dict[str, float]]:
    spectra, paths = Spectra(), []
    for path, kept in rows.items():
        if len(kept) > 1:
            x = kept[None]
            spectra.add(x @ x.mT, lambda which, x=x: x[which], d=x.shape[-1], dtype=torch.float32)
            paths.append(path)
    return {path: {name: row[name] for name in _SPECTRAL} for path, row in zip(paths, spectra.values(), strict=True)}
