"""Weights and their gradients: norms, ranks, and what of both each layer holds."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvTransposeNd

from leadline.probe.cancellation import Contributions
from leadline.probe.modules import kind
from leadline.probe.moments import norms

_COLUMNS = 16  # random columns that a weight is multiplied with for its rank


@dataclass(frozen=True, kw_only=True)
class Weights:
    """The numbers of every parameter by dotted name.

    Attributes:
        norms: Frobenius norms.
        grad_norms: Frobenius norms of the gradients, of parameters that got one.
        finite: Share of finite entries.
        shapes: (outputs, inputs · kernel) of the map that a parameter with two axes or more stands for.
        ranks: Participation ratio of such a parameter times 16 random columns.
        cancellations: Mean absolute contribution over absolute mean contribution of a gradient.
        baselines: What contributions of one size and random sign would give.
    """

    norms: Mapping[str, float]
    grad_norms: Mapping[str, float]
    finite: Mapping[str, float]
    shapes: Mapping[str, tuple[int, int]]
    ranks: Mapping[str, float]
    cancellations: Mapping[str, float]
    baselines: Mapping[str, float]

    def of_layer(self, own: Mapping[str, nn.Parameter]) -> dict[str, float]:
        """The metrics of a layer that holds the parameters ``own``."""
        names = list(own)
        if not names:
            return {}
        norm = _root_sum_of_squares([self.norms[n] for n in names])
        share = sum(self.finite[n] * p.numel() for n, p in own.items()) / sum(p.numel() for p in own.values())
        found = {"weight_norm": norm, "weight_finite_fraction": share}
        reached = [self.grad_norms[n] for n in names if n in self.grad_norms]
        if reached:
            found["weight_grad_norm"] = grad_norm = _root_sum_of_squares(reached)
            found["update_ratio"] = grad_norm / norm if norm else math.inf if grad_norm else math.nan
        cancelling = [n for n in names if n in self.cancellations]
        if cancelling:
            found["cancellation"] = statistics.median(self.cancellations[n] for n in cancelling)
            found["cancellation_baseline"] = statistics.median(self.baselines[n] for n in cancelling)
        return found


@torch.no_grad()
def weights(
    modules: Mapping[str, nn.Module],
    parameters: Mapping[str, nn.Parameter],
    grads: Mapping[str, Tensor],
    contributions: Contributions,
) -> Weights:
    """The numbers of ``parameters`` and of their gradients."""
    found = norms([*(p.detach() for p in parameters.values()), *grads.values()])
    own = dict(zip(parameters, found, strict=False))
    maps = {name: p for name, p in parameters.items() if p.ndim >= 2 and p.is_floating_point()}
    matrices = {name: _as_map(modules.get(name.rpartition(".")[0]), p.detach()) for name, p in maps.items()}
    # A tied weight's gradient sums over all its uses, so it has no share of one of them.
    names = {f"{path}.weight" if path else "weight": path for path in contributions.sizes}
    tied = _tied(modules)
    alone = {n: path for n, path in names.items() if n in grads and parameters[n] not in tied}
    ratios = [contributions.sizes[path] / grads[n].abs().sum(dtype=torch.float64) for n, path in alone.items()]
    return Weights(
        norms=own,
        grad_norms=dict(zip(grads, found[len(own) :], strict=True)),
        finite={name: 1.0 if math.isfinite(norm) else _finite_share(parameters[name]) for name, norm in own.items()},
        shapes={name: (matrix.shape[0], matrix.shape[1]) for name, matrix in matrices.items()},
        ranks=dict(zip(matrices, _ranks(list(matrices.values())), strict=True)),
        cancellations=dict(zip(alone, _numbers(ratios), strict=True)),
        baselines={n: math.sqrt(math.pi * contributions.counts[path] / 2) for n, path in alone.items()},
    )


def _finite_share(parameter: Tensor) -> float:
    return float(parameter.isfinite().double().mean())


def _as_map(module: nn.Module | None, weight: Tensor) -> Tensor:
    """``weight`` as the matrix from inputs to outputs."""
    if module is not None and kind(module) == "Conv1D":
        return weight.T
    if isinstance(module, _ConvTransposeNd):
        return weight.unflatten(0, (module.groups, -1)).transpose(1, 2).flatten(0, 1).flatten(1)
    return weight.flatten(1)


def _ranks(matrices: Sequence[Tensor]) -> list[float]:
    generator = torch.Generator().manual_seed(0)
    columns: dict[tuple[int, torch.device], Tensor] = {}
    ranks = []
    for matrix in matrices:
        key = (matrix.shape[1], matrix.device)
        if key not in columns:
            columns[key] = torch.randn(matrix.shape[1], _COLUMNS, generator=generator).to(matrix.device)
        image = (matrix.float() @ columns[key]).double()
        gram = image.mT @ image
        squares = gram.square().sum()
        ranks.append(torch.where(squares == 0, 0.0, gram.trace().square() / squares))
    return _numbers(ranks)


def _numbers(scalars: Sequence[Tensor]) -> list[float]:
    return torch.stack([s.double().to(scalars[0].device) for s in scalars]).tolist() if scalars else []


def _tied(modules: Mapping[str, nn.Module]) -> set[nn.Parameter]:
    seen: set[nn.Parameter] = set()
    tied: set[nn.Parameter] = set()
    for module in modules.values():
        for parameter in [p for p in module._parameters.values() if p is not None]:
            (tied if parameter in seen else seen).add(parameter)
    return tied


def _root_sum_of_squares(values: Sequence[float]) -> float:
    return math.hypot(*values)
