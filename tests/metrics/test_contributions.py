"""Cancellation against one summand at a time."""

import math
import re

import pytest
import torch
from tests.reference import gradients as reference
from torch import nn

from leadline._core.errors import UsageError
from leadline._core.randomness import seeded
from leadline.metrics import cancellation, contribution_size

CONVOLUTIONS = {
    "stride, padding and groups": (lambda: nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2), (2, 4, 6, 5)),
    "depthwise": (lambda: nn.Conv2d(4, 8, 3, padding=1, groups=4), (2, 4, 5, 4)),
    "uneven kernel and dilation": (lambda: nn.Conv2d(3, 2, (3, 2), dilation=(2, 3), stride=(1, 2)), (2, 3, 7, 8)),
    "same padding": (lambda: nn.Conv2d(3, 2, (3, 5), dilation=(2, 1), padding="same"), (2, 3, 6, 5)),
    "valid padding": (lambda: nn.Conv1d(3, 2, 4, stride=3, padding="valid"), (2, 3, 13)),
    "circular padding": (lambda: nn.Conv2d(3, 2, 3, padding=(2, 1), padding_mode="circular"), (2, 3, 6, 5)),
    "reflected padding": (lambda: nn.Conv1d(3, 2, 3, padding=2, padding_mode="reflect"), (2, 3, 6)),
    "three axes": (lambda: nn.Conv3d(2, 3, 2, stride=2, padding=1), (2, 2, 3, 4, 3)),
}


@pytest.fixture(params=CONVOLUTIONS, ids=str)
def convolution(request, generator):
    build, shape = CONVOLUTIONS[request.param]
    with seeded(0):
        layer = build().double()
    x = torch.randn(shape, generator=generator, dtype=torch.float64)
    grads = torch.randn(layer(x).shape, generator=generator, dtype=torch.float64)
    return layer, x, grads


def test_a_convolution_is_its_summands(convolution):
    layer, x, grads = convolution
    expected = reference.cancellation(reference.convolution_contributions(layer, x, grads))
    assert expected > 1.5
    assert cancellation(x, grads, layer=layer).item() == pytest.approx(expected, rel=1e-12)


def test_the_gradient_at_hand_gives_the_same(convolution):
    layer, x, grads = convolution
    layer(x).backward(grads)
    given = cancellation(x, grads, layer=layer, weight_grad=layer.weight.grad)
    assert given.item() == pytest.approx(cancellation(x, grads, layer=layer).item(), rel=1e-12)


TRANSPOSED = {
    "stride and padding": {"stride": 2, "padding": 1, "output_padding": 1},
    "groups": {"stride": 2, "padding": 1, "output_padding": 1, "groups": 2},
    "output padding as wide as the stride": {"dilation": 2, "output_padding": 1},
    "output padding of two strides": {"stride": (1, 2), "dilation": (3, 5), "padding": 1, "output_padding": (2, 4)},
}


@pytest.mark.parametrize("options", TRANSPOSED.values(), ids=TRANSPOSED)
def test_a_transposed_convolution_is_the_convolution_that_runs_back(options, generator):
    with seeded(0):
        layer = nn.ConvTranspose2d(4, 6, 3, **options).double()
    x = torch.randn(2, 4, 4, 5, generator=generator, dtype=torch.float64)
    y = layer(x)
    grads = torch.randn(y.shape, generator=generator, dtype=torch.float64)
    y.backward(grads)
    # One contribution an input position: the gradient with all other positions of the input at zero.
    parts = []
    for b in range(2):
        for i in range(4):
            for j in range(5):
                one = torch.zeros_like(x)
                one[b, :, i, j] = x[b, :, i, j]
                parts.append(torch.autograd.grad(layer(one), layer.weight, grads)[0])
    expected = reference.cancellation(torch.stack(parts))
    assert cancellation(x, grads, layer=layer).item() == pytest.approx(expected, rel=1e-12)
    assert cancellation(x, grads, layer=layer, weight_grad=layer.weight.grad).item() == pytest.approx(expected)


@pytest.mark.parametrize("shape", [(7,), (2, 3)], ids=["samples", "samples and tokens"])
def test_a_linear_map_is_its_summands(shape, generator):
    x = torch.randn(*shape, 4, generator=generator, dtype=torch.float64)
    grads = torch.randn(*shape, 5, generator=generator, dtype=torch.float64)
    expected = reference.cancellation(reference.linear_contributions(x, grads))
    assert cancellation(x, grads).item() == pytest.approx(expected, rel=1e-12)
    with seeded(0):
        layer = nn.Linear(4, 5).double()
    layer(x).backward(grads)
    given = cancellation(x, grads, layer=layer, weight_grad=layer.weight.grad)
    assert given.item() == pytest.approx(expected, rel=1e-12)


