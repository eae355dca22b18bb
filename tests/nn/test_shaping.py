import copy
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import leadline
from leadline._core.errors import UsageError
from leadline._core.randomness import kept_rng, seeded
from leadline.nn import (
    ACTIVATIONS,
    GainedActivation,
    activation,
    gain_schedule,
    shape,
    split,
    tailored_leaky_relu,
)
from leadline.nn.shaping.adapted import adapted
from leadline.theory import moments

NONLINEAR = [name for name in ACTIVATIONS if name != "identity"]

# Expectations over a standard normal by a rule of the test's own: trapezia on [-12, 12], error of a kink 1e-10.
_GRID = np.linspace(-12, 12, 2_400_001)
_DENSITY = np.exp(-np.square(_GRID) / 2) / np.sqrt(2 * np.pi)


def expect(values):
    return float(np.sum(values * _DENSITY) * (_GRID[1] - _GRID[0]))


def on_grid(module):
    x = torch.tensor(_GRID, requires_grad=True)
    y = module(x)
    return y.detach().numpy(), torch.autograd.grad(y.sum(), x)[0].numpy()


def test_the_public_name_is_that_of_the_package():
    assert leadline.shape is shape


@pytest.mark.parametrize("name", ["relu", "gelu", "tanh", "hard_swish"])
def test_the_split_is_that_of_a_dense_sum(name):
    parts = split(activation(name))
    phi, slope = on_grid(activation(name))
    rest = (phi - parts.mean - parts.linear * _GRID) / parts.scale
    assert parts.mean == pytest.approx(expect(phi), abs=1e-9)
    assert parts.linear == pytest.approx(expect(_GRID * phi), abs=1e-9)
    assert expect(rest**2) == pytest.approx(1, abs=1e-8)
    assert parts.slope == pytest.approx((expect(slope**2) - parts.linear**2) / parts.scale**2, rel=1e-5)
    assert parts.cubic == pytest.approx(expect(_GRID**3 * rest), abs=1e-8)


@pytest.mark.parametrize("name", NONLINEAR)
def test_the_moments_of_a_module_are_those_of_theory(name):
    parts, exact = split(activation(name)), moments(name)
    assert parts.mean == pytest.approx(exact.mean, abs=1e-12)
    assert parts.linear == pytest.approx(exact.linear, abs=1e-12)
    assert parts.scale**2 == pytest.approx(exact.nonlinear, rel=1e-9)
    assert parts.slope == pytest.approx((exact.slope_second - exact.linear**2) / exact.nonlinear, rel=1e-9)


@pytest.mark.parametrize("name", NONLINEAR)
def test_a_shaped_activation_has_mean_zero_variance_one_and_the_slope_of_the_budget(name):
    act = shape(activation(name), 100, 2.0)
    phi, slope = on_grid(act)
    assert expect(phi) == pytest.approx(0, abs=1e-9)
    assert expect(phi**2) == pytest.approx(1, abs=1e-8)
    assert expect(slope**2) == pytest.approx(math.exp(2 / 100), rel=1e-5)
    assert act.chi == pytest.approx(math.exp(2 / 100), rel=1e-12)


@pytest.mark.parametrize("name", NONLINEAR)
def test_the_rest_has_a_slope_of_at_least_two(name):
    assert split(activation(name)).slope >= 2


def test_eta_is_the_closed_form():
    act = shape(nn.ReLU(), 1000, 0.5)
    assert act.eta == pytest.approx((math.exp(0.5 / 1000) - 1) / (act.split.slope - 1), rel=1e-12)


@pytest.mark.parametrize("module", [nn.Identity(), nn.Dropout(0.5), nn.LeakyReLU(1.0)])
def test_a_straight_line_is_not_shaped(module, generator):
    act = shape(module, 1000)
    x = torch.randn(10, generator=generator)
    assert act.eta == 0 and act.chi == 1
    assert torch.equal(act(x), x)


def test_a_nearly_straight_line_keeps_its_digits():
    # The rest of a leaky ReLU is that of the ReLU at every slope.
    assert split(nn.LeakyReLU(1 - 1e-5)).slope == pytest.approx(split(nn.ReLU()).slope, rel=1e-9)


