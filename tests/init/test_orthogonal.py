"""Convolutions are orthogonal as operators, and singular values of operators are those of the written-down matrix."""

import itertools
import math

import pytest
import torch
from torch import nn

from leadline._core.errors import UsageError
from leadline._core.randomness import seeded
from leadline.init import (
    delta_orthogonal,
    gaussian,
    haar,
    isometry_obstacle,
    operator_range,
    operator_singular_values,
    orthogonal,
)

CASES = {
    "square": lambda: nn.Conv2d(8, 8, 3),
    "more outputs": lambda: nn.Conv2d(5, 8, 3),
    "more inputs": lambda: nn.Conv2d(9, 4, (3, 5)),
    "even kernel": lambda: nn.Conv2d(6, 6, 4),
    "stride, co-isometry": lambda: nn.Conv2d(3, 8, 3, stride=2),
    "stride, isometry": lambda: nn.Conv2d(3, 16, 3, stride=2),
    "stride, long kernel": lambda: nn.Conv2d(3, 16, 7, stride=2),
    "stride 3, kernel 5": lambda: nn.Conv1d(2, 8, 5, stride=3),
    "patches": lambda: nn.Conv2d(3, 20, 4, stride=4),
    "pointwise with stride": lambda: nn.Conv2d(8, 8, 1, stride=2),
    "depthwise": lambda: nn.Conv2d(8, 8, 3, groups=8),
    "depthwise, multiplied": lambda: nn.Conv2d(4, 8, 3, groups=4),
    "grouped": lambda: nn.Conv2d(8, 16, 3, groups=4),
    "one channel": lambda: nn.Conv2d(1, 8, 3),
    "dilated": lambda: nn.Conv1d(4, 4, 4, dilation=2),
    "dilated with stride": lambda: nn.Conv1d(2, 8, 7, dilation=2, stride=3),
    "volume": lambda: nn.Conv3d(3, 4, 3),
    "transposed": lambda: nn.ConvTranspose2d(6, 4, 3),
    "transposed with stride": lambda: nn.ConvTranspose2d(12, 3, 4, stride=2),
    "transposed, grouped": lambda: nn.ConvTranspose2d(6, 6, 3, groups=2),
}


def made(make):
    with seeded(0):
        return make()


def size_of(layer):
    return 6 if len(layer.kernel_size) == 3 else 12


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("fill", [delta_orthogonal, orthogonal])
def test_all_singular_values_on_a_map_without_borders_are_the_gain(fill, case, generator):
    layer = fill(made(CASES[case]), gain=1.5, generator=generator)
    assert isometry_obstacle(layer) is None
    sigma = operator_singular_values(layer, size_of(layer), circular=True)
    assert (sigma / 1.5 - 1).abs().max() < 1e-5


def test_torch_fails_this_by_far(generator):
    layer = made(lambda: nn.Conv2d(8, 8, 3))
    nn.init.orthogonal_(layer.weight, generator=generator)
    sigma = operator_singular_values(layer, 12, circular=True)
    assert sigma.min() < 0.5
    assert sigma.max() > 1.4


@pytest.mark.parametrize("case", [case for case in CASES if case != "depthwise"])
def test_every_place_of_the_kernel_is_used(case, generator):
    layer = orthogonal(made(CASES[case]), generator=generator)
    assert layer.weight.abs().amax((0, 1)).min() > 1e-3


def test_a_delta_is_one_place_at_the_centre_and_a_block_under_stride(generator):
    plain = delta_orthogonal(made(lambda: nn.Conv2d(4, 4, 5)), generator=generator).weight.abs().amax((0, 1))
    assert plain.nonzero().tolist() == [[2, 2]]
    strided = delta_orthogonal(made(lambda: nn.Conv2d(4, 16, 3, stride=2)), generator=generator).weight
    assert strided.abs().amax((0, 1)).nonzero().tolist() == [[1, 1], [1, 2], [2, 1], [2, 2]]


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.Conv2d(4, 4, 3, padding=1),
        lambda: nn.Conv2d(3, 12, 3, stride=2, padding=1),
        lambda: nn.Conv2d(8, 4, 3, padding=1),
    ],
)
def test_a_delta_is_isometric_with_zero_padding_too(make, generator):
    layer = delta_orthogonal(made(make), generator=generator)
    assert (operator_singular_values(layer, 8) - 1).abs().max() < 1e-5


