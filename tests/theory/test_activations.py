"""Activations as NumPy callables: the derivative is the derivative, and torch computes the same function."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from leadline._core.errors import UsageError
from leadline.theory import ACTIVATIONS, TORCH_NAMES, activation

# Off the kinks, on both sides of each.
_X = np.array([-7.3, -3.7, -2.2, -1.4, -0.6, -0.05, 0.07, 0.5, 1.3, 2.6, 3.4, 6.9])


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_derivative_is_the_limit_of_differences(name):
    phi = ACTIVATIONS[name]
    difference = (phi.function(_X + 1e-6) - phi.function(_X - 1e-6)) / 2e-6
    np.testing.assert_allclose(phi.derivative(_X), difference, atol=2e-9)


@pytest.mark.parametrize("name", sorted(name for name in TORCH_NAMES if hasattr(torch.nn, name)))
def test_torch_computes_the_same_function_under_that_class_name(name):
    expected = getattr(torch.nn, name)()(torch.tensor(_X)).numpy()
    np.testing.assert_allclose(activation(name).function(_X), expected, atol=1e-14)


def test_the_tanh_form_of_gelu_is_torch_s():
    expected = torch.nn.GELU(approximate="tanh")(torch.tensor(_X)).numpy()
    np.testing.assert_allclose(activation("gelu_tanh").function(_X), expected, atol=1e-14)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_second_derivatives_jump_at_the_named_breakpoints_only(name):
    """Between breakpoints a fourth-order rule for the derivative's slope is consistent on two step sizes."""
    phi = ACTIVATIONS[name]
    x = np.linspace(-8, 8, 1601)
    near = np.min(np.abs(x[:, None] - np.asarray([*phi.breakpoints, 1e9])), axis=1) < 0.021

    def slope(h):
        return (phi.derivative(x + h) - phi.derivative(x - h)) / (2 * h)

    off = np.abs(slope(0.02) - slope(0.01)) > 2e-3
    assert not np.any(off & ~near)


def test_an_unknown_name_offers_the_nearest():
    with pytest.raises(UsageError, match="did you mean 'gelu'"):
        activation("gellu")


@pytest.mark.parametrize(
    ("code", "loaded"), [("import leadline.theory", False), ("import leadline.theory, torch", True)]
)
def test_theory_loads_no_torch(code, loaded):
    script = f"{code}; import sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == loaded