def test_a_shallow_network_gets_the_activation_standardised(generator):
    x = torch.randn(100, generator=generator, dtype=torch.float64)
    act = shape(nn.GELU(), 1, 100.0)
    exact = moments("gelu")
    torch.testing.assert_close(act(x), (F.gelu(x) - exact.mean) / math.sqrt(exact.variance))


def test_kinks_away_from_integers_are_found():
    parts = split(nn.Hardtanh(-0.3, 0.7))
    inside = np.abs(_GRID - 0.2) < 0.5
    assert adapted(nn.Hardtanh(-0.3, 0.7)).breakpoints
    assert parts.linear == pytest.approx(0.5 * (math.erf(0.7 / 2**0.5) + math.erf(0.3 / 2**0.5)), abs=1e-11)
    assert expect(inside) == pytest.approx(parts.linear, abs=1e-5)


@pytest.mark.parametrize("scale", [1e-20, 1e20])
def test_the_scale_of_an_activation_does_not_matter(scale):
    plain, scaled = split(nn.Hardtanh(-0.3, 0.7)), split(lambda x: scale * F.hardtanh(x, -0.3, 0.7))
    assert scaled.scale / scale == pytest.approx(plain.scale, rel=1e-11)
    assert (scaled.slope, scaled.cubic) == (pytest.approx(plain.slope, rel=1e-11), pytest.approx(plain.cubic, rel=1e-9))


@pytest.mark.parametrize(
    ("function", "slope"),
    # Of |x|^p: p² E|x|^(2p - 2) over the variance; of exp(a x²): 4a² (1 - 4a)^(-3/2) over the variance.
    [
        (
            lambda x: x.abs() ** 1.5,
            2.25 * math.sqrt(2 / math.pi) / (2 * math.sqrt(2 / math.pi) - 2**1.5 * math.gamma(1.25) ** 2 / math.pi),
        ),
        (lambda x: torch.exp(0.1 * x * x), 0.04 * 0.6**-1.5 / (0.6**-0.5 - 1 / 0.8)),
    ],
    ids=["a slope with a root", "growth that the density outruns"],
)
def test_moments_that_are_finite_settle(function, slope):
    assert split(function).slope == pytest.approx(slope, rel=1e-10)


def test_callables_and_parametrised_modules_are_shaped(generator):
    x = torch.randn(10, generator=generator)
    torch.testing.assert_close(shape(torch.tanh, 50)(x), shape(nn.Tanh(), 50)(x))
    assert split(nn.ELU(alpha=0.5)).linear < split(nn.ELU(alpha=1.0)).linear
    prelu = nn.PReLU(init=0.2)
    act = shape(prelu, 50)
    assert next(act.parameters()) is prelu.weight
    torch.testing.assert_close(act(x), shape(nn.LeakyReLU(0.2), 50)(x))


@pytest.mark.parametrize("depth", [2, 30])
@pytest.mark.parametrize("name", NONLINEAR)
def test_the_folded_form_is_the_definition(name, depth, generator):
    x = torch.randn(100, generator=generator, dtype=torch.float64)
    kept = x.clone()
    act = shape(activation(name), depth)
    p = act.split
    rest = (activation(name)(x) - p.mean - p.linear * x) / p.scale
    torch.testing.assert_close(act(x), math.sqrt(1 - act.eta) * x + act.sign * math.sqrt(act.eta) * rest)
    assert torch.equal(x, kept)


@pytest.mark.parametrize("name", NONLINEAR)
def test_gradcheck_also_of_the_second_derivative(name, generator):
    act = shape(activation(name), 10)
    x = torch.randn(20, generator=generator, dtype=torch.float64, requires_grad=True)
    with kept_rng():  # both draw cotangents
        assert torch.autograd.gradcheck(act, (x,)) and torch.autograd.gradgradcheck(act, (x,))


@pytest.mark.parametrize("module", [nn.ReLU(inplace=True), nn.SiLU(inplace=True)])
def test_an_activation_in_place_is_used_out_of_place_and_left_as_it_is(module, generator):
    x = torch.randn(10, generator=generator)
    kept = x.clone()
    out = shape(module, 10)(x)
    assert torch.equal(x, kept) and module.inplace
    other = copy.copy(module)
    other.inplace = False
    assert torch.equal(out, shape(other, 10)(x))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_the_dtype_is_that_of_the_input(dtype, generator):
    x = torch.randn(10, generator=generator).to(dtype)
    assert shape(nn.GELU(), 10)(x).dtype == dtype


