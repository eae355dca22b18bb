"""Lazy matrices agree with themselves: whatever was asked, one dense matrix gives all the answers."""

import copy
import pickle
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from scipy.sparse.linalg import svds
from torch import Tensor

from leadline._core.errors import UsageError
from leadline._core.randomness import seeded
from leadline.simulate import LazyGaussian, LazyHaar, LazyMatrix, LazySemiOrthogonal

MAKERS: dict[str, Callable[..., LazyMatrix]] = {
    "gaussian": lambda **options: LazyGaussian(7, 9, scale=0.7, **options),
    "gaussian column": lambda **options: LazyGaussian(6, 1, **options),
    "haar": lambda **options: LazyHaar(8, scale=2.0, **options),
    "sign": lambda **options: LazyHaar(1, **options),
    "tall": lambda **options: LazySemiOrthogonal(9, 5, **options),
    "wide": lambda **options: LazySemiOrthogonal(4, 9, **options),
}
any_kind = pytest.mark.parametrize("kind", MAKERS)


def _normal(w: LazyMatrix, n: int, generator: torch.Generator, *, transposed: bool = False) -> Tensor:
    rows = w.d_out if transposed else w.d_in
    return torch.randn(*w.draws, rows, n, generator=generator, dtype=w.dtype or torch.float64)


