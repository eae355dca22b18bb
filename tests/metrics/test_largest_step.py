import math

import pytest
import torch
from torch import nn

from leadline._core.errors import UsageError
from leadline._core.randomness import seeded
from leadline.metrics import largest_step, relative_loss


def linear(*weights: float) -> nn.Linear:
    net = nn.utils.skip_init(nn.Linear, len(weights), 1, bias=False)
    with torch.no_grad():
        net.weight.copy_(torch.tensor([weights]))
    return net


def squares(outputs, targets):
    return (outputs - targets).square().sum() / 2


@pytest.mark.parametrize("scale", [1e-3, 1.0, 30.0])
def test_on_a_parabola_both_are_two_over_the_curvature(scale):
    net = linear(1.0)
    found = largest_step(net, torch.tensor([[scale]]), torch.zeros(1, 1), loss=squares)
    assert found.quadratic == pytest.approx(2 / scale**2, rel=1e-3)
    assert found.step == pytest.approx(2 / scale**2, rel=0.05)
    assert found.step <= 2 / scale**2 * 1.001


def test_of_two_directions_the_gradients_own_counts():
    # H = diag(1, 100), w = (1, 1): g = (1, 100), g'g = 10001, g'Hg = 1 + 1e6.
    x = torch.diag(torch.tensor([1.0, 10.0]))
    found = largest_step(linear(1.0, 1.0), x, torch.zeros(2, 1), loss=squares)
    assert found.quadratic == pytest.approx(2 * 10001 / 1000001, rel=1e-3)
    assert found.step == pytest.approx(found.quadratic, rel=0.05)


def test_the_sign_moves_every_parameter_alike():
    # s = sign g = (1, 1): s'Hs = 101, g's = 101.
    x = torch.diag(torch.tensor([1.0, 10.0]))
    found = largest_step(linear(1.0, 1.0), x, torch.zeros(2, 1), direction="sign", loss=squares)
    assert found.quadratic == pytest.approx(2.0, rel=1e-3) and found.step == pytest.approx(2.0, rel=0.05)


def test_the_loss_is_lower_just_below_the_step_and_higher_just_above(generator):
    with seeded(3):
        net = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.BatchNorm1d(16), nn.Linear(16, 4))
    x, y = torch.randn(32, 8, generator=generator), torch.arange(32) % 4
    before = {name: value.clone() for name, value in net.state_dict().items()}
    step = largest_step(net, x, y).step
    below, above = relative_loss(net, x, y, steps=[0.99 * step, 1.1 * step])
    assert below <= 1 < above
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert all(p.grad is None for p in net.parameters())


def test_a_loss_that_falls_without_end_has_no_largest_step():
    found = largest_step(linear(1.0), torch.ones(1, 1), torch.zeros(1, 1), loss=lambda out, _: out.sum())
    assert found.step == math.inf and found.quadratic > 1e4


def test_what_is_not_finite_or_does_not_move_has_no_step():
    net = linear(float("nan"))
    assert math.isnan(largest_step(net, torch.ones(1, 1), torch.zeros(1, 1)).step)
    assert math.isnan(largest_step(linear(1.0), torch.ones(1, 1), torch.ones(1, 1)).step)


class Complex(nn.Module):
    """The same as ``linear(a, b)`` in one complex number."""

    def __init__(self, weight: complex):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weight))

    def forward(self, x):
        return torch.view_as_real(self.weight.expand(len(x))) @ x.mT


@pytest.mark.parametrize("direction", ["gradient", "sign"])
def test_a_complex_parameter_counts_as_its_two_parts(direction):
    x, y = torch.diag(torch.tensor([1.0, 10.0])), torch.zeros(2, 1)

    def loss(outputs, _):
        return (outputs[0] if outputs.ndim == 2 and outputs.shape[1] == 2 else outputs).square().sum() / 2

    two = largest_step(linear(1.0, 1.0), x, y, direction=direction, loss=squares)
    one = largest_step(Complex(1 + 1j), x, y, direction=direction, loss=loss)
    assert (one.step, one.slope) == (two.step, two.slope)
    assert one.curvature == pytest.approx(two.curvature, rel=1e-3)


def test_a_packed_sequence_is_one_argument(generator):
    class OfPacked(nn.Module):
        def __init__(self):
            super().__init__()
            self.recurrent = nn.GRU(4, 3)

        def forward(self, sequences):
            return self.recurrent(sequences)[1][-1]

    with seeded(0):
        net = OfPacked()
    x = nn.utils.rnn.pack_sequence([torch.randn(t, 4, generator=generator) for t in (5, 3, 2)])
    assert largest_step(net, x, torch.tensor([0, 1, 2])).step > 0


def test_wrong_calls_are_refused():
    with pytest.raises(UsageError, match="direction"):
        largest_step(linear(1.0), torch.ones(1, 1), torch.zeros(1, 1), direction="newton")
    with pytest.raises(UsageError, match="`targets` must be a tensor, unless `loss` is given, .* got NoneType"):
        largest_step(linear(1.0), torch.ones(1, 1), None)
    with pytest.raises(UsageError, match="no parameter"):
        largest_step(linear(1.0).requires_grad_(False), torch.ones(1, 1), torch.zeros(1, 1))
