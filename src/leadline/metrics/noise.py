"""How far the gradient of a mini-batch is from the gradient of all samples."""

from jaxtyping import Float
from torch import Tensor

from leadline._core.errors import UsageError
from leadline.metrics._rows import Rows, check_rows, result_dtype
from leadline.metrics._spectrum import centre


def gradient_noise(
    grads: Rows, *, batch: int = 1, learning_rate: float = 1.0, replacement: bool = True
) -> Float[Tensor, "*batch"]:
    r"""Expected squared distance of a mini-batch's step from the full one.

    With $C = \frac1n \sum_i \|g_i - \bar g\|^2$ over the $n$ gradients, of which a step of rate $\alpha$ draws $b$,

    $$\mathbb E \|\alpha \bar g - \alpha g_B\|^2 = \frac{\alpha^2}{b}\, C , \qquad
      \text{without replacement } \frac{\alpha^2}{b}\, C\, \frac{n - b}{n - 1} .$$

    Both are exact; the first bounds the second.

    Args:
        grads: Gradients ``(n, p)`` of ``n`` samples by the same ``p`` parameters, or a batch ``(*batch, n, p)``.
        batch: Samples in a mini-batch.
        learning_rate: Rate of the step.
        replacement: Whether a sample can be drawn twice.

    Returns:
        The expectation, in squared units of a step; ``nan`` or ``inf`` for non-finite gradients. Computed in float64,
        returned in the dtype of ``grads``.

    Raises:
        UsageError: If ``grads`` has no two axes, or ``batch`` is below 1 or more than there are to draw.

    Source:
        bjorck2018, section on SGD noise, which states the bound; the exact forms are ours.

    Example:
        >>> import torch
        >>> gradient_noise(torch.tensor([[1.0], [3.0]]), batch=2)
        tensor(0.5000)
    """
    check_rows(grads, name="grads")
    n = grads.shape[-2]
    if batch < 1 or (batch > n and not replacement):
        raise UsageError(f"`batch` must be from 1 to the {n} gradients there are, got {batch}.")
    spread = centre(grads.double()).square().sum((-2, -1)) / n
    left = 1.0 if replacement else (n - batch) / max(n - 1, 1)
    return (learning_rate**2 / batch * left * spread).to(result_dtype(grads))
