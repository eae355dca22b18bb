"""The handwritten digits of scikit-learn: real data that needs no network."""

import torch

from leadline.data.batch import Batch

SHAPE = (1, 8, 8)
CLASSES = 10


def digits() -> Batch:
    r"""All 1797 images of 8×8 grey values, standardised as a whole, and their labels.

    $x = (g - \bar g) / s$ with $\bar g$ and $s$ the mean and standard deviation of all $1797 \cdot 64$ grey values.

    Returns:
        Inputs ``(1797, 1, 8, 8)`` float32 with mean 0 and variance 1, targets ``(1797,)`` int64 in 0 … 9.

    Source:
        Alpaydin and Kaynak 1998, "Optical recognition of handwritten digits", test part, as in ``sklearn.datasets``.

    Example:
        >>> digits().inputs.shape
        torch.Size([1797, 1, 8, 8])
    """
    from sklearn.datasets import load_digits

    grey, labels = load_digits(return_X_y=True)
    x = torch.as_tensor(grey, dtype=torch.float64).reshape(-1, *SHAPE)
    return Batch(inputs=((x - x.mean()) / x.std()).float(), targets=torch.as_tensor(labels, dtype=torch.int64))
