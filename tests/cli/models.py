"""Factories as a user writes them, good and bad; targets of the tests are ``models.py:name``."""

import time
from pathlib import Path

import torch
from torch import nn


def _samples(n: int = 32, d: int = 8) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(0))


def _network(width: int = 16) -> nn.Sequential:
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(width, 3))


def healthy():
    return _network(), _samples(), torch.arange(32) % 3


def drops():
    return nn.Sequential(nn.Linear(8, 16), nn.Dropout(0.5), nn.Linear(16, 3)), _samples(), torch.arange(32) % 3


def sick():
    net = nn.Sequential(*(m for _ in range(40) for m in (nn.Linear(8, 8), nn.ReLU())), nn.Linear(8, 3))
    return net, _samples(), torch.arange(32) % 3


def nan_weight():
    net = _network()
    with torch.no_grad():
        net[0].weight[3, 4] = torch.nan
    return net, _samples(), torch.arange(32) % 3


def raises():
    raise KeyError("width")


def gives_nothing():
    return None


def other_width():
    return _network(width=15), _samples()


def without_parameters():
    return nn.ReLU(), _samples()


class Detached(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(8, 3)

    def forward(self, x):
        return self.fc(x).detach()


def without_gradient():
    return Detached(), _samples()


def empty_batch():
    return _network(), _samples(0)


def too_few_targets():
    return _network(), _samples(), torch.arange(31) % 3


class Slow(nn.Module):
    """Says in a file that its forward pass has begun, then takes a minute."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(8, 3)

    def forward(self, x):
        Path("begun").touch()
        time.sleep(60)
        return self.fc(x)


def slow():
    return Slow(), _samples()


class Leaving(nn.Linear):
    def forward(self, x):
        raise SystemExit(0)


def leaves():
    return Leaving(8, 3), _samples()


class Talking(nn.Linear):
    def forward(self, x):
        print("talking")
        return super().forward(x)


def talks():
    return Talking(8, 3), _samples()


def deep(depth: int = 24):
    net = nn.Sequential(*(m for _ in range(depth) for m in (nn.Linear(16, 16), nn.Sigmoid())), nn.Linear(16, 3))
    x = _samples(64, 16)
    return net, x, x[:, :3].argmax(1)


def fitted():
    net, x, y = deep(8)
    net[0].requires_grad_(True)
    update = torch.optim.Adam(net.parameters(), 1e-2)
    for _ in range(60):
        update.zero_grad()
        nn.functional.cross_entropy(net(x), y).backward()
        update.step()
    return net, x, y


def unlabelled():
    return deep()[:2]


def tied():
    net, x, y = deep()
    net[4].weight = net[2].weight
    return net, x, y


class Extra(nn.Sequential):
    def get_extra_state(self):
        return {"version": 1}

    def set_extra_state(self, state):
        pass


def with_extra_state():
    net, x, y = deep()
    return Extra(*net), x, y
