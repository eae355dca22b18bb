"""The law of orthogonal weights. Sample sizes and the rate of false alarms are fixed before anything is drawn."""

import importlib
import math

import numpy as np
import pytest
import torch
from scipy import stats

from leadline.init import delta_orthogonal, haar, haar_matrices, orthogonal

FALSE_ALARM = 1e-6
Z = stats.norm.isf(FALSE_ALARM / 2)
DRAWS = 20_000

module = importlib.import_module("leadline.init.haar")


def unsigned_qr(count, rows, columns, *, generator):
    """The wrong sampler: QR as LAPACK leaves it."""
    return torch.linalg.qr(torch.randn(count, rows, columns, generator=generator))[0]


@pytest.fixture(params=["reflections", "qr"])
def sampler(request, monkeypatch):
    monkeypatch.setattr(module, "_NARROW", 0 if request.param == "reflections" else 1000)
    return haar_matrices


def mean_is(sample, expected):
    """Whether the mean of independent numbers is ``expected``, at the rate of false alarms above."""
    sample = sample.double()
    return abs(sample.mean().item() - expected) < Z * sample.std().item() / math.sqrt(len(sample))


def trace(q):
    return q.diagonal(dim1=-2, dim2=-1).sum(-1)


def rotation_angles(q):
    """Of det(Q) Q in three dimensions: the eigenphase other than 0, whose law is (1 - cos θ)/π on [0, π]."""
    return torch.arccos(((torch.linalg.det(q) * trace(q) - 1) / 2).clamp(-1, 1))


def angles_fit(q):
    return stats.kstest(rotation_angles(q).numpy(), lambda t: (t - np.sin(t)) / np.pi).pvalue > FALSE_ALARM


def spacing_ratios(q):
    """Of neighbouring eigenphases in the open upper half circle, the smaller spacing over the larger."""
    phases = torch.linalg.eigvals(q).angle()
    ratios = []
    for row in phases:
        gaps = row[(row > 0.3) & (row < math.pi - 0.3)].sort().values.diff()
        ratios.append((torch.minimum(gaps[1:], gaps[:-1]) / torch.maximum(gaps[1:], gaps[:-1])).mean())
    return torch.stack(ratios)


def test_the_first_moment_is_zero(sampler, generator):
    assert mean_is(trace(sampler(DRAWS, 4, 4, generator=generator)), 0)
    assert mean_is(trace(sampler(DRAWS, 5, 3, generator=generator)), 0)
    assert mean_is(trace(sampler(DRAWS, 3, 5, generator=generator)), 0)


def test_unsigned_qr_is_rejected_by_its_first_moment(generator):
    assert not mean_is(trace(unsigned_qr(DRAWS, 4, 4, generator=generator)), 0)


def test_the_second_and_fourth_moments_of_an_entry_are_those_of_a_sphere(sampler, generator):
    for rows, columns in [(4, 4), (6, 2), (2, 6)]:
        n = max(rows, columns)
        entry = sampler(DRAWS, rows, columns, generator=generator)[:, -1, -1]
        assert mean_is(entry.square(), 1 / n)
        assert mean_is(entry**4, 3 / (n * (n + 2)))


def test_entries_of_different_rows_and_columns_are_dependent_as_they_must_be(sampler, generator):
    """E[q11² q22²] = (n + 1)/((n - 1) n (n + 2))."""
    q = sampler(DRAWS, 4, 4, generator=generator)
    assert mean_is(q[:, 0, 0].square() * q[:, 1, 1].square(), 5 / (3 * 4 * 6))


def test_traces_of_powers_have_the_moments_of_the_orthogonal_group(sampler, generator):
    """E tr Q = 0, E (tr Q)² = 1, E tr Q² = 1, Var tr Q² = 2, exact from n = 4 on."""
    q = sampler(DRAWS, 8, 8, generator=generator)
    first, second = trace(q), trace(q @ q)
    assert mean_is(first.square(), 1)
    assert mean_is(second, 1)
    assert mean_is((second - 1).square(), 2)


def test_both_determinants_are_equally_likely(sampler, generator):
    assert mean_is(torch.linalg.det(sampler(DRAWS, 3, 3, generator=generator)), 0)


def test_eigenphases_in_three_dimensions_have_their_exact_law(sampler, generator):
    assert angles_fit(sampler(DRAWS, 3, 3, generator=generator))


def test_unsigned_qr_is_rejected_by_its_eigenphases(generator):
    assert not angles_fit(unsigned_qr(DRAWS, 3, 3, generator=generator))


def test_neighbouring_eigenphases_repel(generator):
    """Mean ratio of spacings .5996 (Atas et al. 2013, unitary class), against .3863 for independent phases."""
    ratios = spacing_ratios(haar_matrices(300, 60, 60, generator=generator))
    # The window holds 24 phases, so that the mean is known to .005 at this rate; 1/n corrections are below .005.
    assert abs(ratios.mean().item() - 0.5996) < Z * ratios.std().item() / math.sqrt(len(ratios)) + 0.005


