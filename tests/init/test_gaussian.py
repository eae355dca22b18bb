"""The law of independent weights, and the gains of activations."""

import itertools
import math

import pytest
import torch
from scipy import integrate, stats
from torch import nn
from torch.nn import functional as F

from leadline._core.errors import AssumptionError, UsageError
from leadline._core.randomness import seeded
from leadline.init import gain, gaussian, he, one_sided, xavier

FALSE_ALARM = 1e-6
FAN_IN, FAN_OUT = 200, 300  # 60,000 numbers: a scale wrong by 4 % has p = 1e-9 in the median


def made(make):
    with seeded(0):
        return make()


def fits(weight, std):
    return stats.kstest(weight.detach().flatten().double().numpy(), stats.norm(scale=std).cdf).pvalue > FALSE_ALARM


LAWS = {
    "gaussian": (lambda w, g: gaussian(w, gain=1.5, generator=g), 1.5 / math.sqrt(FAN_IN)),
    "he": (lambda w, g: he(w, generator=g), math.sqrt(2 / FAN_IN)),
    "he backward": (lambda w, g: he(w, backward=True, generator=g), math.sqrt(2 / FAN_OUT)),
    "he tanh": (lambda w, g: he(w, activation=nn.Tanh, generator=g), 1.5925374197228312 / math.sqrt(FAN_IN)),
    "xavier": (lambda w, g: xavier(w, generator=g), math.sqrt(2 / (FAN_IN + FAN_OUT))),
    "xavier relu": (lambda w, g: xavier(w, activation="relu", generator=g), math.sqrt(4 / (FAN_IN + FAN_OUT))),
}


@pytest.mark.parametrize("law", LAWS)
def test_weights_have_the_stated_law(law, generator):
    draw, std = LAWS[law]
    assert fits(draw(torch.empty(FAN_OUT, FAN_IN), generator), std)


def test_a_wrong_scale_and_a_wrong_shape_are_rejected(generator):
    weight, std = gaussian(torch.empty(FAN_OUT, FAN_IN), generator=generator), 1 / math.sqrt(FAN_IN)
    assert not fits(1.05 * weight, std)
    assert not fits(torch.empty_like(weight).uniform_(-std * 3**0.5, std * 3**0.5, generator=generator), std)


def test_different_rows_are_independent(generator):
    """Largest of 44,850 correlations of rows of 200 normal numbers, at the rate of false alarms above."""
    rows = F.normalize(gaussian(torch.empty(FAN_OUT, FAN_IN), generator=generator), dim=1)
    largest = (rows @ rows.T).triu(1).abs().max().item()
    assert largest < math.sqrt(stats.beta.isf(FALSE_ALARM / 44_850, 0.5, (FAN_IN - 1) / 2))


def test_the_fan_of_a_grouped_kernel_counts_its_group_and_places(generator):
    layer = gaussian(made(lambda: nn.Conv2d(40, 80, 5, groups=4)), generator=generator)
    assert fits(layer.weight, 1 / math.sqrt(10 * 25))


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.Conv2d(32, 48, 3, stride=2, padding=1),
        lambda: nn.ConvTranspose2d(32, 48, 4, stride=2, padding=1),
        lambda: nn.ConvTranspose1d(64, 64, 6, stride=3, padding=2),
    ],
)
def test_a_convolution_of_unit_normal_maps_has_outputs_of_unit_variance(make, generator):
    layer = gaussian(made(make), generator=generator)
    size = (40,) * len(layer.kernel_size)
    with torch.no_grad():
        y = layer(torch.randn(8, layer.in_channels, *size, generator=generator))
    for axis in range(2, y.ndim):
        y = y.narrow(axis, 6, y.shape[axis] - 12)  # the border sees fewer pixels
    assert y.var().item() == pytest.approx(1, rel=0.08)


def test_backward_keeps_the_gradient_through_a_stride(generator):
    layer = he(made(lambda: nn.Conv2d(48, 64, 4, stride=2)), activation="identity", backward=True, generator=generator)
    x = torch.zeros(4, 48, 42, 42, requires_grad=True)
    y = layer(x)
    y.backward(torch.randn(y.shape, generator=generator))
    assert x.grad[..., 4:-4, 4:-4].var().item() == pytest.approx(1, rel=0.08)


def second_moment(function):
    density = lambda z: math.exp(-z * z / 2) / math.sqrt(2 * math.pi)  # noqa: E731
    square = lambda z: function(torch.tensor(z, dtype=torch.float64)).item() ** 2 * density(z)  # noqa: E731
    marks = [-12, -6, -3, -1, -0.5, 0, 0.5, 1, 3, 6, 12]
    return sum(integrate.quad(square, a, b)[0] for a, b in itertools.pairwise(marks))


