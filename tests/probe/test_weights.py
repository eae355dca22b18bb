"""Weights: gradients, ranks, cancellation, ties, and modules that are not used."""

import math

import pytest
import torch
from tests.architectures import build, made
from torch import Tensor, nn
from torch.nn import functional as F

import leadline
from leadline import metrics


@pytest.mark.parametrize(
    "layer",
    [
        lambda: nn.Linear(6, 9),
        lambda: nn.Conv2d(6, 8, 3, stride=2, padding=1, groups=2),
        lambda: nn.Conv2d(6, 4, 3, padding="same", dilation=2, padding_mode="circular"),
        lambda: nn.ConvTranspose2d(6, 4, 2, 2),
    ],
)
def test_cancellation_is_that_of_the_public_metric(layer, generator: torch.Generator):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = layer()

        def forward(self, x: Tensor) -> Tensor:
            return torch.tanh(self.layer(x))

    net = made(Net)
    x = (
        torch.randn(5, 6, generator=generator)
        if isinstance(net.layer, nn.Linear)
        else torch.randn(2, 6, 7, 7, generator=generator)
    )
    found = leadline.profile(net, x, loss=lambda y, _: y.square().sum())["layer"]
    kept: dict[str, Tensor] = {}
    net.layer.register_forward_hook(lambda m, a, y: y.register_hook(lambda g: kept.__setitem__("grad", g)) and None)
    net(x).square().sum().backward()
    expected = metrics.cancellation(x, kept["grad"], layer=net.layer)
    assert found.cancellation == pytest.approx(float(expected), rel=1e-4)
    positions = x if isinstance(net.layer, nn.ConvTranspose2d) else kept["grad"]
    count = len(x) * (positions[0, 0].numel() if positions.ndim == 4 else 1)
    assert found.cancellation_baseline == pytest.approx(math.sqrt(math.pi * count / 2))


def test_contributions_of_several_calls_add_up(generator: torch.Generator):
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(6, 6)

        def forward(self, x: Tensor) -> Tensor:
            return torch.cat([self.layer(x[:3]), self.layer(x[3:])])

    x = torch.randn(7, 6, generator=generator)
    once = leadline.profile(made(lambda: nn.Linear(6, 6)), x, loss=lambda y, _: y.square().sum())
    twice = leadline.profile(made(Twice), x, loss=lambda y, _: y.square().sum())
    assert twice["layer"].cancellation == pytest.approx(once.layers[0].cancellation, rel=1e-5)
    assert twice["layer"].cancellation_baseline == once.layers[0].cancellation_baseline
    assert math.isnan(twice["layer#2"].cancellation)


def test_one_sample_cancels_nothing():
    found = leadline.profile(made(lambda: nn.Linear(6, 4)), torch.ones(1, 6)).layers[0]
    assert found.cancellation == pytest.approx(1.0, abs=1e-5)


def test_the_gradient_of_a_block_is_that_of_all_its_weights_together():
    model, x, y = build("resnet")
    profile = leadline.profile(model, x, y)
    run, _, _ = build("resnet")
    F.cross_entropy(run(x), y).backward()
    block = dict(run.layer2[0].named_parameters()).values()
    grads = torch.cat([p.grad.flatten().double() for p in block if p.grad is not None])
    weights = torch.cat([p.detach().flatten().double() for p in block])
    layer = profile["layer2.0"]
    assert layer.weight_grad_norm == pytest.approx(float(grads.norm()), rel=1e-5)
    assert layer.weight_norm == pytest.approx(float(weights.norm()), rel=1e-6)
    assert layer.update_ratio == pytest.approx(float(grads.norm() / weights.norm()), rel=1e-5)
    assert layer.parameters == layer.trained == len(weights)


def test_a_tied_weight_is_counted_once_and_has_no_cancellation_of_one_use():
    model, inputs, _ = build("gpt2")
    profile = leadline.profile(model, inputs)
    assert "lm_head.weight" not in profile.weights
    assert profile["transformer.wte"].parameters == 50 * 16
    assert profile["lm_head"].parameters == 0
    assert profile["lm_head"].weight_grad_norm == profile.weights["transformer.wte.weight"]
    assert math.isnan(profile["lm_head"].cancellation)
    assert sum(layer.parameters for layer in profile.layers) == sum(p.numel() for p in model.parameters())


