"""Singular values of whole-batch Jacobians, against one backward pass an output."""

import math

import pytest
import torch
from tests.metrics.models import mlp, untouched
from tests.reference import gradients as reference
from torch import nn

from leadline._core.errors import UsageError
from leadline._core.randomness import kept_rng, seeded
from leadline.metrics import jacobian, jacobian_singular_values


def expected(model: nn.Module, x: torch.Tensor) -> torch.Tensor:
    with kept_rng():
        return torch.linalg.svdvals(reference.jacobian(model, x))


@pytest.mark.parametrize("features, classes", [(6, 3), (3, 6), (5, 5)], ids=["backward", "forward", "square"])
@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("train", [False, True])
def test_it_is_the_spectrum_of_the_whole_batch(features, classes, norm, train, generator):
    model = mlp(norm=norm, features=features, classes=classes).double().train(train)
    x = torch.randn(4, features, generator=generator, dtype=torch.float64)
    got = jacobian_singular_values(model, x)
    assert got.shape == (4 * min(features, classes),)
    assert torch.allclose(got, expected(model, x), rtol=1e-9, atol=1e-12)


def test_train_mode_batch_normalisation_couples_the_samples(generator):
    model = mlp(norm=True, features=3, classes=6).double()
    x = torch.randn(4, 3, generator=generator, dtype=torch.float64)
    apart = torch.cat([expected(model.eval(), x[i : i + 1]) for i in range(4)]).sort(descending=True).values
    assert torch.allclose(jacobian_singular_values(model.eval(), x), apart, rtol=1e-9)
    coupled = jacobian_singular_values(model.train(), x)
    # Adding one vector to every sample changes nothing behind the first normalisation: a zero for each of its entries.
    assert (coupled < 1e-12 * coupled[0]).sum() == 3
    assert (apart > 1e-6 * apart[0]).all()


class Mixing(nn.Module):
    """Sample ``target`` sees sample ``source``; otherwise samples are apart."""

    def __init__(self, source: int, target: int) -> None:
        super().__init__()
        self.source, self.target = source, target

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mixed = x.tanh().clone()
        mixed[self.target] = mixed[self.target] + 5 * x[self.source]
        return mixed


@pytest.mark.parametrize("source, target", [(0, 1), (1, 0), (0, 4), (2, 3), (4, 3)])
@pytest.mark.parametrize("slope", [1, 2])
def test_any_one_sample_that_reaches_another_is_noticed(source, target, slope, generator):
    with seeded(0):
        head = nn.Linear(3, 2 * slope)  # fewer outputs than inputs, then more
    model = nn.Sequential(Mixing(source, target), head).double()
    x = torch.randn(5, 3, generator=generator, dtype=torch.float64)
    assert torch.allclose(jacobian_singular_values(model, x), expected(model, x), rtol=1e-9)


def test_samples_that_are_apart_cost_one_pass_an_output_of_one_sample(generator, monkeypatch):
    model = mlp(norm=False).double()
    rows = []
    whole = torch.linalg.svdvals
    monkeypatch.setattr(torch.linalg, "svdvals", lambda x: rows.append(tuple(x.shape)) or whole(x))
    jacobian_singular_values(model, torch.randn(4, 6, generator=generator, dtype=torch.float64))
    jacobian_singular_values(mlp(norm=True).double(), torch.randn(4, 6, generator=generator, dtype=torch.float64))
    assert rows == [(4, 3, 6), (1, 12, 24)]


@pytest.mark.parametrize("features, classes, passes", [(6, 3, 12), (3, 6, 12)])
def test_the_shorter_side_decides_the_number_of_passes(features, classes, passes, generator, monkeypatch):
    sizes = []
    one_hot = nn.functional.one_hot
    monkeypatch.setattr(nn.functional, "one_hot", lambda part, size: sizes.append(size) or one_hot(part, size))
    jacobian_singular_values(
        mlp(norm=True, features=features, classes=classes), torch.randn(4, features, generator=generator)
    )
    assert sizes == [passes]


def test_chunks_give_the_whole(generator, monkeypatch):
    model = mlp(norm=True)
    x = torch.randn(4, 6, generator=generator)
    whole = jacobian_singular_values(model, x)
    monkeypatch.setattr(jacobian, "_CHUNK", 24 * 5)
    assert torch.allclose(jacobian_singular_values(model, x), whole, rtol=1e-5, atol=1e-7)


