"""Modules that hooks cannot watch, and modules of other makers that they can."""

import pytest
import torch
from tests.architectures import made
from torch import nn

import leadline
from leadline._core.errors import UsageError

deprecated = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:.*deprecated:FutureWarning")


def net() -> nn.Module:
    return made(lambda: nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3)))


X = torch.linspace(-1, 1, 20).reshape(5, 4)


@deprecated
def test_torchscript_is_sent_back_to_the_eager_module():
    part = net()
    part[2] = torch.jit.script(part[2])
    for model in (torch.jit.script(net()), torch.jit.trace(net(), X)):
        with pytest.raises(UsageError, match=r"^The model \(Sequential\) is TorchScript.* profile the eager module"):
            leadline.profile(model, X)
    with pytest.raises(UsageError, match=r"^2 \(Linear\) is TorchScript"):
        leadline.profile(part, X)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_exported_programs_are_sent_back_unless_unflattened():
    program = torch.export.export(net(), (X,))
    with pytest.raises(UsageError, match=r"is an exported graph, which calls no modules.*torch.export.unflatten"):
        leadline.profile(program.module(), X)
    found, eager = leadline.profile(torch.export.unflatten(program), X), leadline.profile(net(), X)
    assert [(layer.name, layer.rms) for layer in found.layers] == [(layer.name, layer.rms) for layer in eager.layers]


def test_traced_graphs_of_modules_are_profiled_as_the_model():
    found, eager = leadline.profile(torch.fx.symbolic_trace(net()), X), leadline.profile(net(), X)
    assert found.layers == eager.layers