def test_shapes_are_those_of_the_map_from_inputs_to_outputs():
    class Maps(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.up = nn.Conv2d(4, 6, 3, groups=2, padding=1), nn.ConvTranspose2d(6, 8, 2, 2, groups=2)

        def forward(self, x: Tensor) -> Tensor:
            return self.up(self.conv(x))

    shapes = leadline.profile(made(Maps), torch.ones(2, 4, 4, 4)).weight_shapes
    assert shapes == {"conv.weight": (6, 2 * 9), "up.weight": (8, 3 * 4)}
    model, inputs, _ = build("gpt2")
    assert leadline.profile(model, inputs).weight_shapes["transformer.h.0.attn.c_attn.weight"] == (48, 16)


def test_the_rank_of_a_weight_tells_one_direction_from_many():
    net = made(lambda: nn.Sequential(nn.Linear(64, 64), nn.Linear(64, 64), nn.Linear(64, 64)))
    with torch.no_grad():
        net[1].weight.copy_(torch.outer(net[1].weight[0], net[1].weight[1]))
        net[2].weight.zero_()
    ranks = leadline.profile(net, torch.eye(64)).weight_ranks
    assert ranks["0.weight"] > 8
    assert ranks["1.weight"] == pytest.approx(1.0, abs=1e-5)
    assert ranks["2.weight"] == 0.0


def test_a_gradient_that_is_exactly_zero_is_a_gradient():
    net = made(lambda: nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2)))
    nn.init.zeros_(net[1].weight)
    profile = leadline.profile(net, torch.eye(4))
    assert profile["0"].weight_grad_norm == 0.0
    assert profile["0"].grad_norm == 0.0
    assert profile.unused == ()


class Partly(nn.Module):
    def __init__(self):
        super().__init__()
        self.used, self.head = nn.Linear(3, 3), nn.Linear(3, 2)
        self.extra = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 3))
        self.mixed = nn.ModuleDict({"yes": nn.Linear(3, 3), "no": nn.Linear(3, 3)})
        self.ignored = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        self.ignored(x)
        return self.head(self.mixed["yes"](self.used(x)))


def test_modules_that_never_meet_the_loss_are_named_by_the_outermost():
    assert leadline.profile(made(Partly), torch.eye(3)).unused == ("extra", "mixed.no", "ignored")


def test_frozen_modules_are_not_unused_unless_they_are():
    model = made(Partly).requires_grad_(False)
    profile = leadline.profile(model, torch.eye(3))
    assert profile.unused == ("extra", "mixed.no", "ignored")
    assert (profile["used"].trained, profile["used"].parameters) == (0, 12)
    assert profile["used"].grad_norm > 0
    assert math.isnan(profile["used"].weight_grad_norm)
    assert profile.weights == {}


def test_attention_whose_projection_is_never_called_is_used():
    model, x, _ = build("transformer_encoder")
    assert leadline.profile(model, x).unused == ()
    assert leadline.profile(model.requires_grad_(False), x).unused == ()


@pytest.mark.parametrize(("batch", "expected"), [(2, {"1": 2}), (31, {"1": 31}), (32, {})])
def test_batch_norms_over_few_values_are_named_with_their_count(batch: int, expected: dict[str, int], generator):
    net = made(lambda: nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 2)))
    x = torch.randn(batch, 4, generator=generator)
    assert leadline.profile(net, x).small_batch_norms == expected
    assert leadline.profile(net.eval(), x).small_batch_norms == {}


def test_values_per_channel_count_positions(generator: torch.Generator):
    net = made(lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4)))
    assert leadline.profile(net, torch.randn(2, 3, 6, 6, generator=generator)).small_batch_norms == {"3": 8}


def test_sparse_gradients_are_measured_like_dense_ones():
    class Bag(nn.Module):
        def __init__(self, sparse: bool):
            super().__init__()
            self.embedding, self.head = nn.Embedding(10, 4, sparse=sparse), nn.Linear(4, 2)

        def forward(self, ids: Tensor) -> Tensor:
            return self.head(self.embedding(ids).mean(1))

    ids = torch.tensor([[1, 2], [1, 3], [4, 4]])
    dense, sparse = (leadline.profile(made(lambda s=s: Bag(s)), ids) for s in (False, True))
    assert sparse.weights == dense.weights