def test_far_from_the_border_a_padded_convolution_keeps_lengths(generator):
    layer = orthogonal(made(lambda: nn.Conv2d(4, 6, 3, padding=1, bias=False)), generator=generator)
    maps = torch.zeros(20, 4, 9, 9)
    maps[..., 1:-1, 1:-1] = torch.randn(20, 4, 7, 7, generator=generator)
    with torch.no_grad():
        ratio = layer(maps).flatten(1).norm(dim=1) / maps.flatten(1).norm(dim=1)
    assert (ratio - 1).abs().max() < 1e-5
    assert operator_singular_values(layer, 9).min() < 0.9  # not at the border, which the docstring says


def test_kernels_differ_between_draws_and_have_the_mean_zero(generator):
    """First moment of every entry over 2,000 draws, at a rate of false alarms of 1e-6 for the largest of 36."""
    groups = orthogonal(made(lambda: nn.Conv2d(4000, 4000, 3, groups=2000)), generator=generator)
    draws = groups.weight.detach().unflatten(0, (2000, 2))
    z = draws.mean(0) / draws.std(0) * 2000**0.5
    assert z.abs().max() < 5.6


def wrapped_matrix(layer, size):
    """The circular operator from its definition, pixel by pixel."""
    (k,), (s,), (d,) = layer.kernel_size, layer.stride, layer.dilation
    outputs, inputs = layer.out_channels // layer.groups, layer.in_channels // layer.groups
    matrix = torch.zeros(layer.out_channels, size // s, layer.in_channels, size, dtype=torch.float64)
    for g, o, i, p, y in itertools.product(
        range(layer.groups), range(outputs), range(inputs), range(k), range(size // s)
    ):
        matrix[g * outputs + o, y, g * inputs + i, (y * s + p * d) % size] += layer.weight[g * outputs + o, i, p].item()
    return matrix.flatten(2).flatten(0, 1)


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.Conv1d(3, 4, 3),
        lambda: nn.Conv1d(4, 3, 5, stride=2),
        lambda: nn.Conv1d(4, 6, 3, stride=3, dilation=2, groups=2),
        lambda: nn.Conv1d(2, 2, 9),
    ],
)
def test_the_frequencies_give_the_spectrum_of_the_matrix(make):
    layer = made(make)
    expected = torch.linalg.svdvals(wrapped_matrix(layer, 6))
    torch.testing.assert_close(operator_singular_values(layer, 6, circular=True), expected)


def test_without_borders_both_routes_agree_in_two_dimensions():
    """A circular layer of torch, applied to every unit map."""
    layer = made(lambda: nn.Conv2d(2, 3, 3, padding=1, padding_mode="circular", bias=False)).double()
    with torch.no_grad():
        images = layer(torch.eye(50, dtype=torch.float64).reshape(50, 2, 5, 5)).flatten(1)
    torch.testing.assert_close(operator_singular_values(layer, 5), torch.linalg.svdvals(images))


def test_a_transposed_convolution_has_the_spectrum_of_its_own_matrix():
    layer = made(lambda: nn.ConvTranspose2d(3, 2, 3, stride=2, padding=1, output_padding=1, bias=False)).double()
    with torch.no_grad():
        images = layer(torch.eye(27, dtype=torch.float64).reshape(27, 3, 3, 3)).flatten(1)
    torch.testing.assert_close(operator_singular_values(layer, 6), torch.linalg.svdvals(images))


def test_what_no_kernel_can_do_is_said_with_its_numbers(generator):
    layer = delta_orthogonal(made(lambda: nn.Conv2d(64, 128, 1, stride=2)), generator=generator)
    reason = isometry_obstacle(layer)
    assert "reads 1 of 4 pixels, 64 numbers a position: 128 orthonormal rows do not fit" in reason
    sigma = operator_singular_values(layer, 4, circular=True)
    assert (sigma < 1e-5).sum() == 64 * 4  # positions
    assert (sigma[: 64 * 4] - 1).abs().max() < 1e-5


def test_dilation_that_shares_a_factor_with_the_stride_skips_pixels():
    assert "reads 1 of 2 pixels, 4" in isometry_obstacle(nn.Conv1d(4, 8, 5, stride=2, dilation=2, device="meta"))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: operator_singular_values(nn.Identity(), 4), "must be a convolution, got Identity"),
        (lambda: isometry_obstacle(nn.Identity()), "must be a convolution, got Identity"),
        (lambda: operator_singular_values(made(lambda: nn.Conv2d(1, 1, 3)), (4,)), "must be 2 positive numbers"),
        (
            lambda: operator_singular_values(made(lambda: nn.Conv1d(1, 1, 3, stride=2)), 5, circular=True),
            r"multiple of the stride \(2,\), got \(5,\)",
        ),
        (
            lambda: operator_singular_values(made(lambda: nn.Conv1d(1, 1, 3, padding=1, padding_mode="reflect")), 5),
            "Only zero and circular padding are known here, got 'reflect'",
        ),
        (lambda: operator_singular_values(made(lambda: nn.Conv2d(64, 1, 3)), 32), "has 65536 inputs"),
    ],
)
def test_a_wrong_call_is_one_sentence(call, message):
    with pytest.raises(UsageError, match=message):
        call()


