"""Seeded code that would use the global generators, with those put back afterwards."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def kept_rng() -> Iterator[None]:
    """Whatever runs inside leaves the global generators of torch (CPU and CUDA), NumPy and Python as they were."""
    python, numpy = random.getstate(), np.random.get_state(legacy=False)
    cpu = torch.get_rng_state()
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        torch.set_rng_state(cpu)
        if cuda:
            torch.cuda.set_rng_state_all(cuda)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """The global generators of torch, NumPy and Python start from ``seed`` inside, and are put back afterwards.

    For code that knows no generator, such as the constructors of ``torch.nn``.

    Example:
        >>> import torch
        >>> with seeded(0):
        ...     a = torch.nn.Linear(2, 2).weight
        >>> with seeded(0):
        ...     b = torch.nn.Linear(2, 2).weight
        >>> torch.equal(a, b)
        True
    """
    with kept_rng():
        # Not `torch.manual_seed`, which also moves the generators of devices that are not put back.
        torch.default_generator.manual_seed(seed)
        if torch.cuda.is_available():
            torch.cuda.manual_seed_all(seed)
        np.random.seed(seed % 2**32)
        random.seed(seed)
        yield