def test_float64_sees_below_the_floor_of_float32():
    with seeded(0):
        model = nn.Sequential(*[nn.Linear(16, 16, bias=False) for _ in range(60)])
        x = torch.randn(1, 16)
    single, double = jacobian_singular_values(model, x), jacobian_singular_values(model, x, dtype=torch.float64)
    assert (single.dtype, double.dtype) == (torch.float32, torch.float64)
    product = torch.eye(16, dtype=torch.float64)
    for layer in model:
        product = layer.weight.detach().double() @ product
    assert single[0].item() == pytest.approx(double[0].item(), rel=1e-4)
    assert double[8].item() == pytest.approx(torch.linalg.svdvals(product)[8].item(), rel=1e-3)
    assert 0 < double[8] < 1e-9 * double[0]


@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("dtype", [None, torch.float64])
def test_the_model_is_left_as_it_was(norm, dtype, generator):
    model = mlp(norm=norm, dropout=0.3)
    model[0].weight.grad = torch.ones_like(model[0].weight)
    model[-1].bias.requires_grad_(False)
    x = torch.randn(4, 6, generator=generator)
    before = x.clone()
    with untouched(model):
        jacobian_singular_values(model, x, dtype=dtype)
    assert torch.equal(x, before)
    assert not x.requires_grad


def test_it_runs_where_gradients_are_switched_off(generator):
    model, x = mlp(norm=True), torch.randn(4, 6, generator=generator)
    with torch.no_grad():
        got = jacobian_singular_values(model, x)
    assert torch.equal(got, jacobian_singular_values(model, x))


def test_dropout_is_that_of_the_generator_as_it_stands(generator):
    model, x = mlp(norm=False, dropout=0.5).double(), torch.randn(4, 6, generator=generator, dtype=torch.float64)
    assert torch.allclose(jacobian_singular_values(model, x), expected(model, x), rtol=1e-9, atol=1e-12)


def test_convolutions_and_maps_are_flattened(generator):
    with seeded(0):
        model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.ReLU(inplace=True), nn.AvgPool2d(2)).double()
    x = torch.randn(2, 2, 6, 6, generator=generator, dtype=torch.float64)
    assert torch.allclose(jacobian_singular_values(model, x), expected(model, x), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("classes", [2, 40])
def test_attention_is_differentiated(classes, generator):
    class Attention(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return nn.functional.scaled_dot_product_attention(x, x, x)

    with seeded(0):
        model = nn.Sequential(Attention(), nn.Flatten(), nn.Linear(24, classes)).double()
    x = torch.randn(2, 2, 3, 4, generator=generator, dtype=torch.float64)  # with heads, where the kernel is fused
    assert torch.allclose(jacobian_singular_values(model, x), expected(model, x), rtol=1e-9, atol=1e-12)


def test_the_first_float_tensor_of_a_collection_is_the_output(generator):
    class Pair(nn.Module):
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
            return x.argmax(-1), 3 * x

    x = torch.randn(2, 3, generator=generator)
    assert jacobian_singular_values(Pair(), x).tolist() == pytest.approx([3.0] * 6)


def test_an_output_without_the_input_in_it_has_a_jacobian_of_zeros():
    class Constant(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.ones(len(x), 2)

    assert jacobian_singular_values(Constant(), torch.zeros(3, 4)).tolist() == [0.0] * 6


def test_a_jacobian_that_is_not_finite_gives_nan(generator):
    model = mlp(norm=False)
    with torch.no_grad():
        model[4].weight[0, 0] = math.nan
    assert jacobian_singular_values(model, torch.randn(4, 6, generator=generator)).isnan().all()


@pytest.mark.parametrize("inputs", [torch.zeros(2, 3, dtype=torch.long), torch.zeros(0, 3)])
def test_inputs_without_a_derivative_are_refused(inputs):
    with pytest.raises(UsageError, match="`inputs` must be a float tensor with entries to differentiate by"):
        jacobian_singular_values(nn.Identity(), inputs)


def test_an_output_without_numbers_is_refused():
    class Words(nn.Module):
        def forward(self, x: torch.Tensor) -> str:
            return "none"

    with pytest.raises(UsageError, match=r"must return a float tensor, `logits` or a collection with one; got str"):
        jacobian_singular_values(Words(), torch.zeros(2, 3))
