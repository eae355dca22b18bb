"""Lazy matrices as SciPy's linear operators."""

import math
from functools import partial
from typing import Any

import numpy as np
import torch
from scipy.sparse.linalg import LinearOperator

from leadline._core.errors import UsageError
from leadline.simulate.matrix import LazyMatrix


def linear_operator(matrix: LazyMatrix) -> LinearOperator:
    """What ``LazyMatrix.as_linear_operator`` returns."""
    if matrix.draws:
        raise UsageError(f"A linear operator is one matrix; this one has draws of shape {matrix.draws}.")
    dtype = matrix.dtype or torch.float64

    def product(x: np.ndarray, *, transposed: bool) -> np.ndarray:
        columns = torch.as_tensor(x, dtype=dtype, device=matrix.device).reshape(len(x), math.prod(x.shape[1:]))
        result = matrix.rmatmul(columns) if transposed else matrix.matmul(columns)
        return result.cpu().numpy().reshape(len(result), *x.shape[1:])

    forward, backward = partial(product, transposed=False), partial(product, transposed=True)
    arguments: dict[str, Any] = {
        "matvec": forward, "matmat": forward, "rmatvec": backward, "rmatmat": backward,
        "dtype": str(dtype).removeprefix("torch."),
    }  # fmt: skip
    return LinearOperator((matrix.d_out, matrix.d_in), **arguments)