@pytest.mark.parametrize("initialise", [gaussian, haar, delta_orthogonal, orthogonal])
def test_a_gain_that_is_no_number_is_a_wrong_call(initialise):
    weight = torch.ones(3, 4)
    with pytest.raises(UsageError, match="gain must be a finite number; got nan"):
        initialise(weight, gain=math.nan)
    assert torch.equal(weight, torch.ones(3, 4))


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.Conv2d(3, 4, 3, padding=1),
        lambda: nn.Conv2d(4, 2, 3, stride=2, padding=1),
        lambda: nn.Conv2d(2, 2, 3, padding=1, padding_mode="circular"),
        lambda: nn.ConvTranspose2d(3, 2, 4, stride=2, padding=1),
    ],
)
def test_the_range_is_that_of_all_singular_values(make, generator):
    layer = made(make)
    sigma = operator_singular_values(layer, 6)
    low, high = operator_range(layer, 6, steps=200, generator=generator)
    assert high == pytest.approx(sigma[0].item(), rel=1e-8)
    assert low == pytest.approx(sigma[-1].item(), rel=1e-4)


def test_the_range_of_a_large_padded_convolution(generator):
    layer = made(lambda: nn.Conv2d(64, 64, 3, padding=1))
    assert operator_range(delta_orthogonal(layer, generator=generator), 32, generator=generator) == pytest.approx(
        (1, 1)
    )
    low, high = operator_range(orthogonal(layer, generator=generator), 32, generator=generator)
    assert low < 0.9  # at the border
    assert high < 1 + 1e-5


PADDED = {
    "square": lambda **o: nn.Conv2d(6, 6, 3, **o),
    "more outputs": lambda **o: nn.Conv2d(4, 7, 3, **o),
    "more inputs": lambda **o: nn.Conv2d(7, 4, 3, **o),
    "stride, more numbers in": lambda **o: nn.Conv2d(3, 6, 3, stride=2, **o),
    "stride, more numbers out": lambda **o: nn.Conv2d(3, 14, 3, stride=2, **o),
    "depthwise": lambda **o: nn.Conv2d(6, 6, 3, groups=6, **o),
    "grouped": lambda **o: nn.Conv2d(6, 6, 3, groups=2, **o),
    "grouped with stride": lambda **o: nn.Conv2d(6, 12, 3, groups=3, stride=2, **o),
}


@pytest.mark.parametrize("case", PADDED)
@pytest.mark.parametrize("fill", [delta_orthogonal, orthogonal])
def test_in_the_interior_of_a_padded_map_all_singular_values_are_one(fill, case, generator):
    """Isometries: the columns of pixels that no border touches. Co-isometries: the rows of such outputs."""
    layer = fill(made(lambda: PADDED[case](padding=1, bias=False)), generator=generator).double()
    size, stride = 12, layer.stride[0]
    maps = torch.eye(layer.in_channels * size**2, dtype=torch.float64).unflatten(1, (layer.in_channels, size, size))
    with torch.no_grad():
        images = layer(maps)
    if layer.out_channels > layer.in_channels * stride**2:
        columns = images.flatten(1).T.unflatten(1, (layer.in_channels, size, size))
        inner = columns[..., 2:-2, 2:-2].flatten(1)
    else:
        inner = images[..., 1:-1, 1:-1].flatten(1)
    sigma = torch.linalg.svdvals(inner)[: min(inner.shape)]
    assert sigma.min() > 0.99 and sigma.max() < 1.01


@pytest.mark.parametrize("case", [case for case in PADDED if "stride" not in case])
def test_the_range_of_a_delta_on_a_large_padded_map_is_one(case, generator):
    layer = delta_orthogonal(made(lambda: PADDED[case](padding=1)), generator=generator)
    assert operator_range(layer, 64, generator=generator) == pytest.approx((1, 1), abs=0.01)


def test_torch_fails_the_range_on_a_large_padded_map(generator):
    layer = made(lambda: nn.Conv2d(6, 6, 3, padding=1))
    nn.init.orthogonal_(layer.weight, generator=generator)
    low, high = operator_range(layer, 64, generator=generator)
    assert low < 0.5 and high > 1.4
