"""A lazy linear layer is a linear layer: outputs, gradients, profiles, laws; and looking at it reveals nothing."""

import copy
import math
import pickle

import pytest
import torch
from torch import Tensor, nn

import leadline
from leadline._core.errors import UsageError
from leadline._core.randomness import seeded
from leadline.nn import mlp
from leadline.simulate import LazyLinear


def _lazy_mlp(*, width: int = 24, depth: int = 4, **options) -> nn.Module:
    seeds = iter(range(1000))
    return mlp(9, 5, depth=depth, width=width, linear=lambda *a, **k: LazyLinear(*a, seed=next(seeds), **k), **options)


def _dense(model: nn.Module) -> nn.Module:
    """A copy with the weights of all lazy layers as they are, stored."""
    twin = copy.deepcopy(model)
    for name, layer in list(model.named_modules()):
        if isinstance(layer, LazyLinear):
            stored = nn.Linear(layer.in_features, layer.out_features, bias=layer.bias is not None, device="meta")
            stored.weight = nn.Parameter(layer.materialise())
            stored.bias = copy.deepcopy(layer.bias)
            path, _, last = name.rpartition(".")
            setattr(twin.get_submodule(path), last, stored)
    return twin


def _batch(generator: torch.Generator, n: int = 12, d: int = 9) -> Tensor:
    return torch.randn(n, d, generator=generator)


@pytest.mark.parametrize("weights", ["gaussian", "haar"])
@pytest.mark.parametrize("shape", [(7,), (6, 7), (2, 3, 7)])
def test_outputs_and_gradients_are_those_of_the_stored_layer(
    weights: str, shape: tuple[int, ...], generator: torch.Generator
) -> None:
    layer = LazyLinear(7, 11, weights=weights, seed=0).double()
    x = torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True)
    y = layer(x)
    (grad,) = torch.autograd.grad(y.square().sum(), x)
    twin = _dense(nn.Sequential(layer))
    torch.testing.assert_close(y, twin(x))
    torch.testing.assert_close(grad, torch.autograd.grad(twin(x).square().sum(), x)[0])


@pytest.mark.parametrize("norm", ["none", "batch"])
def test_a_profile_is_that_of_the_stored_network(norm: str, generator: torch.Generator) -> None:
    model = _lazy_mlp(norm=norm, init="he").double()
    x, labels = _batch(generator).double(), torch.arange(12) % 5
    twin = _dense(model)  # what a profile reveals is forgotten: only a matrix that is known before is the same after
    got, expected = leadline.profile(model, x, labels), leadline.profile(twin, x, labels)
    assert [layer.name for layer in got.layers] == [layer.name for layer in expected.layers]
    for one, other in zip(got.layers, expected.layers, strict=True):
        missing = {"cancellation", "cancellation_baseline"}
        assert set(other.metrics) - set(one.metrics) <= missing
        assert (one.parameters, one.trained) == (other.parameters, other.trained)
        for name in set(one.metrics) - missing:
            assert math.isclose(one.metrics[name], other.metrics[name], rel_tol=1e-6, abs_tol=1e-9), name


def test_gradients_of_weights_are_those_of_the_stored_network(generator: torch.Generator) -> None:
    model = _lazy_mlp().double()
    for layer in model.modules():
        if isinstance(layer, LazyLinear):
            layer.record_weight_grad()
    x, labels = _batch(generator).double(), torch.arange(12) % 5
    nn.functional.cross_entropy(model(x), labels).backward()
    twin = _dense(model)
    twin.zero_grad()
    nn.functional.cross_entropy(twin(x), labels).backward()
    for one, other in zip(model.blocks, twin.blocks, strict=True):
        assert one.linear.weight_grad_norm() == pytest.approx(float(other.linear.weight.grad.norm()), rel=1e-10)
        torch.testing.assert_close(one.linear.bias.grad, other.linear.bias.grad)


def test_profiling_reveals_nothing_for_good(generator: torch.Generator) -> None:
    model, untouched = _lazy_mlp(), _lazy_mlp()
    x = _batch(generator)
    leadline.profile(model, x)
    lazies = [layer for layer in model.modules() if isinstance(layer, LazyLinear)]
    assert [layer.matrix.memory for layer in lazies] == [0] * 5
    assert all(layer.weight_grads is None for layer in lazies)
    assert torch.equal(model(x), untouched(x))


def test_profiling_keeps_what_was_revealed_before(generator: torch.Generator) -> None:
    model, x = _lazy_mlp(), _batch(generator)
    before = model(x)
    leadline.profile(model, _batch(generator))
    torch.testing.assert_close(model(x), before, rtol=0, atol=1e-6)


def test_a_network_without_any_parameter_is_profiled(generator: torch.Generator) -> None:
    layers = [part for _ in range(3) for part in (LazyLinear(9, 9, bias=False, seed=1), nn.Tanh())]
    profile = leadline.profile(nn.Sequential(*layers), _batch(generator))
    assert len(profile.layers) == 3
    assert all(layer.weight_grad_norm > 0 and layer.parameters == 81 for layer in profile.layers)


def test_norms_of_large_weights_are_estimates_within_three_percent_and_a_note_says_so(
    generator: torch.Generator,
) -> None:
    profile = leadline.profile(_lazy_mlp(width=400, init="gaussian"), _batch(generator))
    norms = [profile.weight_norms[f"blocks.{k}.linear.weight"] for k in (1, 2, 3)]
    assert norms == pytest.approx([20.0] * 3, rel=0.03)
    assert any("3 %" in note for note in profile.notes)


