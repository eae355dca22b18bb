"""A profile leaves the model, its buffers, its gradients and the random state as they were."""

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from tests.architectures import ARCHITECTURES, build, made
from torch import Tensor, nn

import leadline
from leadline._core.arguments import tensors
from leadline._core.errors import UsageError
from leadline._core.randomness import seeded


@dataclass
class Seen:
    """A network before a profile, during it, and after."""

    before: nn.Module
    after: nn.Module
    inputs: Any
    outputs: list[Tensor]
    grads: dict[str, Tensor | None]
    profile: leadline.Profile


@pytest.fixture(scope="module", params=ARCHITECTURES)
def seen(request: pytest.FixtureRequest) -> Seen:
    model, inputs, targets = build(request.param)
    for i, parameter in enumerate(model.parameters()):
        parameter.grad = None if i % 3 == 0 else torch.full_like(parameter, float(i))
    before, grads = copy.deepcopy(model), {n: p.grad for n, p in model.named_parameters()}
    outputs: list[Tensor] = []

    def noted(output: Any, _: Any) -> Tensor:
        outputs.extend(t.detach().clone() for t in tensors(output))
        return torch.stack([t.square().mean() for t in tensors(output) if t.requires_grad]).sum()

    with seeded(7):
        leadline.profile(model, inputs, loss=noted)
    with seeded(7):
        profile = leadline.profile(model, inputs, targets)
    return Seen(before, model, inputs, outputs, grads, profile)


def run(model: nn.Module, inputs: Any) -> list[Tensor]:
    with seeded(7):
        output = (
            model(**inputs)
            if isinstance(inputs, dict)
            else model(*(inputs if isinstance(inputs, tuple) else (inputs,)))
        )
    return list(tensors(output))


def test_outputs_inside_are_bit_identical_to_a_plain_run(seen: Seen):
    plain = run(copy.deepcopy(seen.before), seen.inputs)
    assert len(plain) == len(seen.outputs)
    assert all(torch.equal(a, b) for a, b in zip(plain, seen.outputs, strict=True))


def test_outputs_afterwards_are_bit_identical(seen: Seen):
    before, after = run(copy.deepcopy(seen.before), seen.inputs), run(copy.deepcopy(seen.after), seen.inputs)
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_parameters_and_buffers_are_bit_identical(seen: Seen):
    before = {**dict(seen.before.named_parameters()), **dict(seen.before.named_buffers())}
    after = {**dict(seen.after.named_parameters()), **dict(seen.after.named_buffers())}
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_gradients_are_the_same_objects(seen: Seen):
    assert all(p.grad is seen.grads[name] for name, p in seen.after.named_parameters())
    assert all(
        torch.equal(p.grad, q.grad)
        for p, q in zip(seen.after.parameters(), seen.before.parameters(), strict=True)
        if p.grad is not None and q.grad is not None
    )


def test_no_hook_is_left(seen: Seen):
    for module, twin in zip(seen.after.modules(), seen.before.modules(), strict=True):
        assert len(module._forward_hooks) == len(twin._forward_hooks)
        assert len(module._forward_pre_hooks) == len(twin._forward_pre_hooks)
        assert len(module._backward_hooks) == len(twin._backward_hooks)
    assert not any(p._backward_hooks for p in seen.after.parameters())


def test_modes_and_flags_are_the_same(seen: Seen):
    assert [m.training for m in seen.after.modules()] == [m.training for m in seen.before.modules()]
    assert [p.requires_grad for p in seen.after.parameters()] == [p.requires_grad for p in seen.before.parameters()]


def test_every_layer_has_numbers_of_its_output_and_its_gradient(seen: Seen):
    assert seen.profile.layers
    for layer in seen.profile.layers:
        assert layer.finite_fraction == 1.0, layer.name
        assert layer.rms >= 0 and layer.grad_norm > 0, layer.name
        assert layer.n > 0 and layer.d > 0, layer.name


class Trouble(Exception):
    pass


class Fails(nn.Module):
    def __init__(self, error: Exception):
        super().__init__()
        self.body, self.norm, self.error = nn.Linear(4, 4), nn.BatchNorm1d(4), error

    def forward(self, x: Tensor) -> Tensor:
        x = torch.dropout(self.norm(self.body(x)), 0.5, True)
        self.norm.eval()
        raise self.error


