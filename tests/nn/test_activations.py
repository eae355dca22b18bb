from typing import get_args

import numpy as np
import pytest
import torch

from leadline._core.errors import UsageError
from leadline.nn import ACTIVATIONS, ActivationName, activation
from leadline.theory.activations import ACTIVATIONS as THEORY, TORCH_NAMES


def test_the_literal_lists_the_table():
    assert get_args(ActivationName) == tuple(ACTIVATIONS)


def test_theory_knows_the_same_names():
    assert set(ACTIVATIONS) == set(THEORY)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_torch_and_theory_compute_the_same_function(name):
    x = torch.linspace(-6, 6, 241, dtype=torch.float64)
    # The rounded constants of SELU differ in the 16th digit; 1e-12 leaves room for sums of a few roundings.
    np.testing.assert_allclose(activation(name)(x).numpy(), THEORY[name].function(x.numpy()), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_theory_recognises_the_module_by_its_class(name):
    assert TORCH_NAMES[type(activation(name)).__name__] == name


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_no_activation_works_in_place(name, generator):
    x = torch.randn(100, generator=generator)
    kept = x.clone()
    activation(name)(x)
    assert torch.equal(x, kept)


def test_an_unknown_name_offers_the_nearest():
    with pytest.raises(
        UsageError, match=r"activation must be one of identity, .*got 'leakyrelu' \(did you mean 'leaky_relu'"
    ):
        activation("leakyrelu")
