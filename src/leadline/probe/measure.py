"""From a watched pass to the record of each layer."""

import math

import torch
from torch import Tensor

from leadline._core.profile import LayerProfile
from leadline.metrics._batch import matrix_metrics
from leadline.probe.capture import Call
from leadline.probe.rows import sample_rows


def moments(x: Tensor) -> dict[str, float]:
    """Mean, standard deviation, root mean square, largest magnitude and share of finite entries, in float64."""
    x = x.double()
    finite = x.isfinite().double().mean()
    rms = torch.linalg.vector_norm(x) / math.sqrt(x.numel())
    return {
        "mean": float(x.mean()),
        "std": float(x.std(correction=0)),
        "rms": float(rms),
        "max_abs": float(x.abs().amax()),
        "finite_fraction": float(finite),
    }


def layer_profile(
    call: Call, *, depth: int, repeat: str, batch: int, rows: int, weights: dict[str, float]
) -> LayerProfile:
    """The record of one call."""
    metrics = dict(weights)
    n = d = 0
    view = "samples"
    if call.output is not None:
        metrics |= moments(call.output)
        x, view = sample_rows(call.output, batch=batch, rows=rows)
        n, d = x.shape
        metrics |= {key: float(value) for key, value in matrix_metrics(x).items()}
    if call.grad is not None:
        of_grad = moments(call.grad)
        metrics |= {"grad_norm": of_grad["rms"] * math.sqrt(call.grad.numel())}
        metrics |= {f"grad_{key}": of_grad[key] for key in ("rms", "max_abs", "finite_fraction")}
        x, _ = sample_rows(call.grad, batch=batch, rows=rows)
        metrics |= {f"grad_{key}": float(value) for key, value in matrix_metrics(x).items()}
    own = {id(p): p for p in call.module.parameters()}.values()
    return LayerProfile(
        name=call.name,
        kind=type(call.module).__name__,
        depth=depth,
        role="block" if repeat else "module" if list(call.module.children()) else "leaf",
        repeat=repeat,
        shape=call.shape,
        dtype=str(call.dtype).removeprefix("torch."),
        rows=view,
        n=n,
        d=d,
        parameters=sum(p.numel() for p in own),
        trained=sum(p.numel() for p in own if p.requires_grad),
        metrics=metrics,
    )
