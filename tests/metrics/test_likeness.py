"""Cosines and distinction on batches whose value is known."""

import pytest
import torch

from leadline.metrics import (
    distinction,
    likeness,
    mean_abs_cosine,
    mean_cosine,
    mean_square_cosine,
    participation_ratio,
    zero_rows,
)

COSINES = (mean_cosine, mean_abs_cosine, mean_square_cosine)


def test_three_directions_in_a_plane_have_cosine_minus_one_half():
    x = torch.tensor([[1.0, 0.0], [-0.5, 3**0.5 / 2], [-0.5, -(3**0.5) / 2]], dtype=torch.float64)
    assert [metric(x).item() for metric in COSINES] == pytest.approx([-0.5, 0.5, 0.25], rel=1e-14)


def test_random_signs_hide_a_collapse_from_the_mean_cosine_alone():
    signs = torch.tensor([1.0, -1.0] * 8, dtype=torch.float64).unsqueeze(1)
    x = signs * torch.ones(16, 5, dtype=torch.float64)
    assert mean_cosine(x).item() == pytest.approx(-1 / 15, rel=1e-12)
    assert mean_abs_cosine(x).item() == pytest.approx(1.0, rel=1e-15)
    assert mean_square_cosine(x).item() == pytest.approx(1.0, rel=1e-15)
    assert distinction(x).item() == 1.0


@pytest.mark.parametrize("metric", COSINES)
def test_zero_rows_are_left_out_and_counted(metric, generator):
    x = torch.randn(5, 4, generator=generator, dtype=torch.float64)
    padded = torch.cat([x[:2], torch.zeros(3, 4, dtype=torch.float64), x[2:]])
    assert metric(padded).item() == pytest.approx(metric(x).item(), rel=1e-14)
    assert zero_rows(padded).item() == 3


@pytest.mark.parametrize("metric", COSINES)
def test_one_row_beside_zeros_has_no_cosine(metric):
    assert metric(torch.tensor([[1.0, 2.0], [0.0, 0.0]])).isnan()


@pytest.mark.parametrize("metric", COSINES)
def test_blocks_of_rows_give_the_mean_of_the_whole(metric, generator, monkeypatch):
    x = torch.randn(2, 11, 4, generator=generator, dtype=torch.float64)
    whole = metric(x)
    monkeypatch.setattr(likeness, "_BLOCK", 70)  # three rows at a time
    assert torch.allclose(metric(x), whole, rtol=1e-13, atol=1e-15)


def test_rows_of_equal_length_tie_the_square_cosine_to_the_participation_ratio(generator):
    x = torch.randn(9, 6, generator=generator, dtype=torch.float64)
    x = x / x.norm(dim=1, keepdim=True)
    expected = (9 / participation_ratio(x) - 1) / 8
    assert mean_square_cosine(x).item() == pytest.approx(expected.item(), rel=1e-12)


def test_nearly_orthogonal_float32_rows_keep_the_digits_of_their_cosines(generator):
    # The mean square, about 1e-16, is lost to any formula that subtracts the ones of the diagonal.
    x = torch.linalg.qr(torch.randn(40, 40, generator=generator, dtype=torch.float64)).Q.float()
    rows = x.double() / x.double().norm(dim=1, keepdim=True)
    pairs = (rows @ rows.T)[~torch.eye(40, dtype=torch.bool)]
    expected = pairs.square().mean().item()
    assert 0 < expected < 1e-14
    assert mean_square_cosine(x).item() == pytest.approx(expected, rel=1e-6)


def test_distinction_is_the_share_between_samples():
    x = torch.tensor([[3.0, 1.0], [3.0, -1.0]], dtype=torch.float64)
    assert distinction(x).item() == pytest.approx(0.1, rel=1e-15)


def test_equal_rows_have_no_distinction_whatever_their_mean_rounds_to():
    x = torch.tensor([[0.1, 0.7, -1 / 3]], dtype=torch.float64).expand(7, 3)
    assert distinction(x).item() == 0.0


def test_a_tiny_distinction_keeps_its_digits():
    # One minus the share of the mean would be 0 here.
    x = torch.tensor([[1.0, 0.0], [1.0, 2.0**-40]], dtype=torch.float64)
    assert distinction(x).item() == pytest.approx(2.0**-82, rel=1e-12)


def test_independent_rows_have_the_distinction_of_their_number(generator):
    x = torch.randn(10, 20000, generator=generator)
    assert distinction(x).item() == pytest.approx(0.9, abs=0.005)
