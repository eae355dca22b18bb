"""Pre-training raises the participation ratio on samples that it did not see."""

import pytest
import torch
from tests.init.models import OfPackedSequences, sequences
from torch import nn

from leadline._core.errors import UsageError
from leadline._core.randomness import seeded
from leadline.data import digits
from leadline.init import maximise_rank, xavier
from leadline.metrics import participation_ratio


def perceptron(depth, generator, width=64):
    with seeded(0):
        layers = [m for _ in range(depth) for m in (nn.Linear(64, width), nn.ReLU())]
        return xavier(nn.Sequential(*layers, nn.Linear(width, 10)), generator=generator)


def images():
    return digits().inputs.flatten(1)


@pytest.mark.slow
def test_adam_raises_the_rank_where_plain_descent_stalls_at_depth_thirty(generator):
    found = {}
    for version in ("adam", "last"):
        model = perceptron(30, torch.Generator().manual_seed(1))
        found[version] = maximise_rank(model, images(), version=version, rounds=10, generator=generator)
    assert found["last"].before < 1.05
    assert found["last"].after < 1.05  # 400 steps
    assert found["adam"].after > 3


@pytest.mark.slow
def test_the_paper_s_version_raises_the_rank_of_ten_layers_on_large_inputs(generator):
    """The paper trains on grey values of 0 … 255; inputs of that size make steps of 1e-3 matter."""
    model = perceptron(10, torch.Generator().manual_seed(1))
    ranked = maximise_rank(model, 50 * images(), version="last", rounds=40, generator=generator)
    assert ranked.after > 1.5 * ranked.before


def test_the_growing_version_raises_the_rank_and_moves_weights_only(generator):
    model = perceptron(12, torch.Generator().manual_seed(1))
    biases = [layer.bias.clone() for layer in model[::2]]
    ranked = maximise_rank(model, images(), version="growing", batch=32, rounds=1, steps=80, generator=generator)
    assert ranked.after > 1.2 * ranked.before
    assert ranked.steps == 2 * 80  # layers 4 and 8
    assert all(torch.equal(layer.bias, bias) for layer, bias in zip(model[::2], biases, strict=True))


def test_the_ratio_is_that_of_the_input_of_the_last_layer(generator):
    model = perceptron(4, torch.Generator().manual_seed(1))
    ranked = maximise_rank(model, images()[:64], rounds=2, steps=3, generator=generator)
    with torch.no_grad():
        assert ranked.after == pytest.approx(participation_ratio(model[:-1](images()[:64])).item(), rel=1e-4)
    assert ranked.steps == 6


def test_frozen_parameters_gradients_statistics_and_generators_stay(generator):
    with seeded(0):
        model = nn.Sequential(
            nn.Linear(64, 20), nn.BatchNorm1d(20), nn.Dropout(0.1), nn.Linear(20, 20), nn.Linear(20, 5)
        )
    model[0].requires_grad_(False)
    model[4].weight.grad = torch.ones(5, 20)
    kept = {name: value.clone() for name, value in model.state_dict().items() if name.startswith(("0.", "1.running"))}
    maximise_rank(model, images(), rounds=1, steps=3, generator=generator)
    assert all(torch.equal(model.state_dict()[name], value) for name, value in kept.items())
    assert torch.equal(model[4].weight.grad, torch.ones(5, 20))
    assert model[3].weight.grad is None


def test_without_a_hidden_layer_it_is_a_wrong_call(generator):
    with seeded(0), pytest.raises(UsageError, match="runs 1 layers with weights"):
        maximise_rank(nn.Sequential(nn.Linear(64, 2)), images(), generator=generator)
    with pytest.raises(UsageError, match="version must be one of adam, last, growing; got 'sgd'"):
        maximise_rank(perceptron(2, generator), images(), version="sgd", generator=generator)


@pytest.mark.parametrize(
    ("samples", "how", "message"),
    [
        (30, {"batch": 0}, "batch must be a whole number from 2; got 0"),
        (30, {"rounds": -1}, "rounds must be a whole number from 0; got -1"),
        (0, {}, r"`inputs` must hold samples; got a tensor of shape \(0, 64\)"),
    ],
    ids=["batch", "rounds", "samples"],
)
def test_what_cannot_be_trained_on_is_a_wrong_call(samples, how, message, generator):
    with pytest.raises(UsageError, match=message):
        maximise_rank(perceptron(2, generator), images()[:samples], generator=generator, **how)


def test_of_packed_sequences_samples_are_taken(generator):
    with seeded(0):
        model = OfPackedSequences()
    ranked = maximise_rank(model, sequences(generator), batch=16, rounds=2, steps=5, generator=generator)
    assert ranked.steps == 10 and ranked.after > ranked.before
