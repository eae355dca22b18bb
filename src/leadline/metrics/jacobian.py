"""The singular values of a model's input-output Jacobian over a whole batch."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from leadline._core.errors import UsageError
from leadline.metrics._calls import call, main_output

# Entries of one chunk of the Jacobian; bounds the memory of the batched backward passes.
_CHUNK = 2**22


def jacobian_singular_values(
    model: nn.Module, inputs: Tensor, *, dtype: torch.dtype | None = None
) -> Float[Tensor, " k"]:
    r"""Singular values of $\partial\,\mathrm{vec}(y) / \partial\,\mathrm{vec}(x)$, $y$ the output of the whole batch.

    The whole batch, because in train mode batch normalisation makes every output depend on every sample. The model is
    called in the mode it is in, once, on copies of its buffers; its ``.grad``, buffers and generators stay as they are.
    Rows of the Jacobian come from batched backward passes; where there are fewer inputs than outputs, columns come
    from backward passes through the backward pass. Where no sample reaches another (found out by backward passes
    from random halves of the batch) only the diagonal blocks are formed: ``batch`` times less work and memory.

    Args:
        model: Any module whose main output (itself, its ``logits``, or the first float tensor) is differentiable.
        inputs: The batch, a float tensor ``(batch, *features)``.
        dtype: Dtype that parameters, buffers and inputs are converted to for this; by default each keeps its own. In
            float32 what lies below 1e-7 of the largest is rounding: deep products want ``torch.float64``.

    Returns:
        The min(outputs, inputs) singular values in descending order, entries of the batch counted, in the dtype of
        the Jacobian and to its rounding relative to the largest; all ``nan`` where it is not finite.

    Raises:
        UsageError: If ``inputs`` is no float tensor.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> net = nn.Linear(2, 2, bias=False)
        >>> with torch.no_grad():
        ...     _ = net.weight.copy_(torch.tensor([[3.0, 0.0], [0.0, 1.0]]))
        >>> jacobian_singular_values(net, torch.ones(2, 2))
        tensor([3., 3., 1., 1.])
    """
    if not (isinstance(inputs, Tensor) and inputs.is_floating_point() and inputs.numel() > 0):
        raise UsageError(
            "`inputs` must be a float tensor with entries to differentiate by; token ids have no derivative: "
            "give their embeddings to the part of the model behind."
        )
    parameters = {name: _as(parameter.detach(), dtype) for name, parameter in model.named_parameters()}
    buffers = {name: _as(buffer, dtype) for name, buffer in model.named_buffers()}

    def outputs(x: Tensor) -> Tensor:
        return main_output(call(model, parameters, buffers, x))

    # The fused attention kernels know no second or batched derivative.
    with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
        y, backward = _pullback(outputs, _as(inputs.detach(), dtype))
        if y.numel() <= inputs.numel():
            jacobian = _rows(backward, y, inputs)
        else:
            # Linear, so its own pullback at any point is the forward derivative.
            x, forward = _pullback(backward, torch.zeros_like(y))
            jacobian = _rows(forward, x, y)
    return _singular_values(jacobian)


def _singular_values(jacobian: Float[Tensor, "blocks m n"]) -> Float[Tensor, " k"]:
    wide = jacobian if jacobian.shape[1] <= jacobian.shape[2] else jacobian.mT
    undefined = wide.new_full((wide.shape[0] * wide.shape[1],), torch.nan)
    if wide.dtype == torch.float64:
        if not wide.isfinite().all():
            return undefined
        sigma = torch.linalg.svdvals(wide)
    else:
        # The float64 Gram matrix gives them to 1e-8 of the largest: below the rounding of a narrower Jacobian.
        wide = wide.double()
        gram = wide @ wide.mT
        if not gram.isfinite().all():
            return undefined
        sigma = torch.linalg.eigvalsh(gram).clamp(min=0.0).sqrt()
    return sigma.flatten().sort(descending=True).values.to(jacobian.dtype)


def _as(tensor: Tensor, dtype: torch.dtype | None) -> Tensor:
    return tensor.to(dtype) if tensor.is_floating_point() else tensor


def _pullback(function: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    y, pull, *_ = torch.func.vjp(function, x)
    return y, lambda cotangent: pull(cotangent)[0]


def _rows(backward: Callable[[Tensor], Tensor], y: Tensor, x: Tensor) -> Float[Tensor, "blocks m n"]:
    """The matrix of ``backward``, from the space of ``y`` to that of ``x``: whole, or its blocks, one a sample."""
    blocks = y.shape[0] if _samples_apart(backward, y, x) else 1
    size = y.numel() // blocks
    chunk = max(1, _CHUNK // max(x.numel(), y.numel()))
    rows = []
    for part in torch.arange(size, device=y.device).split(chunk):
        unit = F.one_hot(part, size).to(y.dtype).unsqueeze(1).expand(-1, blocks, -1)
        rows.append(torch.vmap(backward)(unit.reshape(-1, *y.shape)).reshape(len(part), blocks, -1))
    return torch.cat(rows).movedim(1, 0)


def _samples_apart(backward: Callable[[Tensor], Tensor], y: Tensor, x: Tensor) -> bool:
    """Whether no sample reaches another: random cotangents on half of the samples give exact zeros on the rest.

    The halves are those of the binary digits of a sample's number, so that every two samples are parted by one.
    """
    if y.ndim == 0 or y.shape[0] != x.shape[0] or y.shape[0] == 1:
        return False
    generator = torch.Generator().manual_seed(0)
    cotangent = torch.randn(y.shape, generator=generator, dtype=torch.float64).to(y)
    number = torch.arange(y.shape[0], device=y.device)
    for digit in range((y.shape[0] - 1).bit_length()):
        ones = (number >> digit) % 2 == 1
        for half in (ones, ~ones):
            masked = torch.where(half.view(-1, *[1] * (y.ndim - 1)), cotangent, 0.0)
            if backward(masked)[~half].count_nonzero() > 0:
                return False
    return True
