"""The noise of mini-batch gradients, against all mini-batches there are."""

import itertools
import math

import pytest
import torch

from leadline._core.errors import UsageError
from leadline.metrics import gradient_noise


def expectation(grads: torch.Tensor, batches: list[tuple[int, ...]], rate: float) -> float:
    mean = grads.mean(0)
    return sum(((rate * (grads[list(b)].mean(0) - mean)) ** 2).sum().item() for b in batches) / len(batches)


@pytest.mark.parametrize("batch", [1, 2, 3])
@pytest.mark.parametrize("replacement", [True, False])
def test_it_is_the_mean_over_all_mini_batches(batch, replacement, generator):
    grads = torch.randn(5, 3, generator=generator, dtype=torch.float64)
    draws = itertools.product(range(5), repeat=batch) if replacement else itertools.permutations(range(5), batch)
    got = gradient_noise(grads, batch=batch, learning_rate=0.3, replacement=replacement)
    assert got.item() == pytest.approx(expectation(grads, list(draws), 0.3), rel=1e-12)


def test_it_goes_with_the_square_of_the_rate_and_the_inverse_of_the_batch(generator):
    grads = torch.randn(6, 4, generator=generator, dtype=torch.float64)
    one = gradient_noise(grads)
    assert gradient_noise(grads, learning_rate=2.0).item() == pytest.approx(4 * one.item(), rel=1e-14)
    assert gradient_noise(grads, batch=2).item() == pytest.approx(one.item() / 2, rel=1e-14)


def test_the_whole_batch_drawn_once_has_no_noise(generator):
    grads = torch.randn(6, 4, generator=generator)
    assert gradient_noise(grads, batch=6, replacement=False).item() == 0.0
    assert gradient_noise(grads[:1], replacement=False).item() == 0.0


def test_a_small_spread_around_a_large_gradient_keeps_its_digits():
    grads = torch.tensor([[1.0], [1.0 + 2.0**-40]], dtype=torch.float64)
    assert gradient_noise(grads).item() == pytest.approx(2.0**-82, rel=1e-12)


def test_batches_keep_their_axes_and_nan_stays_nan(generator):
    grads = torch.randn(2, 5, 3, generator=generator)
    grads[1, 0, 0] = math.nan
    got = gradient_noise(grads)
    assert got.shape == (2,)
    assert got[0].item() == pytest.approx(gradient_noise(grads[0]).item(), rel=1e-6)
    assert got[1].isnan()


@pytest.mark.parametrize("batch, replacement", [(0, True), (6, False)])
def test_a_mini_batch_that_cannot_be_drawn_is_refused(batch, replacement):
    with pytest.raises(UsageError, match=f"`batch` must be from 1 to the 5 gradients there are, got {batch}"):
        gradient_noise(torch.zeros(5, 2), batch=batch, replacement=replacement)


def test_a_lone_gradient_without_rows_is_refused():
    with pytest.raises(UsageError, match=r"`grads` must have shape \(samples, features\), got \(5,\)"):
        gradient_noise(torch.zeros(5))
