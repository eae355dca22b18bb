"""Drawn weights are never taken for trained ones, and most trained ones are found."""

import pytest
import torch
from tests.doctor.models import plain_mlp
from torch import nn

from leadline import init
from leadline._core.randomness import seeded
from leadline.doctor.repairs.trained import signs_of_training

SHAPES = [(64, 64), (128, 32), (10, 64), (8, 8), (32, 16, 3, 3), (64, 3, 3, 3), (48, 48, 3)]
DRAWS = 20
TORCH = {
    "kaiming uniform": nn.init.kaiming_uniform_,
    "kaiming normal": nn.init.kaiming_normal_,
    "xavier uniform": nn.init.xavier_uniform_,
    "xavier normal": nn.init.xavier_normal_,
    "orthogonal": nn.init.orthogonal_,
    "truncated normal": nn.init.trunc_normal_,
    "uniform, all positive": nn.init.uniform_,
    "normal": nn.init.normal_,
    "sparse": lambda w: nn.init.sparse_(w, 0.5) if w.ndim == 2 else w,
    "identity": lambda w: nn.init.eye_(w) if w.ndim == 2 else nn.init.dirac_(w),
    "constant": lambda w: nn.init.constant_(w, 0.1),
}
OURS = {name: getattr(init, name) for name in ("haar", "orthogonal", "delta_orthogonal", "he", "xavier", "one_sided")}


def layer(shape: tuple[int, ...]) -> nn.Module:
    kinds = {2: nn.Linear, 3: nn.Conv1d, 4: nn.Conv2d}
    return kinds[len(shape)](shape[1], shape[0], *shape[2:3])


@pytest.mark.parametrize("name", [*TORCH, *OURS])
def test_drawn_weights_do_not_look_trained(name):
    alarms = []
    with seeded(0):
        for shape in SHAPES:
            for draw in range(DRAWS):
                model = layer(shape)
                if name in TORCH:
                    TORCH[name](model.weight)
                else:
                    OURS[name](model, generator=torch.Generator().manual_seed(draw))
                alarms += signs_of_training(model)
    assert alarms == []


@pytest.mark.parametrize(("rate", "least"), [(1e-2, 0.9), (1e-3, 0.9), (1e-4, 0.9)])
def test_most_models_trained_for_some_hundred_steps_are_found(rate, least):
    found = []
    for seed in range(10):
        activation, norm = [("relu", "none"), ("tanh", "none"), ("gelu", "layer"), ("relu", "batch")][seed % 4]
        with seeded(seed):
            model, x, y = plain_mlp(3 + seed % 3, activation=activation, norm=norm)
        optimiser = torch.optim.Adam(model.parameters(), rate)
        for _ in range(200):
            optimiser.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()
            optimiser.step()
        found.append(bool(signs_of_training(model)))
    assert sum(found) / len(found) >= least


def test_a_norm_with_entries_that_differ_is_named():
    with seeded(0), torch.no_grad():
        model = nn.Sequential(nn.Linear(16, 16), nn.LayerNorm(16))
        model[1].weight += torch.linspace(0, 0.1, 16)
        model[1].bias += torch.linspace(0, 0.1, 16)
    assert "the norm 1" in signs_of_training(model)[0]
