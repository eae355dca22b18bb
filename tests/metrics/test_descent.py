"""The loss along a step of gradient descent."""

import math

import pytest
import torch
from tests.metrics.models import mlp, untouched
from torch import nn
from torch.nn import functional as F

from leadline._core.errors import UsageError
from leadline._core.randomness import kept_rng
from leadline.metrics import relative_loss

STEPS = [0.0, 1e-3, 1e-1, 3.0]


@pytest.mark.parametrize("norm", [False, True])
def test_it_is_the_loss_after_a_step_down_the_gradient(norm, generator):
    model = mlp(norm=norm).double()
    x, targets = torch.randn(8, 6, generator=generator).double(), torch.randint(3, (8,), generator=generator)
    got = relative_loss(model, x, targets, steps=STEPS)
    for step, ratio in zip(STEPS, got, strict=True):
        moved = mlp(norm=norm).double()
        start = F.cross_entropy(moved(x), targets)
        start.backward()
        with torch.no_grad():
            for parameter in moved.parameters():
                parameter -= step * parameter.grad
        assert ratio.item() == pytest.approx((F.cross_entropy(moved(x), targets) / start).item(), rel=1e-12)


def test_the_start_is_one_and_the_first_slope_is_the_squared_gradient(generator):
    model = mlp(norm=False).double()
    x, y = torch.randn(5, 6, generator=generator).double(), torch.randn(5, 3, generator=generator).double()
    loss = F.mse_loss(model(x), y)
    square = sum(g.square().sum() for g in torch.autograd.grad(loss, list(model.parameters())))
    at = 1e-6
    start, first = relative_loss(model, x, y, steps=torch.tensor([0.0, at], dtype=torch.float64))
    assert start.item() == 1.0
    assert ((1 - first) / at).item() == pytest.approx((square / loss).item(), rel=1e-4)


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_the_model_is_left_as_it_was(dropout, generator):
    model = mlp(norm=True, dropout=dropout)
    model[0].weight.grad = torch.ones_like(model[0].weight)
    x, targets = torch.randn(8, 6, generator=generator), torch.randint(3, (8,), generator=generator)
    with untouched(model):
        got = relative_loss(model, x, targets, steps=STEPS)
    assert not got.requires_grad


def test_the_model_is_left_as_it_was_when_it_raises(generator):
    model = mlp(norm=True, dropout=0.5)
    with untouched(model), pytest.raises(RuntimeError):
        relative_loss(model, torch.zeros(4, 5), torch.zeros(4, dtype=torch.long), steps=STEPS)


def test_every_step_sees_the_same_dropout_masks(generator):
    model = mlp(norm=False, dropout=0.5)
    x, targets = torch.randn(8, 6, generator=generator), torch.randint(3, (8,), generator=generator)
    with kept_rng():
        assert relative_loss(model, x, targets, steps=[0.0, 0.0]).tolist() == [1.0, 1.0]


def test_a_diverging_step_is_a_number_and_no_error():
    model = mlp(norm=False).double()
    x, y = torch.ones(2, 6).double(), torch.zeros(2, 3).double()
    got = relative_loss(model, x, y, steps=[1e200, math.inf])
    assert [got[0].item(), got[1].isnan().item()] == [math.inf, True]


def test_frozen_parameters_take_no_step(generator):
    model = mlp(norm=False).double()
    x, y = torch.randn(5, 6, generator=generator).double(), torch.randn(5, 3, generator=generator).double()
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    model[-1].bias.requires_grad_(True)
    got = relative_loss(model, x, y, steps=[0.1])
    loss = F.mse_loss(model(x), y)
    (grad,) = torch.autograd.grad(loss, model[-1].bias)
    expected = F.mse_loss(model(x) - 0.1 * grad, y) / loss
    assert got.item() == pytest.approx(expected.item(), rel=1e-12)


def test_inputs_by_name_and_token_logits_are_understood(generator):
    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.head = nn.Embedding(7, 4), nn.Linear(4, 7)

        def forward(self, *, ids: torch.Tensor) -> dict[str, torch.Tensor]:
            embedded = self.embed(ids)
            return {"embedded": embedded, "logits": self.head(embedded)}

    with kept_rng():
        model = Tokens()
    ids = torch.randint(7, (2, 5), generator=generator)
    got = relative_loss(model, {"ids": ids}, ids, steps=[0.5])
    custom = relative_loss(
        model, {"ids": ids}, ids, steps=[0.5], loss=lambda out, t: F.cross_entropy(out["logits"].mT, t)
    )
    assert 0 < got.item() < 1
    assert got.item() == pytest.approx(custom.item(), rel=1e-6)


def test_a_model_without_free_parameters_is_refused():
    with pytest.raises(UsageError, match="no parameter that requires a gradient"):
        relative_loss(nn.ReLU(), torch.zeros(1), torch.zeros(1), steps=[0.1])


def test_no_step_is_a_wrong_call():
    with pytest.raises(UsageError, match=r"`steps` must be a sequence of one step size or more.* got \[\]"):
        relative_loss(nn.ReLU(), torch.zeros(1), torch.zeros(1), steps=[])


def test_a_loss_that_is_no_scalar_is_refused():
    model = mlp(norm=False)
    with pytest.raises(UsageError, match=r"`loss` must give a scalar .* got shape \(2, 3\)"):
        relative_loss(model, torch.zeros(2, 6), torch.zeros(2, 3), steps=[0.1], loss=lambda out, t: out - t)
