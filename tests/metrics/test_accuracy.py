"""The required accuracy, against 50 digits on the matrix as it is stored."""

import mpmath
import pytest
import torch
from tests.metrics.matrices import BY_NAME, CONTINUOUS, haar, of_condition
from tests.reference import metrics as reference

SHAPES = [(8, 8), (5, 11), (11, 5)]


def relative_error(name: str, x: torch.Tensor) -> float:
    truth = getattr(reference, name)(reference.matrix(x))
    return float(abs((mpmath.mpf(BY_NAME[name](x).item()) - truth) / truth))


@pytest.mark.parametrize("n, d", SHAPES)
@pytest.mark.parametrize("kappa", [1.0, 1e3, 1e7])
@pytest.mark.parametrize("name", CONTINUOUS)
def test_float32_is_accurate_to_1e_6(name, kappa, n, d, generator):
    assert relative_error(name, of_condition(kappa, n, d, generator).float()) <= 1e-6


@pytest.mark.parametrize("n, d", SHAPES)
@pytest.mark.parametrize("kappa", [1e3, 1e5, 1e9, 1e12])
@pytest.mark.parametrize("name", CONTINUOUS)
def test_float64_is_accurate_to_1e_9_or_ten_roundings_of_the_condition(name, kappa, n, d, generator):
    limit = max(1e-9, 10 * torch.finfo(torch.float64).eps * kappa)
    assert relative_error(name, of_condition(kappa, n, d, generator)) <= limit


@pytest.mark.parametrize("kappa", [1.0, 1e3, 1e7])
def test_counts_agree_with_the_reference(kappa, generator):
    x = of_condition(kappa, 6, 9, generator).float()
    a = reference.matrix(x)
    assert BY_NAME["numerical_rank"](x).item() == reference.numerical_rank(a, torch.finfo(torch.float32).eps)
    for relative_to in ("features", "support"):
        for tau in (0.0, 0.1, 0.5, 0.9):
            expected = reference.soft_rank(a, tau, relative_to)
            assert BY_NAME["soft_rank"](x, tau, relative_to).item() == expected


@pytest.mark.parametrize("name", ["isometry_gap", "participation_ratio", "distinction"])
def test_centring_agrees_with_the_reference_on_a_collapsed_batch(name, generator):
    x = torch.randn(7, generator=generator, dtype=torch.float64) + 1e-7 * torch.randn(
        12, 7, generator=generator, dtype=torch.float64
    )
    centred = reference.centred(reference.matrix(x))
    if name == "distinction":
        got, truth = BY_NAME[name](x), reference.distinction(reference.matrix(x))
    else:
        got, truth = BY_NAME[name](x, center=True), getattr(reference, name)(centred)
    # The spread is stored to 1e-16 / 1e-7 = 1e-9 of itself, and both sides see the stored one.
    assert float(abs(got.item() - truth) / truth) <= 1e-9


def test_the_naive_gap_from_the_gram_matrix_misses_the_requirement(generator):
    x = of_condition(1e7, 8, 8, generator).float()
    eigenvalues = torch.linalg.eigvalsh(x @ x.T)
    naive = eigenvalues.mean().log() - eigenvalues.log().mean()
    truth = float(reference.isometry_gap(reference.matrix(x)))
    assert not abs(naive.item() - truth) <= 1e-6 * truth


def test_the_naive_difference_of_logarithms_misses_a_small_gap(generator):
    x = haar(8, generator).float()
    spectrum = torch.linalg.svdvals(x.double()).square()
    naive = spectrum.mean().log() - spectrum.log().mean()
    truth = float(reference.isometry_gap(reference.matrix(x)))
    assert truth < 1e-13
    assert not abs(naive.item() - truth) <= 1e-6 * truth