def test_without_normalisation_the_sign_makes_lengths_return():
    # d/dq of E phi(sqrt(q) x)^2 at q = 1, by the rule of the test's own; below 1 lengths return to one.
    for name in ("tanh", "selu", "sin", "softsign"):
        act = shape(activation(name), 5, normalised=False)
        phi, slope = on_grid(act)
        assert expect(phi * slope * _GRID) < 1
        parts = act.split
        rest = lambda y, p=parts: (y - p.mean - p.linear * _GRID) / p.scale  # noqa: E731
        assert act.sign * expect(_GRID**3 * rest(on_grid(activation(name))[0])) <= 0


def test_the_residual_budget_is_met_by_the_sum_over_blocks():
    shares = [1 / (block + 1) for block in range(50)]
    act = shape(nn.ReLU(), 50, branch_shares=shares)
    assert sum(math.log1p(share * (act.chi - 1)) for share in shares) == pytest.approx(1, rel=1e-9)
    assert shape(nn.ReLU(), 50).eta < act.eta
    equal = shape(nn.ReLU(), 50, branch_shares=[1.0] * 50)
    assert equal.eta == pytest.approx(shape(nn.ReLU(), 50).eta, rel=1e-9)


def test_it_says_what_it_was_shaped_for_and_what_it_cannot_lower():
    act = shape(nn.ReLU(), 1000)
    assert "depth=1000, budget=1.0, eta=0.0005711, chi=1.001" in repr(act)
    assert repr(shape(torch.tanh, 10)).startswith("ShapedActivation(tanh, depth=10")
    assert "not lowered: growth of the identity at finite batch" in repr(act)
    assert act.gradient_growth() == pytest.approx(0.5)
    assert act.gradient_growth(n=100, d=100) == pytest.approx(0.5)
    # 2.2 decades of the identity at n = 50, d = 100.
    assert act.gradient_growth(n=50, d=100) / math.log(10) == pytest.approx(2.45, abs=0.05)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: shape(nn.ReLU(), 0), "got depth=0"),
        (lambda: shape(nn.ReLU(), 10, 0.0), "budget=0.0"),
        (lambda: shape(nn.Softmax(0), 10), "Softmax is not an elementwise activation"),
        (lambda: shape(lambda x: 1e-20 * x.softmax(0), 10), "not an elementwise activation"),
        (lambda: shape(nn.GLU(), 10), "GLU is not an elementwise activation"),
        (lambda: shape(torch.sign, 10), "sign jumps"),
        (lambda: shape(torch.log, 10), "log is not finite"),
        (lambda: shape(torch.zeros_like, 10), "zeros_like is constant"),
        (lambda: shape(lambda x: 1e-20 * torch.sign(x), 10), "jumps"),
        (lambda: shape(lambda x: 1e20 + 0 * x, 10), "is constant"),
        (lambda: shape(lambda x: x.abs().log(), 10), "its slope under a standard normal are infinite"),
        (lambda: shape(lambda x: x.abs().sqrt(), 10), "its slope under a standard normal are infinite"),
        (lambda: shape(lambda x: torch.exp(x * x), 10), "its slope under a standard normal are infinite"),
        (lambda: shape(lambda x: torch.exp(x**3), 10), "its slope under a standard normal are infinite"),
        (lambda: shape(lambda x: x + 1e-6 * torch.sin(1e9 * x), 10), "beyond the reach of quadrature"),
        (lambda: shape(torch.relu_, 10), "relu_ overwrites its argument"),
        (lambda: shape(nn.ReLU(), 3, branch_shares=[0.5]), r"3 numbers in \(0, 1\]"),
        (lambda: shape(nn.ReLU(), 3).gradient_growth(n=5), "needs both n and d"),
        (lambda: gain_schedule(0), "at least 1"),
        (lambda: tailored_leaky_relu(5, correlation=1.0), r"correlation in \(0, 1\)"),
    ],
)
def test_wrong_calls_say_what_was_expected(call, message):
    with pytest.raises(UsageError, match=message):
        call()