@settings(max_examples=30, deadline=None)
@given(
    kind=st.sampled_from(list(MAKERS)),
    questions=st.lists(st.tuples(st.booleans(), st.integers(1, 4), st.sampled_from(["new", "old", "adaptive", "low"]))),
    seed=st.integers(0, 2**31),
)
def test_one_dense_matrix_gives_all_answers(kind: str, questions: list[tuple[bool, int, str]], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    w = MAKERS[kind](draws=(2,), generator=generator)
    asked: list[tuple[bool, Tensor, Tensor]] = []
    for transposed, n, how in questions:
        x = _normal(w, n, generator, transposed=transposed)
        earlier = [x for side, x, _ in asked if side == transposed] + [y for side, _, y in asked if side != transposed]
        if how == "old" and earlier:
            x = earlier[0] * 3
        elif how == "adaptive" and earlier:
            x = earlier[-1][..., :1] + 1e-5 * x
        elif how == "low":
            x[1] = x[1, :, :1]  # the two draws reveal different numbers of directions
        asked.append((transposed, x, w.rmatmul(x) if transposed else w.matmul(x)))
    dense = w.materialise()
    for transposed, x, y in asked:
        torch.testing.assert_close((dense.mT if transposed else dense) @ x, y, rtol=0, atol=1e-10)
    x, y = _normal(w, 3, generator), _normal(w, 3, generator, transposed=True)
    torch.testing.assert_close(w.matmul(x), dense @ x, rtol=0, atol=1e-10)
    torch.testing.assert_close(w.rmatmul(y), dense.mT @ y, rtol=0, atol=1e-10)


@pytest.mark.parametrize("kind", ["haar", "sign", "tall", "wide"])
def test_the_shorter_side_is_orthonormal(kind: str, generator: torch.Generator) -> None:
    w = MAKERS[kind](generator=generator)
    w.rmatmul(_normal(w, 1, generator, transposed=True))
    dense = w.materialise() / getattr(w, "scale", 1.0)
    short = dense.mT @ dense if w.d_out >= w.d_in else dense @ dense.mT
    torch.testing.assert_close(short, torch.eye(min(w.d_out, w.d_in), dtype=torch.float64), rtol=0, atol=1e-14)


@any_kind
def test_products_are_differentiable_twice(kind: str, generator: torch.Generator) -> None:
    w = MAKERS[kind](generator=generator)
    x = _normal(w, 2, generator).requires_grad_()
    y = _normal(w, 2, generator, transposed=True).requires_grad_()
    with seeded(0):  # the checks draw from the global generator
        for product, argument in [(w.matmul, x), (w.rmatmul, y)]:
            assert torch.autograd.gradcheck(product, argument)
            assert torch.autograd.gradgradcheck(lambda v, f=product: f(v.square()), argument)


@any_kind
def test_a_jacobian_is_the_matrix(kind: str, generator: torch.Generator) -> None:
    w = MAKERS[kind](generator=generator)
    x = _normal(w, 1, generator)
    jacobian = torch.func.jacrev(w.matmul)(x)
    torch.testing.assert_close(jacobian[:, 0, :, 0], w.materialise(), rtol=0, atol=1e-12)


@any_kind
def test_a_batch_of_right_hand_sides_under_vmap_is_more_columns(kind: str, generator: torch.Generator) -> None:
    w = MAKERS[kind](generator=generator)
    x = torch.randn(4, w.d_in, 2, generator=generator, dtype=torch.float64)
    batched = torch.vmap(w.matmul)(x)
    torch.testing.assert_close(batched, w.materialise() @ x, rtol=0, atol=1e-12)
    torch.testing.assert_close(torch.vmap(w.matmul, in_dims=1)(x.movedim(0, 1)), batched, rtol=0, atol=1e-12)


def test_the_gradient_reveals_what_the_products_did_not(generator: torch.Generator) -> None:
    w = LazyGaussian(50, 60, generator=generator)
    x = _normal(w, 3, generator).requires_grad_()
    (w.matmul(x) ** 2).sum().backward()
    assert w.revealed == 6
    torch.testing.assert_close(x.grad, 2 * w.materialise().mT @ (w.materialise() @ x.detach()))


@any_kind
def test_after_restoring_the_same_questions_get_the_same_answers(kind: str, generator: torch.Generator) -> None:
    w = MAKERS[kind](generator=generator)
    w.matmul(_normal(w, 1, generator))
    state, known = w.state(), w.revealed
    x, y = torch.ones(w.d_in, 2).double(), torch.ones(w.d_out, 1).double()
    x[0, 0] = 3
    first = w.matmul(x), w.rmatmul(y)
    w.restore(state)
    assert w.revealed == known
    assert all(torch.equal(a, b) for a, b in zip(first, (w.matmul(x), w.rmatmul(y)), strict=True))


def test_a_state_is_not_disturbed_by_what_happens_after_another_was_restored(generator: torch.Generator) -> None:
    w = LazyHaar(20, generator=generator)
    empty = w.state()
    w.matmul(_normal(w, 2, generator))
    later = w.state()
    probe = _normal(w, 1, generator)
    w.restore(later)
    expected = w.matmul(probe)
    w.restore(empty)
    w.matmul(_normal(w, 4, generator))
    w.restore(later)
    torch.testing.assert_close(w.matmul(probe), expected, rtol=0, atol=0)


@any_kind
def test_what_is_known_draws_no_number(kind: str, generator: torch.Generator) -> None:
    w = MAKERS[kind](generator=generator)
    x = _normal(w, 2, generator)
    y = w.matmul(x)
    before, known = generator.get_state(), w.revealed
    torch.testing.assert_close(w.matmul(x @ torch.ones(2, 5).double()), y @ torch.ones(2, 5).double())
    assert torch.equal(before, generator.get_state()) and w.revealed == known


def test_a_column_that_is_not_finite_spoils_only_itself(generator: torch.Generator) -> None:
    w = LazyHaar(30, generator=generator)
    x = _normal(w, 3, generator)
    x[4, 1] = float("inf")
    y = w.matmul(x)
    assert y[:, 1].isnan().all() and y[:, [0, 2]].isfinite().all()
    torch.testing.assert_close(w.rmatmul(y[:, [0, 2]]), x[:, [0, 2]])


@pytest.mark.parametrize("kind", MAKERS)
def test_the_first_answer_to_what_is_not_finite_is_nan_and_to_nothing_zero(
    kind: str, generator: torch.Generator
) -> None:
    w = MAKERS[kind](generator=generator)
    x = torch.full((w.d_in, 2), torch.nan, dtype=torch.float64)
    assert w.matmul(x).isnan().all()
    assert MAKERS[kind](generator=generator).matmul(torch.zeros_like(x)).eq(0).all()


@any_kind
def test_no_columns_have_no_images_and_reveal_nothing(kind: str, generator: torch.Generator) -> None:
    w = MAKERS[kind](generator=generator)
    before = generator.get_state()
    for _ in range(2):
        none, known = _normal(w, 0, generator), w.revealed
        assert w.matmul(none).shape == (*w.draws, w.d_out, 0)
        assert w.rmatmul(w.matmul(none)).shape == none.shape
        assert w.revealed == known
        if not known:
            assert torch.equal(before, generator.get_state())
        w.matmul(_normal(w, 2, generator))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dtype_follows_the_first_product(dtype: torch.dtype, generator: torch.Generator) -> None:
    w = LazyHaar(40, generator=generator)
    x = torch.randn(40, 3, generator=generator, dtype=dtype)
    assert w.matmul(x).dtype == dtype and w.materialise().dtype == dtype
    dense = w.materialise()
    assert (dense.mT @ dense - torch.eye(40)).abs().max() < 30 * torch.finfo(dtype).eps
    error = (w.rmatmul(w.matmul(x)) - x).abs().max()
    assert error < 30 * torch.finfo(dtype).eps * x.abs().max()


def test_memory_is_that_of_the_directions(generator: torch.Generator) -> None:
    w = LazyGaussian(1000, 2000, generator=generator)
    assert w.memory == 0
    w.matmul(_normal(w, 5, generator))
    assert w.memory == 5 * 3000 * 8


@any_kind
def test_a_copy_goes_its_own_way_from_the_same_place(kind: str, generator: torch.Generator) -> None:
    w = MAKERS[kind](generator=generator)
    w.matmul(_normal(w, 1, generator))
    for other in (copy.deepcopy(w), pickle.loads(pickle.dumps(w))):
        state = w.state()
        torch.testing.assert_close(other.materialise(), w.materialise(), rtol=0, atol=0)
        w.restore(state)


def test_the_largest_singular_value_of_an_operator_is_that_of_the_matrix(generator: torch.Generator) -> None:
    w = LazyGaussian(120, 80, generator=generator)
    found = svds(w.as_linear_operator(), k=3, return_singular_vectors=False, v0=np.ones(80), rng=0)
    expected = torch.linalg.svdvals(w.materialise())[:3]
    np.testing.assert_allclose(np.sort(found)[::-1], expected, rtol=1e-9)


def test_an_operator_agrees_with_the_matrix_in_all_its_products(generator: torch.Generator) -> None:
    w = LazySemiOrthogonal(9, 6, generator=generator)
    operator, dense = w.as_linear_operator(), w.materialise().numpy()
    np.testing.assert_allclose(operator @ np.eye(6)[:, :2], dense[:, :2], atol=1e-12)
    np.testing.assert_allclose(operator @ np.ones(6), dense @ np.ones(6), atol=1e-12)
    np.testing.assert_allclose(operator.H @ np.ones(9), dense.T @ np.ones(9), atol=1e-12)
    np.testing.assert_allclose(operator.rmatmat(np.eye(9)), dense.T, atol=1e-12)


def test_wrong_calls_say_what_was_expected() -> None:
    w = LazyGaussian(3, 5)
    with pytest.raises(
        UsageError, match=r"`matmul` of a lazy matrix of shape \(3, 5\) takes .* \(5, n\), got torch.float32 \(3, 2\)"
    ):
        w.matmul(torch.ones(3, 2))
    with pytest.raises(UsageError, match="float32 or float64 .* got torch.bfloat16"):
        w.rmatmul(torch.ones(3, 2, dtype=torch.bfloat16))
    w.matmul(torch.ones(5, 1))
    with pytest.raises(UsageError, match=r"is torch.float32 on cpu.* got torch.float64"):
        w.matmul(torch.ones(5, 1).double())
    with pytest.raises(UsageError, match="at least one row and one column, got 0 x 5"):
        LazyGaussian(0, 5)
    with pytest.raises(UsageError, match="finite, got inf"):
        LazyHaar(3, scale=float("inf"))
    with pytest.raises(UsageError, match=r"one matrix; this one has draws of shape \(2,\)"):
        LazyHaar(3, draws=(2,)).as_linear_operator()
