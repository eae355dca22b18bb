"""Leaves no trace: buffers, modes and random state are put back, whatever happened inside."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from leadline._core.randomness import kept_rng


@contextmanager
def untouched(model: nn.Module) -> Iterator[None]:
    """Whatever runs inside leaves the model's buffers and modes, and torch's generators, as they were."""
    modes = {module: module.training for module in model.modules()}
    buffers = [
        (module, name, buffer, None if buffer is None else (buffer.clone(), buffer._version))
        for module in model.modules()
        for name, buffer in module._buffers.items()
    ]
    with kept_rng():
        try:
            yield
        finally:
            for module, training in modes.items():
                module.training = training
            with torch.no_grad():
                for module, name, buffer, saved in buffers:
                    module._buffers[name] = buffer
                    # Only what was written is written back: a write invalidates graphs that the caller holds.
                    if saved is not None and buffer._version != saved[1]:
                        buffer.copy_(saved[0])