MODULES = [
    nn.ReLU(inplace=True), nn.LeakyReLU(0.3), nn.GELU(), nn.GELU(approximate="tanh"), nn.SiLU(), nn.ELU(0.7), nn.SELU(),
    nn.CELU(2.0), nn.Softplus(beta=3.0), nn.Mish(), nn.Hardswish(), nn.Hardtanh(-0.5, 0.5), nn.ReLU6(), nn.Softsign(),
    nn.Tanh(), nn.Sigmoid(), nn.PReLU(init=0.4), nn.Hardsigmoid(), nn.LogSigmoid(), nn.Softshrink(), nn.Hardshrink(),
    nn.Tanhshrink(), nn.RReLU(),
]  # fmt: skip


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_the_gain_of_a_module_is_that_of_its_own_parameters(module):
    kept = {key: value.clone() for key, value in module.state_dict().items()}
    reference = module.double().eval()
    assert gain(module) == pytest.approx(second_moment(lambda z: reference(z.clone().reshape(1)).detach()) ** -0.5)
    assert all(torch.equal(module.state_dict()[key].float(), value) for key, value in kept.items())


@pytest.mark.parametrize(
    ("one", "other"),
    [("gelu", nn.GELU), ("relu", F.relu), ("sin", torch.sin), ("leaky_relu", nn.LeakyReLU(0.01)), ("tanh", nn.Tanh())],
)
def test_names_classes_modules_and_functions_agree(one, other):
    assert gain(other) == pytest.approx(gain(one), rel=1e-12)
    assert gain(other, keep="gradient") == pytest.approx(gain(one, keep="gradient"), rel=1e-12)


@pytest.mark.parametrize(
    ("step", "square"), [(lambda z: (z > 0).to(z), 0.5), (torch.sign, 1.0), (lambda z: torch.ones_like(z), 1.0)]
)
def test_a_piecewise_constant_activation_has_the_gain_of_its_signal(step, square, generator):
    assert gain(step) == pytest.approx(square**-0.5, rel=1e-12)
    weight = he(torch.empty(FAN_OUT, FAN_IN), activation=step, generator=generator)
    assert fits(weight, 1 / math.sqrt(square * FAN_IN))
    with pytest.raises(AssumptionError, match="slope of this activation is 0"):
        gain(step, keep="gradient")


def test_torch_has_no_gain_for_gelu():
    with pytest.raises(ValueError, match="gelu"):
        nn.init.calculate_gain("gelu")


def test_an_activation_in_place_stays_in_place():
    module = nn.ReLU(inplace=True)
    gain(module)
    assert module.inplace


def test_wrong_activations_are_one_sentence():
    with pytest.raises(UsageError, match="did you mean 'gelu'"):
        he(torch.empty(2, 2), activation="gelo")
    with pytest.raises(AssumptionError, match="second moment of this activation is 0"):
        gain(lambda x: 0 * x)


def test_signals_keep_their_size_through_layers_of_any_activation(generator):
    for name in ("relu", "gelu", "silu", "tanh", "mish"):
        x = torch.randn(64, 512, generator=generator)
        for _ in range(5):
            weight = he(torch.empty(512, 512), activation=name, generator=generator)
            function = {"relu": F.relu, "gelu": F.gelu, "silu": F.silu, "tanh": torch.tanh, "mish": F.mish}[name]
            x = function(x) @ weight.T
        assert x.square().mean().item() == pytest.approx(1, rel=0.25), name


def uniform_fits(weight):
    law = stats.uniform(scale=2 / math.sqrt(FAN_IN))
    return stats.kstest(weight.flatten().double().numpy(), law.cdf).pvalue > FALSE_ALARM


def test_one_sided_weights_are_uniform_from_zero(generator):
    assert uniform_fits(one_sided(torch.empty(FAN_OUT, FAN_IN), generator=generator))


def test_one_sided_weights_of_a_wrong_scale_or_shape_are_rejected(generator):
    weight = one_sided(torch.empty(FAN_OUT, FAN_IN), generator=generator)
    assert not uniform_fits(1.05 * weight)
    normal = torch.randn(FAN_OUT, FAN_IN, generator=generator).mul_(weight.std()).add_(weight.mean())
    assert not uniform_fits(normal)


def test_one_sided_parameters_of_figure_6_include_the_norms(generator):
    model = made(lambda: nn.Sequential(nn.Linear(64, 64), nn.BatchNorm1d(64)))
    model[1].bias.requires_grad_(False)
    one_sided(model, version="everything", generator=generator)
    for parameter in (model[0].weight, model[0].bias, model[1].weight):
        assert parameter.min() >= 0
        assert 0.09 < parameter.max() <= 0.1
    assert model[1].bias.count_nonzero() == 0  # frozen


def test_one_sided_weights_break_batch_normalisation(generator):
    """Ten layers of width 32: the participation ratio is about 5.7 with symmetric weights and 1.00 with these."""
    from leadline.metrics import participation_ratio

    ratios = {}
    for draw in (gaussian, one_sided):
        model = made(lambda: nn.Sequential(*[m for _ in range(10) for m in (nn.Linear(32, 32), nn.BatchNorm1d(32))]))
        draw(model, generator=generator)
        with torch.no_grad():
            ratios[draw] = participation_ratio(model(torch.randn(32, 32, generator=generator))).item()
    assert ratios[gaussian] > 3
    assert ratios[one_sided] == pytest.approx(1, abs=0.01)