def test_the_transposed_weight_of_a_language_model_gives_the_same(generator):
    pytorch_utils = pytest.importorskip("transformers.pytorch_utils")
    with seeded(0):
        layer = pytorch_utils.Conv1D(5, 4).double()
    x = torch.randn(2, 3, 4, generator=generator, dtype=torch.float64)
    grads = torch.randn(2, 3, 5, generator=generator, dtype=torch.float64)
    layer(x).backward(grads)
    given = cancellation(x, grads, layer=layer, weight_grad=layer.weight.grad)
    assert given.item() == pytest.approx(cancellation(x, grads).item(), rel=1e-12)


def test_random_signs_give_the_square_root_of_half_pi_n(generator):
    n = 400
    x = torch.ones(n, 200, dtype=torch.float64)
    signs = torch.randint(0, 2, (n, 300), generator=generator).double() * 2 - 1
    # 300 independent sums: their mean is known to 0.76 / sqrt(300) = 4 %; five of those errors.
    assert cancellation(x, signs).item() == pytest.approx(math.sqrt(math.pi * n / 2), rel=0.22)


def test_contributions_of_one_sign_do_not_cancel(generator):
    x, grads = torch.rand(9, 4, generator=generator), torch.rand(9, 3, generator=generator)
    assert cancellation(x, -grads).item() == pytest.approx(1.0, abs=1e-6)


def test_exact_cancellation_is_infinite_and_no_gradient_has_none():
    x = torch.ones(2, 3)
    assert cancellation(x, torch.tensor([[1.0], [-1.0]])).item() == math.inf
    assert cancellation(x, torch.zeros(2, 1)).isnan()


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("place", [0, 1])
def test_nonfinite_arguments_give_nan(bad, place, generator):
    pair = [torch.randn(4, 3, generator=generator), torch.randn(4, 2, generator=generator)]
    pair[place][1, 1] = bad
    assert cancellation(*pair).isnan()
    assert cancellation(*pair, weight_grad=torch.ones(2, 3)).isnan()


def test_half_precision_sums_do_not_overflow():
    x, grads = torch.full((4, 2000), 60.0).half(), torch.full((4, 2000), 60.0).half()
    got = cancellation(x, grads)
    assert (got.dtype, got.item()) == (torch.float16, 1.0)


def test_the_sizes_of_two_uses_of_a_layer_add_up(generator):
    x, grads = torch.randn(8, 3, generator=generator), torch.randn(8, 2, generator=generator)
    parts = contribution_size(x[:5], grads[:5]) + contribution_size(x[5:], grads[5:])
    assert parts.item() == pytest.approx(contribution_size(x, grads).item(), rel=1e-6)


def test_a_sample_without_a_batch_axis_is_a_batch_of_one(generator):
    with seeded(0):
        layer = nn.Conv2d(3, 2, 3)
    x, grads = torch.randn(3, 5, 5, generator=generator), torch.randn(2, 3, 3, generator=generator)
    assert torch.equal(cancellation(x, grads, layer=layer), cancellation(x[None], grads[None], layer=layer))


@pytest.mark.parametrize(
    "inputs, grads, layer, message",
    [
        ((3, 4), (2, 5), None, "of the same rows, got (3, 4) and (2, 5)."),
        ((3, 4), (3, 5), nn.ReLU(), "`layer` must be a linear map or a convolution, got ReLU."),
        ((3, 4, 5, 5), (3, 2, 5, 5), "conv", "maps 3 channels to 2 over 2 axes of space, got inputs (3, 4, 5, 5)"),
        ((3, 3, 5), (3, 2, 5), "conv", "This Conv2d maps 3 channels to 2 over 2 axes of space, got inputs (3, 3, 5)"),
        ((3, 3, 5, 6), (3, 2, 3, 3), "conv", "does not make maps of size (3, 3) out of (5, 6)."),
    ],
)
def test_shapes_that_do_not_fit_are_refused_in_a_sentence(inputs, grads, layer, message):
    with seeded(0):
        layer = nn.Conv2d(3, 2, 3) if layer == "conv" else layer
    with pytest.raises(UsageError, match=re.escape(message)):
        cancellation(torch.zeros(inputs), torch.zeros(grads), layer=layer)
