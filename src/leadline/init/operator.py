"""The singular values of a convolution as an operator on maps."""

import itertools
import math
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.conv import _ConvNd

from leadline._core.errors import UsageError
from leadline.init._fill import normal, own_generator
from leadline.init._maps import LinearMap, convolution

_DENSE = 4096  # inputs of an operator that is written down: half a minute at most


@torch.no_grad()
def operator_singular_values(
    layer: nn.Module, size: int | Sequence[int], *, circular: bool | None = None
) -> Float[Tensor, " k"]:
    r"""All singular values of a convolution, taken as a matrix from input maps to output maps.

    On a map without borders the Fourier transform splits the operator into one matrix a frequency: with stride $s$
    the $s^a$ frequencies (of $a$ axes) that it folds onto one stand side by side,

    $$\bigl[\hat K(f_1)\; \hat K(f_2)\; \cdots\bigr] / s^{a/2}, \qquad \hat K(f) = \sum_p K_p\, e^{-2\pi i\,f p/N}.$$

    With zero padding there is no such split, and the matrix is written down. A transposed convolution has the
    singular values of the convolution that it is the adjoint of. The bias is left out.

    Args:
        layer: A convolution of one to three axes, transposed or not.
        size: Size of the map: of the input, for a transposed convolution of the output; one number for all axes.
        circular: Whether the map has no borders; the padding mode of ``layer`` decides where it is not said. What is
            far from every border sees the circular operator.

    Returns:
        The min(inputs, outputs) singular values in descending order, float64, right to about 1e-13 of the largest.

    Raises:
        UsageError: If ``layer`` is no convolution, ``size`` is no multiple of the stride on a circular map, the padding
            is neither zeros nor circular, or a map with borders has over 4096 numbers.

    Source:
        sedghi2019, theorem 6, for stride 1; strides are leadline's own.

    Example:
        >>> layer = nn.Conv1d(1, 1, 2, bias=False, padding_mode="circular")
        >>> with torch.no_grad():
        ...     _ = layer.weight.fill_(1.0)
        >>> operator_singular_values(layer, 4).round(decimals=4).tolist()  # 2 cos(πf/4) for f = 0 … 3
        [2.0, 1.4142, 1.4142, 0.0]
    """
    layer, sizes = _checked(layer, size)
    if layer.padding_mode == "circular" if circular is None else circular:
        return _by_frequency(LinearMap(name="", parameter=layer.weight, **convolution(layer)), sizes)
    return _by_matrix(layer, sizes)


@torch.no_grad()
def operator_range(
    layer: nn.Module, size: int | Sequence[int], *, steps: int = 60, generator: torch.Generator | None = None
) -> tuple[float, float]:
    r"""Smallest and largest singular value of a convolution with its own padding, on maps too large for a matrix.

    Lanczos' method with full reorthogonalisation on $T T^\top$ or $T^\top T$, whichever is smaller, with $T$ the
    convolution and its adjoint by autograd.

    Args:
        layer: A convolution of one to three axes, transposed or not.
        size: Size of the map: of the input, for a transposed convolution of the output; one number for all axes.
        steps: Steps of Lanczos, each a forward and a backward pass of one map.
        generator: Draws the start; without one, a seed of the operating system.

    Returns:
        (σ_min, σ_max) of the min(inputs, outputs) singular values, float64. Both lie inside the true range: the largest
        is found within some steps, the smallest is exact for an orthogonal operator and an upper bound for an
        ill-conditioned one, closer with more steps.

    Raises:
        UsageError: If ``layer`` is no convolution, or its padding is neither zeros nor circular.

    Source:
        Golub and Van Loan 2013, Matrix Computations, section 10.3.

    Example:
        >>> layer = nn.Conv2d(8, 8, 3, padding=1, bias=False)
        >>> _ = nn.init.dirac_(layer.weight)
        >>> low, high = operator_range(layer, 32, generator=torch.Generator().manual_seed(0))
        >>> round(low, 6), round(high, 6)
        (1.0, 1.0)
    """
    layer, sizes = _checked(layer, size)
    apply = _applied(layer)
    inputs = layer.out_channels if layer.transposed else layer.in_channels
    zeros = torch.zeros(1, inputs, *sizes, dtype=torch.float64, device=layer.weight.device)
    outputs, adjoint, *_ = torch.func.vjp(apply, zeros)
    if zeros.numel() <= outputs.numel():
        start, square = zeros, lambda v: adjoint(apply(v))[0]
    else:
        start, square = outputs, lambda u: apply(adjoint(u)[0])
    own = own_generator(generator, start.device)
    first = normal(*start.shape, generator=own, dtype=torch.float64, device=start.device)
    ritz = torch.linalg.eigvalsh(_tridiagonal(square, first, min(steps, start.numel())))
    return math.sqrt(max(ritz[0].item(), 0.0)), math.sqrt(ritz[-1].item())


