"""How much the summands of a weight's gradient cancel: absolute size before the sum over absolute size after it."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F, grad
from torch.nn.modules.conv import _ConvNd

from leadline._core.errors import UsageError

# By the number of axes of space.
_WEIGHT_GRAD = {1: grad.conv1d_weight, 2: grad.conv2d_weight, 3: grad.conv3d_weight}

_CACHED = 2**16  # entries


def cancellation(
    inputs: Tensor, output_grads: Tensor, *, layer: nn.Module | None = None, weight_grad: Tensor | None = None
) -> Float[Tensor, ""]:
    r"""Mean absolute contribution over absolute mean contribution, over the entries of a weight's gradient.

    The gradient of a weight sums one contribution a sample and position,
    $\partial L/\partial W_{oi} = \sum_s c_{oi}(s)$. For a linear map $c_{oi}(s) = \delta_o(s)\, x_i(s)$; for a
    convolution the same at every shift of the kernel. With

    $$a = \sum_{oi} \sum_s |c_{oi}(s)|, \qquad b = \sum_{oi} \Bigl| \sum_s c_{oi}(s) \Bigr|$$

    the ratio $a / b \ge 1$ is near 1 when all samples push a weight the same way, whatever their input. Contributions
    of one size and random sign give $\sqrt{\pi N / 2}$ with $N$ of them (batch times positions): the baseline to
    read it against. Unchanged by scaling of either argument. $a$ costs no product of the two: a linear map gives
    $\sum_s \|\delta(s)\|_1 \|x(s)\|_1$, a convolution the same with the norm taken over the patch.

    Args:
        inputs: What the layer was given: ``(*rows, in)`` for a linear map, ``(batch, channels, *space)`` for a
            convolution.
        output_grads: Gradient of the loss by what the layer returned, of the shape of that.
        layer: The layer, for its geometry: ``Linear``, Hugging Face's ``Conv1D``, or a convolution, transposed or
            not, with stride, padding, dilation and groups. None means a linear map.
        weight_grad: Gradient of the weight, where it is at hand (``layer.weight.grad`` after one backward pass through
            one use of the layer); computed otherwise.

    Returns:
        The ratio, in [1, ∞]; ``inf`` where the contributions cancel exactly, ``nan`` where all are zero and for
        non-finite arguments. Norms over channels in the dtype given, at least float32; the rest in float64; returned
        in the dtype of ``output_grads``.

    Raises:
        UsageError: If the shapes do not fit each other or the layer, or the layer is of another kind.

    Source:
        bjorck2018, the table of gradients of convolution kernels. There the two are averaged over (o, i, shift), which
        leaves the ratio as it is.

    Example:
        >>> import torch
        >>> x = torch.tensor([[1.0], [1.0], [1.0]])
        >>> cancellation(x, torch.tensor([[1.0], [1.0], [-1.0]]))
        tensor(3.)
    """
    size = contribution_size(inputs, output_grads, layer=layer)
    if weight_grad is None:
        weight_grad = _weight_gradient(inputs, output_grads, layer)
    total = weight_grad.detach().abs().sum(dtype=torch.float64)
    ratio = torch.where(size.isfinite() & total.isfinite(), size / total, torch.nan)
    return ratio.clamp(min=1.0).to(output_grads.dtype)


def contribution_size(inputs: Tensor, output_grads: Tensor, *, layer: nn.Module | None = None) -> Float[Tensor, ""]:
    r"""The sum $a$ of absolute contributions that ``cancellation`` puts over the gradient, in float64.

    It adds up over several uses of one layer, where the gradient of the weight is the sum over all of them.

    Args:
        inputs: As in ``cancellation``.
        output_grads: As in ``cancellation``.
        layer: As in ``cancellation``.

    Returns:
        The sum; ``nan`` or ``inf`` for non-finite arguments.

    Raises:
        UsageError: If the shapes do not fit each other or the layer, or the layer is of another kind.

    Example:
        >>> import torch
        >>> contribution_size(torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0]]))
        tensor(9., dtype=torch.float64)
    """
    if isinstance(layer, _ConvNd):
        return _convolution_size(*_maps(inputs, output_grads, layer), layer)
    inputs, output_grads = _rows(inputs, output_grads, layer)
    return (_l1(inputs, dim=-1) * _l1(output_grads, dim=-1)).sum()


def _convolution_size(inputs: Tensor, output_grads: Tensor, layer: _ConvNd) -> Tensor:
    by_group = (layer.groups, -1)
    output_sizes = _l1(output_grads.unflatten(1, by_group), dim=2)
    patches = _read(_l1(inputs.unflatten(1, by_group), dim=2), output_sizes, layer)
    for axis, (stride, dilation, reach) in enumerate(_windows(layer), start=2):
        patches = patches.unfold(axis, reach, stride)[..., ::dilation].sum(-1)
    return (patches * output_sizes).sum()


def _l1(x: Tensor, *, dim: int) -> Tensor:
    # In parts whose magnitudes stay in the cache: written to fresh memory they cost more than their sum.
    wide = torch.promote_types(x.dtype, torch.float32)
    if x.numel() <= _CACHED:
        return x.abs().sum(dim, dtype=wide).double()
    rows = max(1, _CACHED * len(x) // x.numel())
    return torch.cat([part.abs().sum(dim, dtype=wide) for part in x.split(rows)]).double()


def _weight_gradient(inputs: Tensor, output_grads: Tensor, layer: nn.Module | None) -> Tensor:
    inputs, output_grads = inputs.double(), output_grads.double()
    if not isinstance(layer, _ConvNd):
        inputs, output_grads = _rows(inputs, output_grads, layer)
        return output_grads.flatten(0, -2).mT @ inputs.flatten(0, -2)
    inputs, output_grads = _maps(inputs, output_grads, layer)
    weight_grad = _WEIGHT_GRAD[len(layer.kernel_size)]
    geometry = {"stride": layer.stride, "dilation": layer.dilation, "groups": layer.groups}
    return weight_grad(_read(inputs, output_grads, layer), layer.weight.shape, output_grads, **geometry)


def _read(inputs: Tensor, output_grads: Tensor, layer: _ConvNd) -> Tensor:
    """The input of a convolution with its border, up to the last place that its outputs are made of.

    Beyond that lies what a stride leaves over, and the ``output_padding`` of a transposed convolution, which may be as
    wide as a dilation and then holds windows that the layer does not look through.
    """
    read = _padded(inputs, layer)
    for axis, (stride, dilation, reach) in enumerate(_windows(layer), start=2):
        there, last = read.shape[axis], (output_grads.shape[axis] - 1) * stride + reach
        if not 0 <= there - last < (max(stride, dilation) if layer.transposed else stride):
            pair = [tuple(maps.shape[2:]) for maps in (inputs, output_grads)]
            given, returned = reversed(pair) if layer.transposed else pair
            raise UsageError(f"{layer} does not make maps of size {returned} out of {given}.")
        read = read.narrow(axis, 0, last)
    return read


def _windows(layer: _ConvNd) -> list[tuple[int, int, int]]:
    """Stride, dilation, and reach of the kernel along each axis of space."""
    axes = zip(layer.stride, layer.dilation, layer.kernel_size, strict=True)
    return [(stride, dilation, dilation * (kernel - 1) + 1) for stride, dilation, kernel in axes]


def _padded(inputs: Tensor, layer: _ConvNd) -> Tensor:
    """The input of a convolution with its border, so that what follows needs none."""
    if layer.padding == "same":
        spare = [dilation * (kernel - 1) for dilation, kernel in zip(layer.dilation, layer.kernel_size, strict=True)]
        sides = [(s // 2, s - s // 2) for s in spare]
    else:
        sides = [(p, p) for p in layer.padding if isinstance(p, int)]  # none for "valid"
    mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
    return F.pad(inputs, [p for side in reversed(sides) for p in side], mode=mode) if sides else inputs


def _rows(inputs: Tensor, output_grads: Tensor, layer: nn.Module | None) -> tuple[Tensor, Tensor]:
    """What a linear map was given and got back, with an axis of rows."""
    if not (layer is None or isinstance(layer, nn.Linear) or type(layer).__name__ == "Conv1D"):
        raise UsageError(f"`layer` must be a linear map or a convolution, got {type(layer).__name__}.")
    if inputs.ndim < 1 or inputs.shape[:-1] != output_grads.shape[:-1] or 0 in inputs.shape[:-1]:
        raise UsageError(
            "A linear map needs `inputs` (*rows, in) and `output_grads` (*rows, out) of the same rows, "
            f"got {tuple(inputs.shape)} and {tuple(output_grads.shape)}."
        )
    inputs, output_grads = inputs.detach(), output_grads.detach()
    return (inputs, output_grads) if inputs.ndim >= 2 else (inputs[None], output_grads[None])


def _maps(inputs: Tensor, output_grads: Tensor, layer: _ConvNd) -> tuple[Tensor, Tensor]:
    """What a convolution was given and got back, with a batch axis; exchanged for a transposed one."""
    space = len(layer.kernel_size)
    pair = [t.detach()[None] if t.ndim == space + 1 else t.detach() for t in (inputs, output_grads)]
    channels = (layer.in_channels, layer.out_channels)
    if any(t.ndim != space + 2 or t.shape[1] != c for t, c in zip(pair, channels, strict=True)):
        raise UsageError(
            f"This {type(layer).__name__} maps {channels[0]} channels to {channels[1]} over {space} axes of space, "
            f"got inputs {tuple(inputs.shape)} and output_grads {tuple(output_grads.shape)}."
        )
    return (pair[1], pair[0]) if layer.transposed else (pair[0], pair[1])
