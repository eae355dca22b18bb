"""Convolutions that are orthogonal as operators on maps, not only as matrices."""

import itertools
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from leadline._core.checks import check_finite
from leadline._core.errors import UsageError
from leadline.init._fill import T, fill
from leadline.init._maps import LinearMap, convolution
from leadline.init.haar import haar_matrices


def delta_orthogonal(
    target: T, *, gain: float = 1.0, generator: torch.Generator | None = None, embeddings: bool = False
) -> T:
    r"""Fill kernels with a Haar matrix at their centre and zeros elsewhere, in place; matrices as ``haar`` does.

    With stride $s$ the matrix is spread over a block of $s$ places along each axis, so that every pixel of the input
    is read exactly once: the convolution remains an isometry where it has enough outputs, and keeps orthonormal rows
    where it has fewer. All singular values of the operator are $g$, with zero padding too where the pixels read lie
    inside the map. Groups are independent; a depthwise kernel is a centred ±g. Where no kernel can do it,
    ``isometry_obstacle`` says why; then the singular values that are not zero are $g$.

    Args:
        target: A module, or a weight (outputs, inputs, \*kernel) of stride 1.
        gain: Factor $g$: all singular values of the operator.
        generator: Where the numbers come from; without one, a seed of the operating system.
        embeddings: Fill embeddings too, as matrices (tokens, features).

    Returns:
        ``target``. What is left alone, and precision: as for ``haar``.

    Raises:
        UsageError: If ``target`` is no weight, or has no values yet.

    Source:
        xiao2018, algorithm 1, there for stride 1 and no more inputs than outputs.

    Example:
        >>> kernel = delta_orthogonal(torch.empty(4, 4, 3, 3), generator=torch.Generator().manual_seed(0))
        >>> kernel.abs().amax((0, 1)).count_nonzero().item()
        1
    """
    check_finite("gain", gain)

    def sample(entry: LinearMap, own: torch.Generator) -> Tensor:
        return _kernel(entry, _block(entry, own), centred=True).mul_(gain)

    return fill(target, sample, generator=generator, embeddings=embeddings)


def orthogonal(
    target: T, *, gain: float = 1.0, generator: torch.Generator | None = None, embeddings: bool = False
) -> T:
    r"""Fill kernels so that the convolution is orthogonal and every place of its kernel is used, in place.

    A kernel of $k$ places along an axis is a Haar matrix convolved with $k - 1$ orthogonal kernels of two places,

    $$(P,\; 1 - P), \qquad P = V V^\top \text{ a projection on half of the channels, } V \text{ a Haar frame,}$$

    for every axis in turn, on the side with fewer channels. With stride $s$ the same is done for the $s$ sub-lattices
    of the input. Matrices are filled as ``haar`` does. All singular values of the operator on a map without borders
    (circular padding) are $g$; zero padding cuts pixels off, so that at the border, and only there, some are smaller.

    A kernel with one input and one output channel a group (depthwise) has only one orthogonal choice, a single ±g: it
    is put at the centre.

    Args:
        target: A module, or a weight (outputs, inputs, \*kernel) of stride 1.
        gain: Factor $g$: all singular values of the operator.
        generator: Where the numbers come from; without one, a seed of the operating system.
        embeddings: Fill embeddings too, as matrices (tokens, features).

    Returns:
        ``target``. What is left alone, and precision: as for ``haar``.

    Raises:
        UsageError: If ``target`` is no weight, or has no values yet.

    Source:
        xiao2018, algorithm 2 (after Kautsky and Turcajová 1994); strides, rectangles and projections of fixed rank
        are leadline's own.

    Example:
        >>> kernel = orthogonal(torch.empty(4, 4, 3, 3), generator=torch.Generator().manual_seed(0))
        >>> kernel.abs().amax((0, 1)).count_nonzero().item()
        9
        >>> torch.allclose(kernel.sum((-2, -1)) @ kernel.sum((-2, -1)).T, torch.eye(4), atol=1e-5)
        True
    """
    check_finite("gain", gain)

    def sample(entry: LinearMap, own: torch.Generator) -> Tensor:
        block = _block(entry, own)
        if not entry.kernel or max(block.shape[1:3]) == 1:
            return _kernel(entry, block, centred=True).mul_(gain)

        def frame(channels: int) -> Tensor:
            return haar_matrices(
                entry.maps, channels, (channels + 1) // 2, generator=own, dtype=block.dtype, device=block.device
            )

        return _kernel(entry, _spread(entry, block, frame), centred=False).mul_(gain)

    return fill(target, sample, generator=generator, embeddings=embeddings)


