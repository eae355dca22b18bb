"""What every metric of a representation keeps."""

import math
import re

import pytest
import torch
from tests.metrics.matrices import BY_NAME, CONTINUOUS, SPECTRAL, of_condition

from leadline._core.errors import UsageError
from leadline.metrics._rows import check_rows

NAMES = tuple(BY_NAME)
SMOOTH = tuple(name for name in CONTINUOUS if name in SPECTRAL)
NAN, INF = math.nan, math.inf

# Name -> value for the zero matrix, one sample, one number, two equal rows beside a third (shares 2/3, 1/3, 0).
DEGENERATE = {
    "isometry_gap": (INF, 0.0, 0.0, INF),
    "orthogonality_gap": (NAN, 0.0, 0.0, math.sqrt(4 / 9 + 1 / 9 - 1 / 3)),
    "participation_ratio": (0.0, 1.0, 1.0, 9 / 5),
    "effective_rank": (0.0, 1.0, 1.0, 3 / 2 ** (2 / 3)),
    "stable_rank": (0.0, 1.0, 1.0, 1.5),
    "numerical_rank": (0.0, 1.0, 1.0, 2.0),
    "soft_rank": (0.0, 1.0, 1.0, 2.0),
    "condition_number": (INF, 1.0, 1.0, INF),
    "mean_cosine": (NAN, NAN, NAN, 1 / 3),
    "mean_abs_cosine": (NAN, NAN, NAN, 1 / 3),
    "mean_square_cosine": (NAN, NAN, NAN, 1 / 3),
    "distinction": (NAN, 0.0, 0.0, 1 - 5 / 9),
    "zero_rows": (3.0, 0.0, 0.0, 0.0),
}


def same(got: torch.Tensor, expected: float, *, rtol: float = 1e-6) -> bool:
    return torch.allclose(got.double(), torch.tensor(expected, dtype=torch.float64), rtol=rtol, atol=0, equal_nan=True)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("case", range(4), ids=["zero matrix", "one sample", "one number", "equal rows"])
def test_degenerate_input_gives_the_true_limit(name, case):
    x = [
        torch.zeros(3, 4),
        torch.tensor([[3.0, -4.0, 0.0]]),
        torch.tensor([[-2.0]]),
        torch.tensor([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]),
    ][case]
    assert same(BY_NAME[name](x), DEGENERATE[name][case])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("bad", [NAN, INF, -INF])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_nonfinite_input_gives_nan(name, bad, dtype, generator):
    x = torch.randn(4, 3, generator=generator).to(dtype)
    x[2, 1] = bad
    assert BY_NAME[name](x).isnan()


@pytest.mark.parametrize("name", NAMES)
def test_a_nonfinite_matrix_leaves_the_others_of_its_batch_alone(name, generator):
    x = torch.randn(3, 4, 5, generator=generator, dtype=torch.float64)
    alone = BY_NAME[name](x[2])
    x[0, 0, 0], x[1, 3, 2] = NAN, INF
    got = BY_NAME[name](x)
    assert got[:2].isnan().all()
    assert same(got[2], alone.item(), rtol=1e-13)


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_is_the_loop_over_it(name, generator):
    x = torch.randn(2, 3, 5, 4, generator=generator, dtype=torch.float64)
    got = BY_NAME[name](x)
    assert got.shape == (2, 3)
    for i in range(2):
        for j in range(3):
            assert same(got[i, j], BY_NAME[name](x[i, j]).item(), rtol=1e-13)


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_batch_gives_no_values(name):
    assert BY_NAME[name](torch.zeros(0, 3, 4)).shape == (0,)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_the_result_has_the_dtype_and_device_of_the_input(name, dtype, generator):
    x = torch.randn(4, 6, generator=generator).to(dtype)
    got = BY_NAME[name](x)
    assert (got.dtype, got.device, got.shape) == (dtype, x.device, ())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("name", NAMES)
def test_cuda_gives_the_numbers_of_the_cpu(name, generator):
    x = torch.randn(2, 6, 9, generator=generator)
    got = BY_NAME[name](x.cuda())
    assert got.is_cuda
    assert torch.allclose(got.cpu(), BY_NAME[name](x), rtol=1e-6)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "numerical_rank"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_narrow_input_is_measured_as_it_is_stored(name, dtype, generator):
    x = torch.randn(5, 7, generator=generator).to(dtype)
    assert torch.equal(BY_NAME[name](x), BY_NAME[name](x.double()).to(dtype))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.int64, torch.int8, torch.uint8, torch.bool])
def test_integers_are_measured_as_numbers(name, dtype):
    x = torch.tensor([[1, 0, 1], [0, 1, 1], [1, 1, 1], [0, 0, 0]]).to(dtype)
    got = BY_NAME[name](x)
    assert got.dtype == torch.float32
    assert same(got, BY_NAME[name](x.double()).item())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("exponent", [-1000, -500, 500, 1000])