def test_phases_without_repulsion_are_rejected(generator):
    angles = torch.rand(300, 30, generator=generator) * math.pi
    blocks = torch.stack([angles.cos(), -angles.sin(), angles.sin(), angles.cos()], dim=-1).unflatten(-1, (2, 2))
    independent = torch.stack([torch.block_diag(*row) for row in blocks])
    ratios = spacing_ratios(independent)
    assert abs(ratios.mean().item() - 0.5996) > Z * ratios.std().item() / math.sqrt(len(ratios)) + 0.005


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (1, 5), (5, 1), (200, 60), (60, 200), (100, 100)])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 3e-6), (torch.float64, 1e-14)])
def test_the_shorter_side_is_orthonormal(rows, columns, dtype, tolerance, generator):
    q = haar_matrices(2, rows, columns, generator=generator, dtype=dtype)
    tall = q if rows >= columns else q.mT
    assert (tall.mT @ tall - torch.eye(min(rows, columns), dtype=dtype)).abs().max() < tolerance


def test_the_matrix_is_the_stated_product_of_reflections(monkeypatch):
    generator = torch.Generator().manual_seed(0)
    triangle = torch.randn(1, 6, 6, generator=generator, dtype=torch.float64)[0].tril()
    monkeypatch.setattr(module, "_NARROW", 0)
    got = haar_matrices(1, 6, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)[0]
    # By definition: reflect column after column in the whole space, each time to the positive axis.
    expected = torch.eye(6, dtype=torch.float64)
    for j in reversed(range(6)):
        column = triangle[:, j]
        target = torch.zeros(6, dtype=torch.float64)
        target[j] = -torch.copysign(column.norm(), column[j])
        normal = (column - target) / (column - target).norm()
        expected = expected - 2 * torch.outer(normal, normal @ expected)
    expected = expected * -triangle.diagonal().sign()  # the signs of R
    torch.testing.assert_close(got, expected)


def drawn_groups(fill, count, channels, places, generator):
    """Independent kernels of one place or more along an axis, drawn as the groups of one convolution."""
    layer = torch.nn.Conv1d(count * channels, count * channels, places, groups=count, device="meta").to_empty(
        device="cpu"
    )
    return fill(layer, generator=generator).weight.detach().unflatten(0, (count, channels))


def looks_haar(q):
    """First and second moments and, in three dimensions, the law of the eigenphases."""
    return mean_is(trace(q), 0) and mean_is(q[:, 0, 1].square(), 1 / 3) and angles_fit(q)


@pytest.mark.parametrize("fill", [haar, delta_orthogonal, orthogonal])
def test_what_fills_a_module_draws_haar_matrices(fill, generator):
    assert looks_haar(drawn_groups(fill, DRAWS, 3, 1, generator)[..., 0])


def test_a_sampler_without_signs_in_its_place_is_rejected(generator, monkeypatch):
    def wrong(count, rows, columns, *, generator, dtype, device):
        return unsigned_qr(count, rows, columns, generator=generator)

    monkeypatch.setattr(module, "haar_matrices", wrong)
    assert not looks_haar(drawn_groups(haar, DRAWS, 3, 1, generator)[..., 0])


def test_the_centre_of_a_delta_is_a_haar_matrix(generator):
    kernels = drawn_groups(delta_orthogonal, DRAWS, 3, 3, generator)
    assert looks_haar(kernels[..., 1])
    assert kernels[..., [0, 2]].count_nonzero() == 0


def rotation_invariant(kernels):
    """Whether the law of ⟨a, K b⟩ at each place is the same for fixed unit vectors a, b as along the axes.

    Compared are the fourth moments of one entry and of one along (1, 1, 1)/√3 on both sides, over halves of the draws.
    """
    one, other = kernels[: len(kernels) // 2], kernels[len(kernels) // 2 :]
    along = torch.full((3,), 3**-0.5)
    straight, turned = one[:, 0, 0], torch.einsum("i,nijp,j->np", along, other, along)
    found = []
    for a, b in zip((straight**4).double().unbind(-1), (turned**4).double().unbind(-1), strict=True):
        error = (a.var() / len(a) + b.var() / len(b)).sqrt()
        found.append(abs((a.mean() - b.mean()).item()) < Z * error.item())
    return all(found) and all(mean_is(straight[:, p], 0) for p in range(kernels.shape[-1]))


def test_kernels_of_full_support_do_not_know_the_axes(generator):
    assert rotation_invariant(drawn_groups(orthogonal, DRAWS, 3, 3, generator))


def test_projections_along_the_axes_are_rejected(generator):
    """The wrong sampler: (P, 1 - P) with P on the first two channels, in front of a Haar matrix."""
    haar_part = haar_matrices(DRAWS, 3, 3, generator=generator)
    inside = torch.diag(torch.tensor([1.0, 1.0, 0.0]))
    kernels = torch.stack([haar_part @ inside, haar_part @ (torch.eye(3) - inside)], dim=-1)
    assert not rotation_invariant(kernels)
