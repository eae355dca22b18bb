"""Matrices of known spectrum, and the metrics by name."""

import torch

from leadline import metrics
from leadline._core.profile import MATRIX, SPECTRAL

BY_NAME = {name: getattr(metrics, name) for name in (*MATRIX, "zero_rows")}
CONTINUOUS = tuple(name for name in MATRIX if name not in ("numerical_rank", "soft_rank"))
__all__ = ["BY_NAME", "CONTINUOUS", "SPECTRAL", "haar", "of_condition"]


def haar(n: int, generator: torch.Generator) -> torch.Tensor:
    return torch.linalg.qr(torch.randn(n, n, generator=generator, dtype=torch.float64)).Q


def of_condition(kappa: float, n: int, d: int, generator: torch.Generator) -> torch.Tensor:
    """Singular values spread evenly in logarithm from 1 to 1/kappa, between Haar frames."""
    k = min(n, d)
    sigma = kappa ** -torch.linspace(0, 1, k, dtype=torch.float64)
    return haar(n, generator)[:, :k] * sigma @ haar(d, generator)[:k]
