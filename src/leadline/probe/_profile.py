"""The public function: one forward and backward pass of a batch, measured layer by layer."""

import math
from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn

from leadline._core.errors import UsageError
from leadline._core.names import check_choice
from leadline._core.profile import Profile
from leadline._core.randomness import seeded
from leadline._version import __version__
from leadline.probe.capture import watched
from leadline.probe.guard import untouched
from leadline.probe.inputs import as_batch, differentiable
from leadline.probe.loss import scalar_loss
from leadline.probe.measure import layer_profile
from leadline.probe.select import Layers, select


def profile(
    model: nn.Module | Callable[[], nn.Module],
    inputs: Any,
    targets: Any = None,
    *,
    loss: Callable[[Any, Any], Tensor] | None = None,
    layers: Layers = "blocks",
    effort: Literal["standard", "full"] = "standard",
    rows: int = 64,
    draws: int = 8,
    seed: int = 0,
) -> Profile:
    """What one pass of a batch through a model shows, layer by layer, forward and backward."""
    check_choice("effort", effort, ("standard", "full"))
    batch = as_batch(inputs)
    options = {"targets": targets, "loss": loss, "layers": layers, "effort": effort, "rows": rows, "seed": seed}
    if isinstance(model, nn.Module):
        return _pass(model, batch, **options)
    passes = []
    for draw in range(draws):
        with seeded(seed + draw):
            drawn = model()
        passes.append(_pass(drawn, batch, **options))
    from dataclasses import replace

    return replace(passes[0], draws=tuple(passes[1:]), draws_over="draws" if draws > 1 else "")


def _pass(model: nn.Module, batch, *, targets, loss, layers, effort, rows, seed) -> Profile:
    model = unwrapped(model)
    parameters = dict(model.named_parameters())
    if not parameters:
        raise UsageError(f"The model ({type(model).__name__}) has no parameters, so there is nothing to profile.")
    if any(p.is_inference() for p in parameters.values()):
        raise UsageError(
            "The parameters were made under torch.inference_mode, so no gradient can flow; build the model outside it."
        )
    selection = select(model, layers)
    keep = set(selection.modules.values())
    with untouched(model), torch.inference_mode(False), torch.enable_grad():
        fed, leaves = differentiable(batch)
        with watched(list(model.named_modules()), keep) as tape:
            outputs = model(*fed.args, **fed.kwargs)
            tape.recording = False
            value, kind = scalar_loss(outputs, targets, loss, seed=seed)
            trained = {n: p for n, p in parameters.items() if p.requires_grad}
            found = torch.autograd.grad(value, [*trained.values(), *leaves], allow_unused=True)
    grads = {n: g for n, g in zip(trained, found, strict=False) if g is not None}
    chosen = [call for call in tape.calls if call.module in keep]
    records = []
    for depth, call in enumerate(chosen):
        prefix = call.name.partition("#")[0]
        own = {n: p for n, p in parameters.items() if n.startswith(f"{prefix}.")} if call.name == prefix else {}
        records.append(
            layer_profile(
                call,
                depth=depth,
                repeat=selection.repeats.get(prefix, ""),
                batch=batch.size,
                rows=rows,
                weights=_weights(own, grads),
            )
        )
    return Profile(
        layers=tuple(records),
        model=type(model).__name__,
        loss=float(value.detach()),
        loss_kind=kind,
        mode=_mode(model),
        device=str(next(iter(parameters.values())).device),
        dtype=str(next(iter(parameters.values())).dtype).removeprefix("torch."),
        batch=batch.size,
        rows=rows,
        effort=effort,
        seed=seed,
        weights={n: float(g.double().norm()) for n, g in grads.items() if g.ndim >= 2},
        weight_norms={n: float(parameters[n].detach().double().norm()) for n, g in grads.items() if g.ndim >= 2},
        nonfinite_parameters=tuple(n for n, p in parameters.items() if not p.isfinite().all()),
        versions={"leadline": __version__, "torch": str(torch.__version__)},
    )


def _weights(own: dict[str, nn.Parameter], grads: dict[str, Tensor]) -> dict[str, float]:
    if not own:
        return {}
    norm = math.sqrt(sum(float(p.detach().double().square().sum()) for p in own.values()))
    values = {"weight_norm": norm}
    got = [grads[n] for n in own if n in grads]
    if got:
        values["weight_grad_norm"] = math.sqrt(sum(float(g.double().square().sum()) for g in got))
        values["update_ratio"] = values["weight_grad_norm"] / norm if norm else math.inf
    return values


def _mode(model: nn.Module) -> str:
    modes = {module.training for module in model.modules()}
    return "mixed" if len(modes) == 2 else "train" if modes.pop() else "eval"


def unwrapped(model: nn.Module) -> nn.Module:
    """The user's module inside DataParallel, DistributedDataParallel and ``torch.compile``."""
    while True:
        inner = getattr(model, "_orig_mod", None)
        if inner is None and isinstance(model, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
            inner = model.module
        if not isinstance(inner, nn.Module):
            return model
        model = inner
