"""What each layer reads: chains, branches, joins, modules called again, and what no graph tells."""

from collections.abc import Callable

import pytest
import torch
from tests.architectures import made
from torch import Tensor, nn

import leadline


class Wired(nn.Module):
    """Four linear maps and a function that wires them."""

    def __init__(self, wiring: Callable[..., Tensor]):
        super().__init__()
        self.a, self.b, self.c, self.d = (nn.Linear(6, 6) for _ in range(4))
        self.constant, self.wiring = nn.Parameter(torch.ones(6)), wiring

    def forward(self, x: Tensor) -> Tensor:
        return self.wiring(self, x)


WIRINGS: dict[str, tuple[Callable[..., Tensor], dict[str, tuple[str, ...]]]] = {
    "a chain": (
        lambda m, x: m.d(m.c(m.b(m.a(x).relu()).tanh())),
        {"a": ("inputs",), "b": ("a",), "c": ("b",), "d": ("c",)},
    ),
    "two branches": (
        lambda m, x: m.d(m.b(m.a(x)) + m.c(m.a(x).exp())),
        {"a": ("inputs",), "b": ("a",), "a#2": ("inputs",), "c": ("a#2",), "d": ("b", "c")},
    ),
    "a skip": (
        lambda m, x: m.d(m.c(m.a(x).relu()) + x),
        {"a": ("inputs",), "c": ("a",), "d": ("c", "inputs")},
    ),
    "side by side": (
        lambda m, x: m.d(m.a(x) * m.b(x)),
        {"a": ("inputs",), "b": ("inputs",), "d": ("a", "b")},
    ),
    "called again": (
        lambda m, x: m.d(m.a(m.a(m.a(x)).relu())),
        {"a": ("inputs",), "a#2": ("a",), "a#3": ("a#2",), "d": ("a#3",)},
    ),
    "a constant": (
        lambda m, x: m.d(m.a(m.constant.expand_as(x)) + m.b(x)),
        {"a": (), "b": ("inputs",), "d": ("a", "b")},
    ),
    "detached": (lambda m, x: m.d(m.a(x).detach()), {"a": (), "d": ()}),
    "in place": (lambda m, x: m.d(m.a(x).mul_(2).relu_()), {"a": ("inputs",), "d": ("a",)}),
}


@pytest.mark.parametrize("name", WIRINGS)
def test_layers_read_what_the_model_wires(name: str, generator: torch.Generator):
    wiring, expected = WIRINGS[name]
    profile = leadline.profile(made(lambda: Wired(wiring)), torch.randn(8, 6, generator=generator))
    assert {layer.name: tuple(sorted(layer.reads)) for layer in profile.layers} == expected


def test_a_frozen_model_reads_the_same(generator: torch.Generator):
    wiring, expected = WIRINGS["two branches"]
    model = made(lambda: Wired(wiring)).requires_grad_(False)
    profile = leadline.profile(model, torch.randn(8, 6, generator=generator))
    assert {layer.name: tuple(sorted(layer.reads)) for layer in profile.layers} == expected


def test_what_is_read_is_saved(generator: torch.Generator, tmp_path):
    profile = leadline.profile(made(lambda: Wired(WIRINGS["a skip"][0])), torch.randn(8, 6, generator=generator))
    loaded = leadline.Profile.load(profile.save(tmp_path / "profile.json"))
    assert [layer.reads for layer in loaded.layers] == [layer.reads for layer in profile.layers]