def test_gains_decay_with_the_layer_and_stand_before_the_activation(generator):
    x = torch.randn(10, generator=generator)
    gains = gain_schedule(3)
    assert gains == pytest.approx([1, 2**-0.4, 3**-0.4])
    assert torch.equal(GainedActivation(nn.Tanh(), gains[2])(x), torch.tanh(gains[2] * x))


@pytest.mark.parametrize("depth", [20, 100, 1000])
def test_a_tailored_leaky_relu_takes_uncorrelated_inputs_to_the_correlation(depth):
    act = tailored_leaky_relu(depth, correlation=0.9)
    slope, c = act.negative_slope, 0.0
    # The arc-cosine kernel of the ReLU, for the two signs: an own way to the same map.
    for _ in range(depth):
        relu = (math.sqrt(1 - c * c) + c * (math.pi - math.acos(c))) / (2 * math.pi)
        mixed = relu - c / 2
        c = act.gain**2 * ((1 + slope**2) * relu - 2 * slope * mixed)
    assert c == pytest.approx(0.9, abs=1e-9)


def test_a_shallow_tailored_leaky_relu_is_the_relu():
    act = tailored_leaky_relu(1)
    assert act.negative_slope == 0 and act.gain == pytest.approx(2**0.5)


def _ends(act, depth, width, batch, generator, *, normalised=True):
    """Decades between the gradient norms of the first and the last weights, and mean square at the end."""
    with seeded(int(torch.randint(2**31, (), generator=generator))):
        weights = [nn.init.orthogonal_(torch.empty(width, width)).requires_grad_() for _ in range(depth)]
    x = torch.randn(batch, width, generator=generator)
    for weight in weights:
        x = x @ weight.T
        x = act(F.batch_norm(x, None, None, training=True) if normalised else x)
    cotangent = torch.randn(batch, width, generator=generator)
    first, last = torch.autograd.grad((x * cotangent).sum(), [weights[0], weights[-1]])
    return (first.double().norm() / last.double().norm()).log10().item(), x.square().mean().item()


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["relu", "gelu", "silu", "elu", "tanh", "sigmoid", "sin", "leaky_relu", "mish", "softplus"]
)
def test_a_thousand_normalised_layers_stay_within_three_and_a_half_decades(name, generator):
    decades, _ = _ends(shape(activation(name), 1000), 1000, 100, 50, generator)
    assert abs(decades) < 3.5


@pytest.mark.slow
def test_a_thousand_normalised_layers_of_unshaped_relu_overflow(generator):
    decades, _ = _ends(nn.ReLU(), 1000, 100, 50, generator)
    assert not decades < 38


@pytest.mark.slow
def test_lengths_survive_a_thousand_layers_without_normalisation_with_the_right_sign_only(generator):
    act = shape(nn.Tanh(), 1000, normalised=False)
    _, right = _ends(act, 1000, 100, 50, generator, normalised=False)
    assert right == pytest.approx(1, abs=0.05)
    wrong = copy.copy(act)
    wrong.of_phi = -act.of_phi
    wrong.of_x = math.sqrt(1 - act.eta) + act.of_phi * act.split.linear
    _, lengths = _ends(wrong, 1000, 100, 50, generator, normalised=False)
    assert not 0.5 < lengths < 2


def _residual_growth(act, depth, n, d, generator):
    """Growth of the log squared gradient, in units of the stream, over blocks x + V act(BN(W x))."""

    def haar():
        q, r = torch.linalg.qr(torch.randn(d, d, generator=generator))
        return q * r.diagonal().sign()

    start = torch.randn(n, d, generator=generator).requires_grad_()
    x = start
    for _ in range(depth):
        x = x + act(F.batch_norm(x @ haar(), None, None, training=True)) @ haar()
    cotangent = torch.randn(n, d, generator=generator)
    (grad,) = torch.autograd.grad((x * cotangent).sum(), start)
    ends = [(g.square().sum() * v.detach().var()).log() for g, v in ((grad, start), (cotangent, x))]
    return (ends[0] - ends[1]).item()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["relu", "gelu", "tanh"])
def test_the_residual_budget_is_what_a_pre_norm_network_grows_by(name, generator):
    shares = [1 / (block + 2) for block in range(50)]
    act = shape(activation(name), 50, 0.6, branch_shares=shares)
    grown = sum(_residual_growth(act, 50, 100, 200, generator) for _ in range(4)) / 4
    assert grown == pytest.approx(0.6, rel=0.17)
