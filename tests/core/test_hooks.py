"""Hooks on many modules: on, off, and not of copies."""

import copy
import io

import torch
from tests.architectures import made
from torch import Tensor, nn

from leadline._core.hooks import ModuleHooks


def count_of(model: nn.Module) -> int:
    return sum(
        len(m._forward_hooks) + len(m._forward_pre_hooks) + len(m._forward_pre_hooks_with_kwargs)
        for m in model.modules()
    )


def test_hooks_are_called_as_torch_calls_its_own():
    layer, order = made(lambda: nn.Linear(2, 3)), []
    hooks = ModuleHooks()
    hooks.before(layer, lambda module, args, kwargs: order.append((len(args), list(kwargs))))
    hooks.after(layer, lambda module, args, output: 2 * output)
    x = torch.ones(4, 2)
    assert torch.equal(layer(x), 2 * nn.functional.linear(x, layer.weight, layer.bias))
    layer(input=x)
    assert order == [(1, []), (0, ["input"])]
    hooks.remove()
    hooks.remove()
    assert count_of(layer) == 0


def test_hooks_of_another_stay():
    layer, seen = made(lambda: nn.Linear(2, 3)), []
    layer.register_forward_hook(lambda module, args, output: seen.append(1))
    hooks = ModuleHooks()
    hooks.after(layer, lambda module, args, output: seen.append(2))
    layer(torch.ones(4, 2))
    hooks.remove()
    layer(torch.ones(4, 2))
    assert seen == [1, 2, 1]


def test_what_is_copied_or_saved_meanwhile_calls_nothing():
    layer, seen = made(lambda: nn.Linear(2, 3)), []
    hooks = ModuleHooks()
    hooks.before(layer, lambda module, args, kwargs: seen.append(1))
    hooks.after(layer, lambda module, args, output: seen.append(2))  # neither of which can be pickled
    saved = io.BytesIO()
    torch.save(layer, saved)
    saved.seek(0)
    x: Tensor = torch.ones(4, 2)
    for other in (copy.deepcopy(layer), torch.load(saved, weights_only=False)):
        assert torch.equal(other(x), nn.functional.linear(x, layer.weight, layer.bias)) and seen == []
    layer(x)
    assert seen == [1, 2]
