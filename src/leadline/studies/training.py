"""What the studies read off a training run."""

from collections.abc import Sequence

import numpy as np


def moving_mean(losses: Sequence[float], window: int) -> np.ndarray:
    """Means of ``window`` neighbours, from the first that has as many before it."""
    return np.convolve(losses, np.ones(window) / window, "valid")
