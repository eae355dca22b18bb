"""Random batches: independent Gaussian entries, independent tokens."""

import torch

from leadline._core.errors import UsageError
from leadline.data.batch import Batch


def gaussian(size: int, shape: tuple[int, ...], *, seed: int, classes: int | None = None) -> Batch:
    """Independent standard normal entries and, where ``classes`` is given, labels drawn evenly of them.

    Args:
        size: Number of samples.
        shape: Shape of one sample; ``()`` for a number each.
        seed: Seed of the draw; the global generator is left alone.
        classes: Number of labels, or ``None`` for a batch without targets.

    Returns:
        Inputs ``(size, *shape)`` float32; targets ``(size,)`` int64 or ``None``.

    Raises:
        UsageError: If a size is below 1.

    Example:
        >>> gaussian(4, (3, 8, 8), seed=0).inputs.shape
        torch.Size([4, 3, 8, 8])
    """
    _check_sizes(size, *shape, *([] if classes is None else [classes]))
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(size, *shape, generator=generator)
    targets = None if classes is None else torch.randint(classes, (size,), generator=generator)
    return Batch(inputs=inputs, targets=targets)


def token_ids(size: int, length: int, vocabulary: int, *, seed: int) -> Batch:
    """Independent tokens, each as likely as the others; the target of a position is the token that follows it.

    Args:
        size: Number of sequences.
        length: Positions of a sequence.
        vocabulary: Number of tokens.
        seed: Seed of the draw; the global generator is left alone.

    Returns:
        Inputs and targets ``(size, length)`` int64 in 0 … ``vocabulary`` - 1.

    Raises:
        UsageError: If a size is below 1.

    Example:
        >>> import torch
        >>> batch = token_ids(2, 5, 100, seed=0)
        >>> torch.equal(batch.inputs[:, 1:], batch.targets[:, :-1])
        True
    """
    _check_sizes(size, length, vocabulary)
    ids = torch.randint(vocabulary, (size, length + 1), generator=torch.Generator().manual_seed(seed))
    return Batch(inputs=ids[:, :-1].contiguous(), targets=ids[:, 1:].contiguous())


def _check_sizes(*sizes: int) -> None:
    if min(sizes) < 1:
        raise UsageError(f"Every size of a batch must be at least 1; got {', '.join(map(str, sizes))}.")
