"""Orthonormal bases: reproduction, rank, scales, batches of different ranks, numbers that are not finite."""

import pytest
import torch
from torch import Tensor

from leadline._core.errors import UsageError
from leadline.simulate import orthonormalised

SIZES = [(200, 10), (50, 50), (10, 40), (1, 3), (3, 1)]
DTYPES = [torch.float64, torch.float32]


def _normal(*shape: int, generator: torch.Generator, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=generator, dtype=dtype)


def _assert_orthonormal_or_zero(q: Tensor) -> None:
    gram = q.mT @ q
    ones = torch.diag_embed((q != 0).any(-2).to(q.dtype))
    torch.testing.assert_close(gram, ones, rtol=0, atol=40 * torch.finfo(q.dtype).eps)


def _assert_reproduced(product: Tensor, x: Tensor) -> None:
    """To some tens of roundings of each column's length."""
    error = (product - x).norm(dim=-2) / x.norm(dim=-2)
    assert (error.nan_to_num(0) < 60 * torch.finfo(x.dtype).eps).all(), error


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("d", "n"), SIZES)
def test_columns_are_reproduced_in_an_orthonormal_basis(
    d: int, n: int, dtype: torch.dtype, generator: torch.Generator
) -> None:
    x = _normal(3, d, n, generator=generator, dtype=dtype)
    q, r = orthonormalised(x)
    _assert_orthonormal_or_zero(q)
    _assert_reproduced(q @ r, x)
    assert ((q != 0).any(-2).sum(-1) == min(d, n)).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_column_that_depends_on_those_before_is_exactly_zero(dtype: torch.dtype, generator: torch.Generator) -> None:
    a, b = _normal(2, 30, generator=generator, dtype=dtype)
    q, r = orthonormalised(torch.stack([a, 3 * a, b, a - b, torch.zeros_like(a)], dim=-1))
    assert (q != 0).any(0).tolist() == [True, False, True, False, False]
    _assert_reproduced(q @ r, torch.stack([a, 3 * a, b, a - b, torch.zeros_like(a)], dim=-1))


def test_draws_of_different_ranks_are_one_batch(generator: torch.Generator) -> None:
    x = torch.stack([
        _normal(40, r, generator=generator) @ _normal(r, 6, generator=generator) if r else torch.zeros(40, 6).double()
        for r in (0, 1, 3, 6)
    ])  # fmt: skip
    q, r = orthonormalised(x)
    assert (q != 0).any(-2).sum(-1).tolist() == [0, 1, 3, 6]
    _assert_orthonormal_or_zero(q)
    _assert_reproduced(q @ r, x)


@pytest.mark.parametrize("spread", [1e-3, 1e-6, 1e-10, 1e-13])
def test_directions_of_nearly_equal_columns_are_told_apart(spread: float, generator: torch.Generator) -> None:
    x = _normal(60, 1, generator=generator) + spread * _normal(60, 8, generator=generator)
    q, r = orthonormalised(x)
    _assert_orthonormal_or_zero(q)
    _assert_reproduced(q @ r, x)
    assert (q != 0).any(0).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_columns_of_every_scale_count_alike(dtype: torch.dtype, generator: torch.Generator) -> None:
    largest = 30 if dtype == torch.float32 else 250
    x = _normal(50, 9, generator=generator, dtype=dtype) * 10.0 ** torch.linspace(-largest, largest, 9, dtype=dtype)
    q, r = orthonormalised(x)
    assert (q != 0).any(0).all()
    _assert_orthonormal_or_zero(q)
    _assert_reproduced((q @ r) / x.abs().amax(0), x / x.abs().amax(0))


@pytest.mark.parametrize("noise", [1.0, 1e-7, 1e-12])
def test_new_directions_are_orthogonal_to_a_basis(noise: float, generator: torch.Generator) -> None:
    basis, _ = orthonormalised(_normal(2, 80, 20, generator=generator))
    x = basis @ _normal(2, 20, 7, generator=generator) + noise * _normal(2, 80, 7, generator=generator)
    q, r = orthonormalised(x, basis)
    both = torch.cat([basis, q], dim=-1)
    _assert_orthonormal_or_zero(both)
    _assert_reproduced(both @ r, x)


def test_nothing_is_new_in_the_span_of_a_basis(generator: torch.Generator) -> None:
    basis, _ = orthonormalised(_normal(80, 20, generator=generator))
    q, _ = orthonormalised(basis @ _normal(20, 7, generator=generator), basis)
    assert q.count_nonzero() == 0


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_complete_basis_leaves_nothing_and_one_but_complete_leaves_one_direction(
    dtype: torch.dtype, generator: torch.Generator
) -> None:
    basis, _ = orthonormalised(_normal(64, 64, generator=generator, dtype=dtype))
    x = _normal(64, 5, generator=generator, dtype=dtype)
    assert orthonormalised(x, basis)[0].count_nonzero() == 0
    assert (orthonormalised(x, basis[:, 1:])[0] != 0).any(0).sum() == 1


@pytest.mark.parametrize("bad", [float("inf"), -float("inf"), float("nan")])
def test_a_column_that_is_not_finite_leaves_the_others_alone(bad: float, generator: torch.Generator) -> None:
    x = _normal(20, 4, generator=generator)
    x[3, 1] = bad
    q, r = orthonormalised(x)
    assert r[:, 1].isnan().all() and q[:, 1].count_nonzero() == 0
    _assert_reproduced(q @ r[:, [0, 2, 3]], x[:, [0, 2, 3]])


def test_a_million_rows_in_float32_stay_orthonormal(generator: torch.Generator) -> None:
    x = _normal(1_000_000, 4, generator=generator, dtype=torch.float32)
    x[:, 3] = x[:, :3].sum(-1)
    q, _ = orthonormalised(x)
    assert (q != 0).any(0).tolist() == [True, True, True, False]
    gram = q.double().mT @ q.double()
    assert (gram - torch.diag(torch.tensor([1.0, 1.0, 1.0, 0.0]))).abs().max() < 40 * torch.finfo(q.dtype).eps


def test_what_is_no_matrix_is_an_error() -> None:
    with pytest.raises(UsageError, match=r"float32 or float64 .* got torch.int64 \(3, 2\)"):
        orthonormalised(torch.ones(3, 2, dtype=torch.int64))


@pytest.mark.slow
def test_ten_thousand_chained_layers_stay_orthonormal(generator: torch.Generator) -> None:
    x = _normal(32, 8, generator=generator)
    first, _ = orthonormalised(x)
    q = first
    for _ in range(10_000):
        q, _ = orthonormalised(q + 0.5 * _normal(32, 8, generator=generator))
        _assert_orthonormal_or_zero(q)
