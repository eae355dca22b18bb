"""Models that differentiate inside their forward pass, transform themselves, or run parts of themselves apart."""

import math

import pytest
import torch
from tests.architectures import made
from torch import Tensor, nn
from torch.nn import functional as F

import leadline
from leadline._core.errors import UsageError


class Forces(nn.Module):
    """Minus the gradient of an energy by the positions; the energy too, if asked."""

    def __init__(self, energy: bool):
        super().__init__()
        self.net, self.energy = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1)), energy

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        x = x if x.requires_grad else x.requires_grad_()
        energy = self.net(x)
        forces = -torch.autograd.grad(energy.sum(), x, create_graph=True)[0]
        return (forces, energy) if self.energy else forces


@pytest.fixture
def x(generator: torch.Generator) -> Tensor:
    return torch.randn(6, 4, generator=generator)


@pytest.mark.parametrize("energy", [False, True])
def test_gradients_of_gradients_are_measured(energy: bool, x: Tensor):
    model, targets = made(lambda: Forces(energy)), torch.ones(6, 4)
    profile = leadline.profile(model, x, targets)
    outputs = model(x.clone())
    loss = F.mse_loss(outputs[0] if energy else outputs, targets)
    expected = dict(
        zip(profile.weights, torch.autograd.grad(loss, [model.net[0].weight, model.net[2].weight]), strict=True)
    )
    assert profile.weights == pytest.approx({name: float(grad.norm()) for name, grad in expected.items()}, rel=1e-5)
    # What one use of a weight contributes says nothing of a gradient that sums over two.
    assert all(math.isnan(layer.cancellation) for layer in profile.layers)


def test_a_weight_used_again_by_a_function_has_no_cancellation(x: Tensor):
    class Tied(nn.Module):
        def __init__(self, tied: bool):
            super().__init__()
            self.up, self.mid, self.tied = nn.Linear(4, 8), nn.Linear(8, 8), tied

        def forward(self, x: Tensor) -> Tensor:
            h = self.mid(torch.relu(self.up(x)))
            return F.linear(h, self.up.weight.t()) if self.tied else h

    tied, plain = leadline.profile(made(lambda: Tied(True)), x), leadline.profile(made(lambda: Tied(False)), x)
    assert math.isnan(tied["up"].cancellation) and tied["mid"].cancellation > 1
    assert plain["up"].cancellation > 1


def test_a_scaled_weight_has_no_cancellation_of_a_plain_one(x: Tensor):
    class Scaled(nn.Linear):
        def forward(self, input: Tensor) -> Tensor:
            return F.linear(input, self.weight * 0.01, self.bias)

    profile = leadline.profile(made(lambda: nn.Sequential(Scaled(4, 4), nn.Linear(4, 3))), x)
    assert math.isnan(profile["0"].cancellation) and profile["1"].cancellation > 1


def test_a_backward_pass_inside_leaves_no_gradient_behind(x: Tensor):
    class Learns(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            assert self.layer.weight.grad is None
            self.layer(x.detach()).sum().backward()
            return self.layer(x)

    model = made(Learns)
    kept = model.layer.weight.grad = torch.ones(3, 4)
    leadline.profile(model, x)
    assert model.layer.weight.grad is kept and bool((kept == 1).all())
    assert model.layer.bias.grad is None


class Mapped(nn.Module):
    def __init__(self, head: bool):
        super().__init__()
        self.inner, self.head = nn.Linear(4, 4), nn.Linear(4, 3) if head else None

    def forward(self, x: Tensor) -> Tensor:
        h = torch.func.vmap(self.inner)(x)
        return h if self.head is None else self.head(h)


def test_calls_inside_transforms_are_left_out_and_named(x: Tensor):
    profile = leadline.profile(made(lambda: Mapped(True)), x)
    assert [layer.name for layer in profile.layers] == ["head"]
    assert any("inside a transform of torch.func, were not measured: inner." in note for note in profile.notes)
    with pytest.raises(UsageError, match="no layer to measure: the outputs are complex, or live inside a transform"):
        leadline.profile(made(lambda: Mapped(False)), x)


class Spectral(nn.Module):
    def __init__(self):
        super().__init__()
        self.into, self.mix = nn.Linear(4, 4).double(), nn.Linear(3, 3, dtype=torch.complex128)

    def forward(self, x: Tensor) -> Tensor:
        return torch.fft.irfft(self.mix(torch.fft.rfft(self.into(x))), n=4)


def test_complex_outputs_are_left_out_and_named(x: Tensor):
    profile = leadline.profile(made(Spectral), x.double())
    assert [layer.name for layer in profile.layers] == ["into"]
    assert any("complex" in note and note.endswith("were not measured: mix.") for note in profile.notes)


def test_a_complex_model_is_an_error():
    model = made(lambda: nn.Linear(4, 3, dtype=torch.complex64))
    with pytest.raises(UsageError, match=r"The output \(Tensor\) is complex; return real numbers"):
        leadline.profile(model, torch.ones(2, 4, dtype=torch.complex64))


def test_a_generator_is_no_output(x: Tensor):
    class Yields(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 3)

        def forward(self, x: Tensor) -> object:
            return (self.layer(x) for _ in range(2))

    with pytest.raises(UsageError, match=r"The output \(generator\) carries no gradient"):
        leadline.profile(made(Yields), x)


def test_parts_in_inference_mode_are_measured_forward_only(x: Tensor):
    class Frozen(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder, self.head = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 5)), nn.Linear(5, 3)
            self.encoder.requires_grad_(False)

        def forward(self, x: Tensor) -> Tensor:
            with torch.inference_mode():
                h = self.encoder(x)
            return self.head(h.clone())

    model = made(Frozen)
    profile = leadline.profile(model, x)
    assert [layer.name for layer in profile.layers] == ["encoder.0", "encoder.2", "head"]
    expected = model.encoder(x).detach().double().square().mean().sqrt()
    assert profile["encoder.2"].rms == pytest.approx(float(expected), rel=1e-6)
    assert math.isnan(profile["encoder.2"].grad_norm) and profile["head"].grad_norm > 0


def test_a_model_that_asks_gradients_of_its_inputs_itself_is_given_plain_ones(x: Tensor):
    class Speech(nn.Module):
        """As the encoders of speech models do, so that a checkpoint has something to differentiate."""

        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            h = x[:, None]
            h.requires_grad = True
            return self.layer(h)[:, 0]

    class Plain(Speech):
        def forward(self, x: Tensor) -> Tensor:
            return self.layer(x[:, None])[:, 0]

    profile, plain = leadline.profile(made(Speech), x), leadline.profile(made(Plain), x)
    assert [layer.metrics for layer in profile.layers] == [layer.metrics for layer in plain.layers]
    assert profile.inputs is not None and math.isnan(profile.inputs.grad_norm)
