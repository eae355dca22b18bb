"""Weights that make the samples of a batch orthogonal, layer by layer, without normalisation."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from leadline._core.errors import UsageError
from leadline._core.names import check_choice
from leadline.init._layer import Layer
from leadline.init._passes import check_samples, run_once, unchanged_on_error
from leadline.init.orthogonal import delta_orthogonal
from leadline.metrics import orthogonality_gap

_ROWS = 3  # rows for the decomposition over the longer side of the weight, as in the authors' code


@dataclass(frozen=True, kw_only=True)
class Orthogonalised:
    """What was done to one layer.

    Attributes:
        name: Dotted name of the layer.
        gap_before: Orthogonality gap of its input on the held-out samples.
        gap_after: That of its output.
        kept: ``"svd"``, or ``"drawn"`` where the drawn weight kept held-out samples further apart or there were fewer
            rows than outputs.
    """

    name: str
    gap_before: float
    gap_after: float
    kept: Literal["svd", "drawn"]


def orthogonalise(
    model: nn.Module,
    inputs: Any,
    *,
    exponent: float = 0.5,
    clamp: float = 1e-3,
    scale: str = "unit-rms",
    held_out: float = 0.25,
    where: Callable[[str, nn.Module], bool] | None = None,
    generator: torch.Generator | None = None,
) -> list[Orthogonalised]:
    r"""Set each weight from the singular vectors of its own input, in place, in one forward pass.

    With the input $x = A S B^\top$ of a layer (rows are samples, for a convolution the patches that it sees),

    $$W \propto A_{1 \dots m, 1 \dots r}\; S_{1 \dots r}^{-e}\; B_{\cdot, 1 \dots r}^\top, \qquad r = \min(m, d),$$

    for $m$ outputs and $d$ inputs, so that $x W^\top = A S^{1-e} A_{1 \dots m}^\top$ has a flatter spectrum. The first
    $m$ rows of $A$ are not orthogonal, and must not be replaced by a Haar matrix: held-out samples then explode.

    The last part of the batch is not used for $W$ but tells whether it helped: where the orthogonality gap of the
    held-out samples rose over the layer, the drawn (orthogonal) weight is kept if its gap is smaller.

    First everything is drawn by ``delta_orthogonal``. Groups of a convolution are decomposed each on its own.
    Projections to queries, keys and values take different rows of $A$; fused in one weight they are judged together,
    inside ``nn.MultiheadAttention`` each is a layer. Transposed convolutions keep what was drawn. Modes, buffers,
    generators and frozen parameters: as for ``lsuv``.

    Args:
        model: The model.
        inputs: A tensor, a tuple of positional or a mapping of keyword arguments; samples along the first axis of what
            reaches the layers, three to four times as many as the width.
        exponent: $e$: 1/2 in the paper, 1 in the authors' code for perceptrons.
        clamp: Singular values below this share of the largest count as this share: dead units and constant pixels
            would make weights of any size.
        scale: ``"unit-rms"``: outputs of root mean square 1; ``"unit-norm"``, the paper's: of Frobenius norm 1 over the
            batch.
        held_out: Share of the batch that tells whether it helped, between 0 and 1.
        where: Which layers are set, by dotted name and module (of projections inside torch's attention that
            attention); all of them without it.
        generator: Where the drawn weights take their numbers from.

    Returns:
        What was done, in order of execution. Decompositions in float64.

    Raises:
        UsageError: If there is no such ``scale``, ``held_out`` or ``clamp`` is not between 0 and 1, or either side of
            the batch would have less than two samples.

    Source:
        daneshmand2021, section 4, eq. 6, and the authors' code (in ≠ out, groups, clamp and held-out samples are
        leadline's own).

    Example:
        >>> from leadline._core.randomness import seeded
        >>> with seeded(0):
        ...     net = nn.Sequential(nn.Linear(20, 20), nn.ReLU(), nn.Linear(20, 20))
        ...     x = torch.randn(80, 20) + 3
        >>> [(step.name, step.kept) for step in orthogonalise(net, x, generator=torch.Generator().manual_seed(0))]
        [('0', 'svd'), ('2', 'svd')]
    """
    check_choice("scale", scale, ("unit-rms", "unit-norm"))
    for name, value in (("held_out", held_out), ("clamp", clamp)):
        if not 0 < value < 1:
            raise UsageError(f"`{name}` must lie between 0 and 1, got {value}.")
    check_samples(inputs)
    steps: list[Orthogonalised] = []

    def set_weight(layer: Layer, x: Tensor) -> None:
        if isinstance(layer.module, _ConvTransposeNd):
            return
        count = len(x) - round(held_out * len(x))
        if min(count, len(x) - count) < 2:
            raise UsageError(f"{len(x)} samples are too few to hold {held_out:g} of them out: pass a larger batch.")
        steps.append(_set(layer, x[:count], x[count:], exponent=exponent, clamp=clamp, scale=scale))

    with unchanged_on_error(model):
        delta_orthogonal(model, generator=generator)
        run_once(model, inputs, where=where, before=set_weight)
    return steps


def _set(layer: Layer, x: Tensor, held: Tensor, *, exponent: float, clamp: float, scale: str) -> Orthogonalised:
    _rescale(layer, x, scale)
    before, drawn = _gap(held), _gap(_linear(layer, held))
    values = _from_singular_vectors(layer, x, exponent=exponent, clamp=clamp)
    if values is None:
        return Orthogonalised(name=layer.name, gap_before=before, gap_after=drawn, kept="drawn")
    kept = layer.value.clone()
    layer.weight.store(values)
    _rescale(layer, x, scale)
    after = _gap(_linear(layer, held))
    # Written so that a gap of nan counts as risen.
    if after <= before or after <= drawn:
        return Orthogonalised(name=layer.name, gap_before=before, gap_after=after, kept="svd")
    layer.set(kept)
    return Orthogonalised(name=layer.name, gap_before=before, gap_after=drawn, kept="drawn")


def _gap(x: Tensor) -> float:
    return orthogonality_gap(x.flatten(1).double()).item()


def _linear(layer: Layer, x: Tensor) -> Tensor:
    return layer.module.forward(x) - layer.bias


def _rescale(layer: Layer, x: Tensor, scale: str) -> None:
    y = _linear(layer, x).double()
    size = y.norm().item() / (math.sqrt(y.numel()) if scale == "unit-rms" else 1)
    if 0 < size < math.inf:
        layer.scale(1 / size)


def _from_singular_vectors(layer: Layer, x: Tensor, *, exponent: float, clamp: float) -> Tensor | None:
    """The weight in the shape of ``LinearMap.store``, or ``None`` where there are fewer rows than outputs."""
    entry = layer.weight
    columns = entry.inputs * math.prod(entry.kernel)
    # Fused projections see one input: each takes rows of its own. Groups have inputs of their own.
    outputs = entry.outputs if entry.kernel else entry.maps * entry.outputs
    rows = _rows(layer, x, at_most=_ROWS * max(columns, outputs)).double()
    if rows.shape[1] < outputs or not rows.isfinite().all():
        return None
    rows = rows.roll(-layer.turn * outputs, dims=1)
    a, s, bt = torch.linalg.svd(rows, full_matrices=False)
    rank = min(outputs, s.shape[-1])
    s = torch.maximum(s, clamp * s[:, :1])[:, None, :rank]
    weight = (a[:, :outputs, :rank] * s**-exponent) @ bt[:, :rank]
    return weight.reshape(entry.maps, entry.outputs, entry.inputs, *entry.kernel)


def _rows(layer: Layer, x: Tensor, *, at_most: int) -> Float[Tensor, "groups rows columns"]:
    """What the weight of each group is multiplied with, evenly thinned out to ``at_most`` rows."""
    if not isinstance(layer.module, _ConvNd):
        rows = x.flatten(0, -2)
        return rows[None, _even(len(rows), at_most)]
    windows = _windows(layer.module, x)
    positions = windows.shape[2 : 2 + len(layer.module.kernel_size)]
    chosen = _even(len(x) * math.prod(positions), at_most)
    # The weight is made of its first rows: neighbouring patches of one image would be alike.
    chosen = chosen[torch.randperm(len(chosen), generator=torch.Generator().manual_seed(0))]
    sample, *place = torch.unravel_index(chosen, (len(x), *positions))
    picked = windows[(sample, slice(None), *place)]
    return picked.unflatten(1, (layer.weight.maps, -1)).flatten(2).transpose(0, 1)


def _windows(module: _ConvNd, x: Tensor) -> Tensor:
    """A view of the padded map as (samples, channels, *positions, *places of the kernel)."""
    mode = "constant" if module.padding_mode == "zeros" else module.padding_mode
    windows = F.pad(x, module._reversed_padding_repeated_twice, mode=mode)
    for axis, (k, s, d) in enumerate(zip(module.kernel_size, module.stride, module.dilation, strict=True)):
        windows = windows.unfold(2 + axis, d * (k - 1) + 1, s)[..., ::d]
    return windows


def _even(count: int, at_most: int) -> Tensor:
    return torch.linspace(0, count - 1, min(count, at_most), dtype=torch.float64).long()