@pytest.mark.parametrize("error", [Trouble("no"), RuntimeError("mine"), KeyError("key"), AssertionError("false")])
def test_an_exception_of_the_model_goes_through_and_leaves_no_trace(error: Exception):
    model = made(lambda: Fails(error))
    state = copy.deepcopy(model.state_dict())
    with pytest.raises(type(error), match=str(error.args[0])):
        leadline.profile(model, torch.ones(3, 4))
    assert all(torch.equal(state[name], value) for name, value in model.state_dict().items())
    assert all(module.training for module in model.modules())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    assert all(p.grad is None and not p._backward_hooks for p in model.parameters())


class Noisy(nn.Module):
    """Draws from NumPy's global generator, as masks over spectrograms do."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x) * (1 + np.random.rand())


def test_a_model_that_draws_from_numpy_leaves_its_generator_as_it_was():
    model = made(Noisy)
    with seeded(7):
        first = leadline.profile(model, torch.ones(3, 4))
        again = leadline.profile(model, torch.ones(3, 4))
        drawn = np.random.rand()
    with seeded(7):
        assert drawn == np.random.rand()
    assert first.layers[0].rms == again.layers[0].rms


def test_an_exception_of_the_loss_leaves_no_trace():
    model = made(lambda: nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)))
    state = copy.deepcopy(model.state_dict())

    def loss(outputs: Tensor, targets: Any) -> Tensor:
        raise Trouble("no")

    with pytest.raises(Trouble):
        leadline.profile(model, torch.randn(3, 4, generator=torch.Generator().manual_seed(0)), loss=loss)
    assert all(torch.equal(state[name], value) for name, value in model.state_dict().items())
    assert not any(m._forward_hooks for m in model.modules())


def test_a_backward_pass_that_fails_leaves_no_trace_and_is_named():
    class Broken(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            y = torch.sigmoid(self.a(x))
            z = y.square().sum()
            y.mul_(2)
            return z + y.sum()

    model = made(Broken)
    with pytest.raises(UsageError, match="backward pass of the model fails: one of the variables needed for gradient"):
        leadline.profile(model, torch.ones(3, 4))
    assert not any(m._forward_hooks for m in model.modules())
    assert not any(p._backward_hooks for p in model.parameters())


class Rebinds(nn.Module):
    """Replaces a buffer, as some running averages do."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 3)
        self.register_buffer("average", torch.zeros(3))

    def forward(self, x: Tensor) -> Tensor:
        y = self.layer(x)
        self.average = 0.9 * self.average + 0.1 * y.detach().mean(0)
        return y


def test_a_replaced_buffer_is_the_old_object_again():
    model = made(Rebinds)
    average = model.average
    leadline.profile(model, torch.ones(2, 3))
    assert model.average is average
    assert torch.equal(average, torch.zeros(3))


def test_hooks_of_the_user_stay_and_run():
    model, seen = made(lambda: nn.Sequential(nn.Linear(3, 3), nn.ReLU())), []
    model[0].register_forward_hook(lambda module, args, output: seen.append(output.shape))
    leadline.profile(model, torch.ones(2, 3))
    assert len(model[0]._forward_hooks) == 1
    assert seen == [(2, 3)]


def test_the_inputs_are_not_changed_by_a_first_layer_in_place():
    model = made(lambda: nn.Sequential(nn.ReLU(inplace=True), nn.Linear(3, 3)))
    x = torch.tensor([[-1.0, 2.0, -3.0], [1.0, -1.0, 1.0]])
    kept = x.clone()
    profile = leadline.profile(model, x)
    assert torch.equal(x, kept) and not x.requires_grad
    assert profile.inputs is not None
    assert profile.inputs.max_abs == 3.0


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_it_works_where_the_caller_has_switched_gradients_off(context: Any):
    model, x = made(lambda: nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 2))), torch.eye(3)
    expected = leadline.profile(model, x)
    with context():
        found = leadline.profile(model, x)
        assert not torch.is_grad_enabled()
    assert found["0"].grad_norm == expected["0"].grad_norm > 0
