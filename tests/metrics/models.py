"""Small models with state that a measurement could disturb, and proof that it did not."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from leadline._core.randomness import seeded


def mlp(*, norm: bool, dropout: float = 0.0, width: int = 12, features: int = 6, classes: int = 3) -> nn.Sequential:
    with seeded(0):
        return nn.Sequential(
            nn.Linear(features, width),
            nn.BatchNorm1d(width) if norm else nn.Identity(),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(width, width),
            nn.BatchNorm1d(width) if norm else nn.Identity(),
            nn.Tanh(),
            nn.Linear(width, classes),
        )


@contextmanager
def untouched(model: nn.Module) -> Iterator[None]:
    """Parameters, buffers, gradients, modes and hooks are after it, bit by bit, what they were."""

    def state() -> dict[str, object]:
        tensors = dict(model.state_dict())
        return {
            "tensors": {name: (tensor.data_ptr(), tensor.clone()) for name, tensor in tensors.items()},
            "grads": {name: None if p.grad is None else p.grad.clone() for name, p in model.named_parameters()},
            "requires": [p.requires_grad for p in model.parameters()],
            "modes": [m.training for m in model.modules()],
            "hooks": [len(m._forward_hooks) + len(m._backward_hooks) for m in model.modules()],
        }

    before, rng = state(), torch.get_rng_state()
    yield
    after = state()
    assert torch.equal(rng, torch.get_rng_state())
    assert all(before[key] == after[key] for key in ("requires", "modes", "hooks"))
    for name, (pointer, tensor) in before["tensors"].items():  # type: ignore[attr-defined]
        assert after["tensors"][name][0] == pointer  # type: ignore[index]
        assert torch.equal(after["tensors"][name][1], tensor)  # type: ignore[index]
    for name, grad in before["grads"].items():  # type: ignore[attr-defined]
        other = after["grads"][name]  # type: ignore[index]
        assert (grad is None and other is None) or torch.equal(grad, other)