@pytest.mark.parametrize(
    ("init", "variance"),
    [("default", 1 / 120), ("he", 2 / 40), ("gaussian", 1 / 40), ("xavier", 2 / 70), ("orthogonal", 30 / 40 / 30)],
)
def test_a_design_draws_the_law_it_names(init: str, variance: float) -> None:
    net = nn.Sequential(LazyLinear(40, 30, seed=3))
    leadline.nn.fill(net, init=init, gain=2.0)
    dense = net[0].materialise() / 2.0
    # 1200 entries: the relative standard error of their mean square is 4 %.
    assert float(dense.square().mean()) == pytest.approx(variance, rel=0.2)
    assert float(dense.mean()) == pytest.approx(0.0, abs=5 * math.sqrt(variance / 1200))
    assert bool(net[0].bias.any()) == (init == "default")
    if init == "orthogonal":
        torch.testing.assert_close(dense @ dense.mT, torch.eye(30, dtype=dense.dtype))


def test_entries_have_the_variance_and_biases_the_law_of_torchs_own() -> None:
    layer = LazyLinear(64, 4000, seed=2)
    with seeded(0):
        torchs = nn.Linear(64, 4000)
    spread = {name: float(value.std()) for name, value in torchs.state_dict().items()}
    assert float(layer.materialise().std()) == pytest.approx(spread["weight"], rel=0.01)
    assert float(layer.bias.detach().std()) == pytest.approx(spread["bias"], rel=0.05)
    assert float(layer.bias.detach().abs().max()) == pytest.approx(1 / 8, rel=0.01)


def test_a_state_dict_holds_the_bias_alone_and_the_seed_gives_the_rest(generator: torch.Generator) -> None:
    layer, x = LazyLinear(9, 5, seed=4), _batch(generator)
    assert list(layer.state_dict()) == ["bias"]
    other = LazyLinear(9, 5, seed=4)
    other.load_state_dict(layer.state_dict())
    assert torch.equal(layer(x), other(x))
    assert not torch.equal(layer(x), LazyLinear(9, 5, seed=5)(x))


def test_copies_carry_what_was_revealed(generator: torch.Generator) -> None:
    layer, x = LazyLinear(9, 5, seed=4), _batch(generator)
    y = layer(x)
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(other(x), y)


def test_a_layer_that_becomes_float64_keeps_its_answers(generator: torch.Generator) -> None:
    layer, x = LazyLinear(30, 20, seed=4), _batch(generator, d=30)
    y = layer(x)
    torch.testing.assert_close(layer.double()(x.double()).float(), y, rtol=0, atol=1e-5)


@pytest.mark.parametrize("weights", ["gaussian", "haar"])
@pytest.mark.parametrize(
    "ask", [lambda x: x.materialise(), lambda x: x.exact_weight_norm(), lambda x: x.weight_image(torch.eye(3))]
)
@pytest.mark.parametrize("dtype", [None, torch.float32, torch.float64])
def test_whoever_asks_first_the_layer_has_the_dtype_it_was_made_with(
    weights: str, ask, dtype: torch.dtype | None
) -> None:
    layer = LazyLinear(3, 3, weights=weights, seed=0, dtype=dtype)
    ask(layer)
    kept = dtype or torch.get_default_dtype()
    assert layer.materialise().dtype == kept and layer(torch.ones(1, 3, dtype=kept)).dtype == kept


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_of_a_layer_made_without_one_the_first_samples_give_the_dtype(dtype: torch.dtype) -> None:
    layer = LazyLinear(3, 3, seed=0)
    assert layer(torch.ones(1, 3, dtype=dtype)).dtype == layer.materialise().dtype == dtype


def test_a_layer_that_is_moved_or_redrawn_before_its_first_product_follows() -> None:
    layer = LazyLinear(3, 3, seed=0).double()
    assert layer.materialise().dtype == torch.float64
    layer.redraw(init="orthogonal", gain=1.0)
    assert layer.exact_weight_norm() == pytest.approx(3**0.5, rel=1e-14)
    assert layer(torch.ones(1, 3).double()).dtype == torch.float64


@pytest.mark.parametrize("shape", [(0, 4), (2, 0, 4)])
def test_an_empty_batch_has_the_outputs_of_a_stored_layer(shape: tuple[int, ...]) -> None:
    layer, x = LazyLinear(4, 5, seed=0), torch.zeros(shape, requires_grad=True)
    layer.record_weight_grad()
    y = layer(x)
    assert y.shape == (*shape[:-1], 5)
    y.sum().backward()
    assert x.grad is not None and x.grad.shape == shape


def test_a_jacobian_goes_through_lazy_layers(generator: torch.Generator) -> None:
    model, x = _lazy_mlp(activation="tanh").double(), _batch(generator, n=2).double()
    got = leadline.metrics.jacobian_singular_values(model, x)
    torch.testing.assert_close(got, leadline.metrics.jacobian_singular_values(_dense(model), x))


def test_wrong_calls_say_what_was_expected() -> None:
    with pytest.raises(UsageError, match="weights must be one of gaussian, haar; got 'uniform'"):
        LazyLinear(3, 4, weights="uniform")
    with pytest.raises(UsageError, match=r"takes samples of 3 features, got \(2, 4\)"):
        LazyLinear(3, 4, seed=0)(torch.ones(2, 4))
    with pytest.raises(UsageError, match="at least one row and one column, got 4 x 0"):
        LazyLinear(0, 4)
