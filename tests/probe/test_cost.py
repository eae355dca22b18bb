"""The cost of a profile grows in proportion to the layers: what is looked at for each does not depend on the others."""

from collections.abc import Callable

import pytest
import torch
from tests.architectures import made
from torch import Tensor, nn

import leadline
from leadline.probe import graph, select, usage
from leadline.probe.modules import anatomy


class Second(nn.Module):
    """Its stream comes as the second argument, so that a search for the first one never ends by finding it."""

    def __init__(self):
        super().__init__()
        self.linear, self.norm = nn.Linear(4, 4), nn.LayerNorm(4)

    def forward(self, condition: Tensor, x: Tensor) -> Tensor:
        return x + self.linear(self.norm(x) * condition)


class Conditioned(nn.Module):
    def __init__(self, depth: int):
        super().__init__()
        self.units = nn.ModuleList(Second() for _ in range(depth))

    def forward(self, x: Tensor) -> Tensor:
        condition = torch.sigmoid(x)
        for unit in self.units:
            x = unit(condition, x)
        return x


def counted(monkeypatch: pytest.MonkeyPatch, module: object, name: str, run: Callable[[], object]) -> int:
    """How often a function of a module is called."""
    function, calls = getattr(module, name), []
    with monkeypatch.context() as patch:
        patch.setattr(module, name, lambda *given: (calls.append(1), function(*given))[1])
        run()
    return len(calls)


def test_the_search_for_a_stream_ends_where_its_unit_starts(monkeypatch: pytest.MonkeyPatch):
    x = torch.linspace(-1, 1, 12).reshape(3, 4)

    def looked_at(depth: int) -> int:
        model = made(lambda: Conditioned(depth))
        return counted(monkeypatch, graph, "_carries_the_stream", lambda: leadline.profile(model, x))

    assert 0 < looked_at(40) <= 2.2 * looked_at(20)


def test_what_a_plan_keeps_is_found_once():
    parts = anatomy(made(lambda: Conditioned(5)))
    for layers in ("blocks", "leaves"):
        plan = select.plan(parts, layers)
        for name in ("kept", "kept_inside", "composed", "early", "expected"):
            assert getattr(plan, name) is getattr(plan, name)


def test_unused_modules_are_found_without_comparing_all_with_all(monkeypatch: pytest.MonkeyPatch):
    def asked(depth: int) -> int:
        parts = anatomy(made(lambda: Conditioned(depth)))
        return counted(monkeypatch, usage, "prefixes", lambda: usage.unused_modules(parts, set(), set()))

    assert 0 < asked(40) == 2 * asked(20)
    parts = anatomy(made(lambda: nn.Sequential(Conditioned(2), Conditioned(2), nn.Linear(4, 4))))
    used = {name for name in parts.parameters if name.startswith(("0.units.1.norm", "2."))}
    assert usage.unused_modules(parts, set(), used) == ("0.units.0", "0.units.1.linear", "1")
