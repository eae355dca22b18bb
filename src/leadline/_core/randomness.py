"""Seeded code that would use the global generators, with those put back afterwards."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def kept_rng() -> Iterator[None]:
    """Whatever runs inside leaves torch's global generators (CPU and CUDA) as they were."""
    cpu = torch.get_rng_state()
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    try:
        yield
    finally:
        torch.set_rng_state(cpu)
        if cuda:
            torch.cuda.set_rng_state_all(cuda)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Torch's global generators start from ``seed`` inside, and are put back afterwards.

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
        yield