def test_a_power_of_two_leaves_every_bit(name, exponent, generator):
    x = torch.randn(5, 6, generator=generator, dtype=torch.float64)
    moved = x * 2.0 ** (exponent // 2) * 2.0 ** (exponent // 2)
    assert torch.equal(BY_NAME[name](moved), BY_NAME[name](x))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("factor", [2.0**-100, 2.0**120])
def test_the_ends_of_float32_are_measured(name, factor, generator):
    x = torch.randn(5, 6, generator=generator)
    assert torch.allclose(BY_NAME[name](x * factor), BY_NAME[name](x), rtol=1e-6)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_input_is_not_changed(name, dtype, generator):
    x = torch.randn(2, 5, 4, generator=generator).to(dtype)
    before = x.clone()
    BY_NAME[name](x)
    assert torch.equal(x, before)


@pytest.mark.parametrize("name", NAMES)
def test_a_view_is_measured_like_its_copy(name, generator):
    x = torch.randn(6, 10, generator=generator, dtype=torch.float64).T[::2]
    assert same(BY_NAME[name](x), BY_NAME[name](x.contiguous()).item(), rtol=1e-13)


@pytest.mark.parametrize("name", SPECTRAL)
@pytest.mark.parametrize("n, d", [(9, 4), (4, 9), (5, 5)])
def test_centring_is_the_metric_of_the_centred_rows(name, n, d, generator):
    x = torch.randn(n, d, generator=generator, dtype=torch.float64) + 3
    got = BY_NAME[name](x, center=True)
    assert same(got, BY_NAME[name](x - x.mean(0)).item(), rtol=1e-9)
    assert name not in ("isometry_gap", "condition_number") or got.isinf() == (n <= d)


@pytest.mark.parametrize("name", SPECTRAL)
def test_equal_rows_have_nothing_left_when_centred(name):
    x = torch.tensor([[0.1, 0.7, -1 / 3]], dtype=torch.float64).expand(7, 3)
    assert same(BY_NAME[name](x, center=True), DEGENERATE[name][0])


@pytest.mark.parametrize("name", CONTINUOUS)
@pytest.mark.parametrize("n, d", [(4, 6), (3, 7), (9, 3)], ids=["neither long nor wide", "wide", "long"])
def test_the_gradient_is_that_of_finite_differences(name, n, d, generator):
    x = of_condition(5.0, n, d, generator).requires_grad_()
    assert torch.autograd.gradcheck(BY_NAME[name], (x,))


@pytest.mark.parametrize("name", SMOOTH)
def test_the_gradient_of_a_centred_metric_is_that_of_finite_differences(name, generator):
    x = of_condition(5.0, 9, 4, generator).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: BY_NAME[name](x, center=True), (x,))


DEPENDENT = {
    "a diagonal with a zero": torch.diag(torch.tensor([1.0, 2.0, 0.0], dtype=torch.float64)),
    "a zero row": torch.tensor([[3.0, 1.0, -1.0, 0.5], [0.0, 0.0, 0.0, 0.0], [1.0, -2.0, 0.5, 1.0]]).double(),
    "equal rows": torch.tensor([[2.0, -1.0], [0.5, 1.0], [2.0, -1.0], [2.0, -1.0]]).mT.double(),
    "proportional columns, long": torch.tensor([[1.0, 2.0], [-2.0, -4.0], [0.5, 1.0], [3.0, 6.0]]).double(),
}


@pytest.mark.parametrize("name", ["orthogonality_gap", "participation_ratio", "effective_rank", "stable_rank"])
@pytest.mark.parametrize("case", DEPENDENT)
def test_the_gradient_at_dependent_rows_is_that_of_finite_differences(name, case):
    x = DEPENDENT[case].clone().requires_grad_()
    BY_NAME[name](x).backward()
    step = 1e-6 * torch.eye(x.numel(), dtype=torch.float64).view(-1, *x.shape)
    slopes = (BY_NAME[name](x.detach() + step) - BY_NAME[name](x.detach() - step)).view(x.shape) / 2e-6
    # Differences are off by h² log h of the entropy, and by the rounding of the value over h.
    torch.testing.assert_close(x.grad, slopes, rtol=0, atol=1e-8)


@pytest.mark.parametrize("name", [name for name in SMOOTH if not math.isnan(DEGENERATE[name][0])])
@pytest.mark.parametrize("center", [False, True])
def test_where_the_value_is_infinite_or_jumps_the_gradient_is_zero(name, center):
    x = torch.stack([torch.full((3, 4), float(center)), torch.eye(3, 4)]).double().requires_grad_()
    BY_NAME[name](x, center=center).sum().backward()
    assert x.grad is not None and x.grad[0].eq(0).all() and x.grad[1].isfinite().all()


@pytest.mark.parametrize("name", SPECTRAL)
def test_a_metric_that_is_to_be_differentiated_has_the_same_value(name, generator):
    x = torch.randn(4, 8, generator=generator, dtype=torch.float64)
    assert same(BY_NAME[name](x.clone().requires_grad_()), BY_NAME[name](x).item(), rtol=1e-13)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "x, message",
    [
        (torch.zeros(3), "`x` must have shape (samples, features), got (3,). A single sample is `x[None]`"),
        (torch.tensor(1.0), "`x` must have shape (samples, features), got ()."),
        (torch.zeros(0, 4), "`x` must have at least one sample and one feature, got (0, 4)."),
        (torch.zeros(2, 4, 0), "`x` must have at least one sample and one feature, got (2, 4, 0)."),
        (torch.zeros(2, 2, dtype=torch.complex64), "`x` must be real, got torch.complex64"),
    ],
)
def test_what_has_no_rows_is_refused_in_a_sentence(name, x, message):
    with pytest.raises(UsageError, match=re.escape(message)):
        BY_NAME[name](x)


def test_what_is_no_tensor_is_refused_in_a_sentence():
    with pytest.raises(UsageError, match=r"`x` must be a torch.Tensor, got list; convert it with `torch.as_tensor`."):
        check_rows([[1.0]])