def _tridiagonal(square: Callable[[Tensor], Tensor], start: Tensor, steps: int) -> Float[Tensor, "k k"]:
    """Lanczos: the symmetric map ``square`` in the basis of its powers on ``start``."""
    basis = [start / start.norm()]
    diagonal, beside = [], []
    while True:
        image = square(basis[-1])
        diagonal.append((image * basis[-1]).sum())
        for _ in range(2):
            for vector in basis:
                image = image - (image * vector).sum() * vector
        size = image.norm()
        if len(basis) == steps or size < 1e-10 * torch.stack(diagonal).abs().amax():
            break
        beside.append(size)
        basis.append(image / size)
    matrix = torch.diag(torch.stack(diagonal))
    if beside:
        matrix += torch.diag(torch.stack(beside), 1) + torch.diag(torch.stack(beside), -1)
    return matrix


def _checked(layer: nn.Module, size: int | Sequence[int]) -> tuple[_ConvNd, tuple[int, ...]]:
    if not isinstance(layer, _ConvNd):
        raise UsageError(f"`layer` must be a convolution, got {type(layer).__name__}.")
    if layer.padding_mode not in ("zeros", "circular"):
        raise UsageError(f"Only zero and circular padding are known here, got {layer.padding_mode!r}.")
    axes = len(layer.kernel_size)
    sizes = (size,) * axes if isinstance(size, int) else tuple(size)
    if len(sizes) != axes or min(sizes) < 1:
        raise UsageError(f"`size` must be {axes} positive numbers for a {type(layer).__name__}, got {size}.")
    return layer, sizes


def _by_frequency(entry: LinearMap, sizes: tuple[int, ...]) -> Tensor:
    if any(n % s for n, s in zip(sizes, entry.stride, strict=True)):
        raise UsageError(f"On a circular map `size` must be a multiple of the stride {entry.stride}, got {sizes}.")
    # The weight of a transposed convolution is that of its adjoint as it lies.
    kernel, axes = entry.parameter.double().unflatten(0, (entry.maps, -1)), len(sizes)
    # A kernel longer than the map wraps around, so places are added, not assigned.
    grid = kernel.new_zeros(*kernel.shape[:3], *sizes)
    for place in itertools.product(*(range(k) for k in entry.kernel)):
        pixel = tuple(p * d % n for p, d, n in zip(place, entry.dilation, sizes, strict=True))
        grid[(..., *pixel)] += kernel[(..., *place)]
    waves = torch.fft.fftn(grid, dim=tuple(range(3, 3 + axes)))
    folds = [part for n, s in zip(sizes, entry.stride, strict=True) for part in (s, n // s)]
    split = waves.reshape(*waves.shape[:3], *folds)
    aliases = [3 + 2 * axis for axis in range(axes)]
    frequencies = [4 + 2 * axis for axis in range(axes)]
    side_by_side = split.permute(0, *frequencies, 1, 2, *aliases).flatten(2 + axes)
    sigma = torch.linalg.svdvals(side_by_side) / math.sqrt(math.prod(entry.stride))
    return sigma.flatten().sort(descending=True).values


def _by_matrix(layer: _ConvNd, sizes: tuple[int, ...]) -> Tensor:
    inputs = layer.out_channels if layer.transposed else layer.in_channels
    width = inputs * math.prod(sizes)
    if width > _DENSE:
        raise UsageError(
            f"The operator on maps of {sizes} has {width} inputs and is written down only up to {_DENSE}; pass a "
            "smaller `size`, `circular=True` for what holds far from the borders, or call `operator_range`."
        )
    basis = torch.eye(width, dtype=torch.float64, device=layer.weight.device).reshape(width, inputs, *sizes)
    return torch.linalg.svdvals(_applied(layer, zeros=True)(basis).flatten(1))


def _applied(layer: _ConvNd, *, zeros: bool = False) -> Callable[[Tensor], Tensor]:
    """The convolution in float64 without its bias, for a transposed one its adjoint; ``zeros`` whatever its padding."""
    convolve = {1: torch.conv1d, 2: torch.conv2d, 3: torch.conv3d}[len(layer.kernel_size)]
    weight, stride, dilation, groups = layer.weight.double(), layer.stride, layer.dilation, layer.groups
    if layer.padding_mode == "circular" and not zeros:
        around = layer._reversed_padding_repeated_twice
        return lambda x: convolve(F.pad(x, around, mode="circular"), weight, None, stride, 0, dilation, groups)
    return lambda x: convolve(x, weight, None, stride, layer.padding, dilation, groups)
