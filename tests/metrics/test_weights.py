"""The spectra of all weights, against singular values in float64."""

import math

import pytest
import torch
from tests.metrics.matrices import of_condition
from tests.metrics.models import mlp, untouched
from torch import nn

from leadline import metrics
from leadline._core.errors import UsageError
from leadline._core.randomness import seeded
from leadline._core.records import decode, encode
from leadline._core.weights import WeightSpectrum
from leadline.metrics import weight_spectra

SUMMARIES = (
    "condition_number",
    "isometry_gap",
    "orthogonality_gap",
    "participation_ratio",
    "effective_rank",
    "stable_rank",
    "numerical_rank",
)


def holding(weight: torch.Tensor) -> nn.Module:
    module = nn.Module()
    module.weight = nn.Parameter(weight)
    return module


def of(weight: torch.Tensor) -> WeightSpectrum:
    return weight_spectra(holding(weight))["weight"]


@pytest.mark.parametrize("n, d", [(300, 300), (5, 200), (200, 5), (1, 7), (7, 1), (128, 129)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_the_singular_values_are_those_of_the_matrix(n, d, dtype, generator):
    weight = torch.randn(n, d, generator=generator).to(dtype)
    got = of(weight)
    sigma = torch.linalg.svdvals(weight.double())
    assert got.singular_values == pytest.approx(sigma.tolist(), rel=1e-7)
    assert (got.sigma_max, got.sigma_min) == (got.singular_values[0], got.singular_values[-1])
    assert (got.shape, got.rows, got.columns) == ((n, d), n, d)
    assert got.frobenius_norm == pytest.approx(weight.double().norm().item(), rel=1e-12)


@pytest.mark.parametrize("name", SUMMARIES)
@pytest.mark.parametrize("n, d", [(6, 9), (9, 6)])
def test_the_summaries_are_the_metrics_of_the_matrix(name, n, d, generator):
    weight = torch.randn(n, d, generator=generator)
    assert getattr(of(weight), name) == pytest.approx(getattr(metrics, name)(weight).item(), rel=1e-6)


@pytest.mark.parametrize("kappa", [9e3, 2e4, 1e7, 1e12])
def test_ill_conditioned_weights_keep_their_small_end(kappa, generator):
    weight = of_condition(kappa, 12, 30, generator)
    tolerance = max(1e-7, 10 * torch.finfo(torch.float64).eps * kappa)
    assert of(weight).condition_number == pytest.approx(kappa, rel=tolerance)
    assert of(weight).singular_values == pytest.approx(torch.linalg.svdvals(weight).tolist(), rel=tolerance)


def test_well_conditioned_weights_pay_for_no_singular_value_decomposition(generator, monkeypatch):
    monkeypatch.setattr(torch.linalg, "svdvals", None)
    assert of(torch.randn(300, 400, generator=generator)).condition_number < 100


def test_a_convolution_is_folded_to_outputs_by_inputs_and_places(generator):
    with seeded(0):
        model = nn.Conv2d(3, 8, 5, bias=False)
    got = weight_spectra(model)["weight"]
    assert (got.shape, got.rows, got.columns) == ((8, 3, 5, 5), 8, 75)
    assert got.singular_values == pytest.approx(torch.linalg.svdvals(model.weight.detach().reshape(8, 75).double()))


def test_every_weight_is_named_once_and_vectors_are_left_out():
    model = mlp(norm=True)
    model.add_module("tied", nn.Sequential(model[4]))
    assert list(weight_spectra(model)) == ["0.weight", "4.weight", "7.weight"]


@pytest.mark.parametrize("scale", [2.0**-900, 2.0**900])
def test_extreme_scales_of_float64_are_measured(scale, generator):
    weight = torch.randn(4, 6, generator=generator, dtype=torch.float64)
    got = of(weight * scale)
    assert got.sigma_max == of(weight).sigma_max * scale
    assert got.isometry_gap == of(weight).isometry_gap


def test_degenerate_weights_give_their_limits():
    zero, dependent, bad = of(torch.zeros(2, 3)), of(torch.ones(2, 3)), of(torch.tensor([[1.0, math.nan]]))
    assert (zero.sigma_max, zero.frobenius_norm, zero.stable_rank) == (0.0, 0.0, 0.0)
    assert zero.condition_number == zero.isometry_gap == math.inf
    assert dependent.condition_number == math.inf
    assert dependent.stable_rank == pytest.approx(1.0)
    numbers = (bad.sigma_max, bad.sigma_min, bad.condition_number, bad.stable_rank, bad.frobenius_norm)
    assert all(math.isnan(number) for number in numbers)


def test_the_record_travels_as_json(generator):
    got = of(torch.randn(2, 3, generator=generator))
    assert decode(WeightSpectrum, encode(got)) == got


def test_the_model_is_left_as_it_was():
    model = mlp(norm=True)
    with untouched(model):
        weight_spectra(model)


@pytest.mark.parametrize("norm", ["weight_norm", "spectral_norm", "orthogonal"])
def test_a_parametrised_weight_is_the_one_that_is_multiplied_by(norm):
    with seeded(0):
        net = nn.Sequential(nn.Linear(6, 5), nn.Linear(5, 4))
        getattr(nn.utils.parametrizations, norm)(net[0])
    with untouched(net):
        found = weight_spectra(net)
    assert list(found) == ["0.weight", "1.weight"]
    sigma = torch.linalg.svdvals(net.eval()[0].weight.detach().double())
    assert found["0.weight"].singular_values == pytest.approx(sigma.tolist(), rel=1e-6)


def test_a_model_whose_weight_itself_is_parametrised(generator):
    net = nn.utils.parametrizations.weight_norm(holding(torch.randn(3, 4, generator=generator)))
    assert list(weight_spectra(net)) == ["weight"]


def test_a_model_without_weights_is_refused():
    with pytest.raises(UsageError, match=r"`model` \(ReLU\) has no float parameter with two axes or more"):
        weight_spectra(nn.ReLU())
