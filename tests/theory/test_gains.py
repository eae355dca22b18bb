"""Gains and initialiser variances: known values, and dense layers that keep their scale."""

import math

import numpy as np
import pytest
import torch

from leadline._core.errors import AssumptionError, UsageError
from leadline._core.randomness import seeded
from leadline.theory import Activation, activation, gain, gradient_gain, weight_variance


@pytest.mark.parametrize(
    ("name", "expected"),
    [("identity", 1.0), ("relu", math.sqrt(2)), ("leaky_relu", math.sqrt(2 / 1.0001)), ("selu", 1.0)],
)
def test_gains_that_are_known_in_closed_form(name, expected):
    # SELU's constants are defined by the fixed point of mean 0 and variance 1, known to seven digits.
    assert gain(name) == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize("name", ["gelu", "silu", "mish", "tanh", "hard_swish"])
def test_a_dense_stack_with_the_gain_keeps_its_second_moment(name):
    """Twelve layers of width 1500: a gain wrong by 10 % would miss by a factor of ten."""
    rng, d = np.random.default_rng(1), 1500
    h = rng.standard_normal((8, d))
    for _ in range(12):
        h = activation(name).function(h) @ rng.standard_normal((d, d)) * gain(name) / math.sqrt(d)
    # The fixed points of silu and the like repel: sampling errors of 1 % have grown by the end, hence .25.
    assert np.mean(h**2) == pytest.approx(1.0, abs=0.25)


@pytest.mark.parametrize("name", ["gelu", "tanh", "elu", "sigmoid"])
def test_the_gradient_gain_keeps_the_norm_of_a_gradient(name):
    rng, d = np.random.default_rng(2), 2000
    h, delta = rng.standard_normal(d), rng.standard_normal(d)
    back = activation(name).derivative(h) * (rng.standard_normal((d, d)).T @ delta) * gradient_gain(name) / math.sqrt(d)
    assert np.linalg.norm(back) / np.linalg.norm(delta) == pytest.approx(1.0, abs=0.06)


@pytest.mark.parametrize("name", ["identity", "relu", "leaky_relu"])
def test_both_gains_agree_for_homogeneous_activations(name):
    assert gradient_gain(name) == pytest.approx(gain(name), rel=1e-13)


def test_torch_s_default_initialiser_has_the_stated_variance():
    with seeded(0):
        weight = torch.nn.Linear(400, 1000).weight.detach().double()
    assert weight.var().item() == pytest.approx(weight_variance("torch", fan_in=400, fan_out=1000), rel=0.01)


@pytest.mark.parametrize(
    ("rule", "fill"),
    [
        ("he", torch.nn.init.kaiming_normal_),
        ("he_fan_out", lambda w, generator: torch.nn.init.kaiming_normal_(w, mode="fan_out", generator=generator)),
        ("xavier", torch.nn.init.xavier_uniform_),
    ],
)
def test_rules_have_the_variance_of_torch_s_initialisers(rule, fill, generator):
    weight = fill(torch.empty(1200, 300), generator=generator).double()
    assert weight.var().item() == pytest.approx(weight_variance(rule, fan_in=300, fan_out=1200), rel=0.015)


def test_an_unknown_rule_and_an_empty_fan_are_refused():
    with pytest.raises(UsageError, match="he, he_fan_out, xavier, lecun, torch"):
        weight_variance("kaiming", fan_in=1, fan_out=1)  # pyright: ignore[reportArgumentType]
    with pytest.raises(AssumptionError, match="fan_in=0"):
        weight_variance("he", fan_in=0, fan_out=3)


def test_no_gain_revives_a_dead_activation():
    dead = Activation(name="dead", function=np.zeros_like, derivative=np.zeros_like)
    with pytest.raises(AssumptionError, match="second moment"):
        gain(dead)
    with pytest.raises(AssumptionError, match="slope"):
        gradient_gain(dead)
