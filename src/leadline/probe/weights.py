"""Weights and their gradients: norms, ranks, and what of both each layer holds."""

import math
import statistics
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvTransposeNd

from leadline._core.unstored import UnstoredWeight, measured
from leadline.probe.cancellation import Contributions
from leadline.probe.modules import Anatomy, kind
from leadline.probe.moments import absolute_sum, norm_of, norms_of, numbers_of

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

    def of_layer(self, own: Mapping[str, int]) -> dict[str, float]:
        """The metrics of a layer that holds the parameters ``own``: name -> entries."""
        names = list(own)
        if not names:
            return {}
        norm = _root_sum_of_squares([self.norms[n] for n in names])
        share = sum(self.finite[n] * entries for n, entries in own.items()) / sum(own.values())
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


@dataclass(kw_only=True)
class WeightGradients:
    """The numbers of weight gradients, taken as they arrive.

    Attributes:
        summed: Names of the weights whose entries are summed by magnitude, too.
        norms: Frobenius norms.
        sums: Sums of magnitudes.
    """

    summed: Collection[str]
    norms: dict[str, float] = field(default_factory=dict)
    sums: dict[str, float] = field(default_factory=dict)

    def take(self, grads: Mapping[str, Tensor]) -> None:
        """Read gradients by the names of their parameters; small ones together cost little more than one."""
        self.norms |= dict(zip(grads, norms_of(list(grads.values())), strict=True))
        self.sums |= {name: absolute_sum(grad) for name, grad in grads.items() if name in self.summed}

    def take_unstored(self, unstored: Mapping[str, UnstoredWeight]) -> None:
        """Read the gradients that weights which are no parameters have noted."""
        found = {name: module.weight_grad_norm() for name, module in unstored.items()}
        self.norms |= {name: norm for name, norm in found.items() if norm is not None}


@torch.no_grad()
def weights(parts: Anatomy, grads: WeightGradients, contributions: Contributions) -> Weights:
    """The numbers of the parameters and of their gradients."""
    held = {name: parameter.detach() for name, parameter in parts.parameters.items()}
    maps = {name: weight for name, weight in held.items() if weight.ndim >= 2 and weight.is_floating_point()}
    others = {name: weight for name, weight in held.items() if name not in maps}
    numeric = [w if w.is_floating_point() or w.is_complex() else w.double() for w in others.values()]
    norms, shapes, images, columns = dict(zip(others, norms_of(numeric), strict=True)), {}, {}, _Columns()
    for name, weight in maps.items():
        norms[name] = norm_of(weight)  # read in order, and so in the cache when it is multiplied
        matrix = _as_map(parts.modules.get(name.rpartition(".")[0]), weight)
        shapes[name] = (matrix.shape[0], matrix.shape[1])
        images[name] = matrix.float() @ columns.of(matrix.shape[1], matrix.device)
    norms = {name: norms[name] for name in held}
    for name, module in parts.unstored.items():
        shapes[name] = module.weight_shape
        norms[name], image = measured(module, columns.of(module.weight_shape[1], torch.device("cpu")))
        images[name] = torch.linalg.qr(image.float(), mode="r").R  # the same spectrum in 16 rows: images may be long
    paths = {name: path for name in grads.sums if (path := name.rpartition(".")[0]) in contributions.sizes}
    sizes = dict(zip(paths, numbers_of([contributions.sizes[path] for path in paths.values()]), strict=True))
    return Weights(
        norms=norms,
        grad_norms=grads.norms,
        finite={
            name: 1.0 if math.isfinite(norm) or name in parts.unstored else _finite_share(parts.parameters[name])
            for name, norm in norms.items()
        },
        shapes=shapes,
        ranks=_ranks(images),
        cancellations={name: _ratio(size, grads.sums[name]) for name, size in sizes.items()},
        baselines={name: math.sqrt(math.pi * contributions.counts[path] / 2) for name, path in paths.items()},
    )


def maps_used_once(parts: Anatomy, calls: Mapping[str, int], uses: Mapping[int, int]) -> set[str]:
    """Names of the weights that nothing uses but the calls of their modules.

    A gradient sums over all uses of a weight, in other modules, functions and gradients of gradients too, and the
    contributions of some of them are not its.

    Args:
        parts: The model.
        calls: Path of a linear map -> how often it was called.
        uses: ``id`` of a parameter -> how many operations take it.
    """
    names = {f"{path}.weight" if path else "weight": count for path, count in calls.items()}
    own = {name: parts.parameters[name] for name in names if name in parts.parameters}
    return {name for name, parameter in own.items() if uses.get(id(parameter)) == names[name]}


def _finite_share(parameter: Tensor) -> float:
    return float(parameter.isfinite().double().mean())


def _as_map(module: nn.Module | None, weight: Tensor) -> Tensor:
    """``weight`` as the matrix from inputs to outputs."""
    if module is not None and kind(module) == "Conv1D":
        return weight.T
    if isinstance(module, _ConvTransposeNd):
        return weight.unflatten(0, (module.groups, -1)).transpose(1, 2).flatten(0, 1).flatten(1)
    return weight.flatten(1)


@dataclass(kw_only=True)
class _Columns:
    """The random columns that every weight is multiplied with."""

    _columns: dict[tuple[int, torch.device], Tensor] = field(default_factory=dict)

    def of(self, rows: int, device: torch.device) -> Tensor:
        key = (rows, device)
        if key not in self._columns:
            generator = torch.Generator().manual_seed(rows)
            columns = torch.randn(rows, _COLUMNS, generator=generator, dtype=torch.float32)
            self._columns[key] = columns.to(device)
        return self._columns[key]


def _ranks(images: Mapping[str, Tensor]) -> dict[str, float]:
    """Participation ratios of the images of the random columns."""
    alike: dict[int, list[str]] = defaultdict(list)
    for name, image in images.items():
        alike[len(image)].append(name)
    ranks = {}
    for names in alike.values():
        image = torch.stack([images[n].to(images[names[0]].device) for n in names]).double()
        gram = image.mT @ image
        squares = gram.square().sum((-2, -1))
        found = torch.where(squares == 0, 0.0, gram.diagonal(dim1=-2, dim2=-1).sum(-1).square() / squares)
        ranks |= dict(zip(names, found.tolist(), strict=True))
    return ranks


def _ratio(size: float, total: float) -> float:
    """Contributions over their sum, at least 1; ``inf`` where they cancel exactly, ``nan`` where all are zero."""
    if not (math.isfinite(size) and math.isfinite(total)) or size == 0:
        return math.nan
    return max(1.0, size / total) if total else math.inf


def _root_sum_of_squares(values: Sequence[float]) -> float:
    return math.hypot(*values)