def isometry_obstacle(layer: nn.Module) -> str | None:
    """Why no kernel makes a convolution orthogonal on maps without borders, or ``None`` where one does.

    A kernel that is shorter than its stride, or whose dilation shares a factor with it, skips pixels. What is not read
    is lost, unless there are so few outputs that all of them can still be independent.

    Args:
        layer: A convolution, transposed or not.

    Returns:
        One sentence with the numbers, or ``None``.

    Raises:
        UsageError: If ``layer`` is no convolution.

    Example:
        >>> isometry_obstacle(nn.Conv2d(64, 64, 1, stride=2)) is None
        True
        >>> print(isometry_obstacle(nn.Conv2d(64, 128, 1, stride=2)))
        A kernel of (1, 1) with stride (2, 2) and dilation (1, 1) reads 1 of 4 pixels, 64 numbers a position: 128
        orthonormal rows do not fit, so 64 singular values a position are 0.
    """
    if not isinstance(layer, _ConvNd):
        raise UsageError(f"`layer` must be a convolution, got {type(layer).__name__}.")
    entry = LinearMap(name="", parameter=layer.weight, **convolution(layer))
    outputs, inputs = _sides(entry)
    read, there = math.prod(_blocks(entry)), math.prod(entry.stride)
    wanted, possible = min(outputs, inputs * there), inputs * read
    if wanted <= possible:
        return None
    return (
        f"A kernel of {entry.kernel} with stride {entry.stride} and dilation {entry.dilation} reads {read} of {there} "
        f"pixels, {possible} numbers a position: {wanted} orthonormal rows do not fit, so {wanted - possible} singular "
        "values a position are 0."
    )


def _sides(entry: LinearMap) -> tuple[int, int]:
    """Outputs and inputs of the convolution, for a transposed one those of the convolution it is the adjoint of."""
    return (entry.inputs, entry.outputs) if entry.transposed else (entry.outputs, entry.inputs)


def _blocks(entry: LinearMap) -> tuple[int, ...]:
    """How many neighbouring places of the kernel lie on different sub-lattices of the input, along each axis."""
    return tuple(
        min(k, s // math.gcd(s, d)) for k, s, d in zip(entry.kernel, entry.stride, entry.dilation, strict=True)
    )


def _block(entry: LinearMap, generator: torch.Generator) -> Tensor:
    """A Haar matrix of (maps, outputs, inputs · sub-lattices)."""
    outputs, inputs = _sides(entry)
    return haar_matrices(
        entry.maps, outputs, inputs * math.prod(_blocks(entry)),
        generator=generator, dtype=entry.dtype, device=entry.parameter.device,
    )  # fmt: skip


def _spread(entry: LinearMap, block: Tensor, frame: Callable[[int], Tensor]) -> Tensor:
    """Convolve the matrix ``block`` with kernels of two places until every place is used: (*taps, maps, out, in)."""
    _, outputs, channels = block.shape
    blocks, axes = _blocks(entry), len(entry.kernel)
    taps = block.reshape(*(1 for _ in blocks), *block.shape)
    # A single channel cannot be spread; otherwise the shorter side costs less.
    on_outputs = channels == 1 or 1 < outputs <= channels
    for axis in range(axes):
        for _ in range(entry.kernel[axis] // blocks[axis] - 1):
            if on_outputs:
                taps = _convolved(taps.mT, frame(outputs), axis).mT
            else:
                taps = _convolved(taps, frame(channels), axis)
    # The first k mod s sub-lattices of an axis have one place more than the others. Channels are mixed only with those
    # that have it along the same axes.
    rests = [k % s for k, s in zip(entry.kernel, blocks, strict=True)]
    if not any(rests):
        return taps
    taps = nn.functional.pad(taps, [0] * 6 + [size for rest in reversed(rests) for size in (0, int(rest > 0))])
    lattices = torch.arange(channels, device=block.device).reshape(-1, *blocks)
    for longer in itertools.product(*((True, False) if rest else (False,) for rest in rests)):
        parts = zip(longer, rests, strict=True)
        alike = lattices[(..., *(slice(rest) if long else slice(rest, None) for long, rest in parts))].flatten()
        for axis in (axis for axis in range(axes) if longer[axis]):
            shorter = taps[..., alike].narrow(axis, 0, taps.shape[axis] - 1)
            taps[..., alike] = _convolved(shorter, frame(len(alike)), axis)
    return taps


def _convolved(taps: Tensor, frame: Tensor, axis: int) -> Tensor:
    """``taps`` times the kernel (P, 1 - P) of two places along ``axis``, P the projection on the span of ``frame``."""
    inside = (taps @ frame) @ frame.mT
    nothing = torch.zeros_like(taps.narrow(axis, 0, 1))
    return torch.cat([inside, nothing], dim=axis) + torch.cat([nothing, taps - inside], dim=axis)


def _kernel(entry: LinearMap, taps: Tensor, *, centred: bool) -> Tensor:
    """The values of ``entry`` whose place step · t + r along each axis holds tap t of sub-lattice r."""
    if not entry.kernel:
        return taps
    blocks, axes = _blocks(entry), len(entry.kernel)
    if centred:
        taps = taps.reshape(*(1 for _ in blocks), *taps.shape)
    maps, outputs = taps.shape[axes : axes + 2]
    split = taps.unflatten(-1, (-1, *blocks))
    order = [axes, axes + 1, axes + 2] + [i for axis in range(axes) for i in (axis, axes + 3 + axis)]
    places = [taps.shape[axis] * blocks[axis] for axis in range(axes)]
    dense = split.permute(order).reshape(maps, outputs, split.shape[axes + 2], *places)
    kernel = dense.new_zeros(*dense.shape[:3], *entry.kernel)
    here = [min(size, k) for size, k in zip(places, entry.kernel, strict=True)]
    starts = [min((k - 1) // 2, k - size) if centred else 0 for size, k in zip(here, entry.kernel, strict=True)]
    inner = tuple(slice(start, start + size) for start, size in zip(starts, here, strict=True))
    outer = tuple(slice(size) for size in here)
    kernel[(..., *inner)] = dense[(..., *outer)]
    return kernel.transpose(1, 2) if entry.transposed else kernel
