"""What is filled and what is left alone."""

import warnings

import pytest
import torch
from tests.init.models import Attention, Conv1D, TiedLanguageModel
from torch import nn
from torch.nn.utils import prune
from torch.nn.utils.parametrizations import spectral_norm, weight_norm
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

from leadline._core.errors import UsageError
from leadline._core.randomness import seeded
from leadline.init import delta_orthogonal, gaussian, haar, he, one_sided, orthogonal


def is_orthogonal(matrix):
    small = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.mT
    return torch.allclose(small @ small.mT, torch.eye(len(small)), atol=1e-5)


def made(make):
    with seeded(0):
        return make()


def test_linear_weights_are_filled_and_their_biases_zero(generator):
    layer = haar(made(lambda: nn.Linear(4, 6)), generator=generator)
    assert is_orthogonal(layer.weight)
    assert layer.bias.count_nonzero() == 0


def test_the_module_or_tensor_itself_comes_back(generator):
    model, tensor = made(lambda: nn.Sequential(nn.Linear(3, 3))), torch.zeros(3, 4)
    assert haar(model, generator=generator) is model
    assert haar(tensor, generator=generator) is tensor
    assert is_orthogonal(tensor)


def test_the_weight_of_a_huggingface_conv1d_is_filled_as_the_transposed_matrix(generator):
    layer = haar(made(lambda: Conv1D(9, 4)), gain=2.0, generator=generator)  # 4 inputs, 9 outputs
    assert layer.weight.shape == (4, 9)
    assert is_orthogonal(layer.weight / 2)


@pytest.mark.parametrize("name", ["qkv", "Wqkv", "in_proj"])
def test_fused_queries_keys_and_values_are_three_matrices(name, generator):
    model = haar(made(lambda: Attention(name, nn.Linear(6, 18))), generator=generator)
    parts = getattr(model, name).weight.chunk(3)
    assert all(is_orthogonal(part) for part in parts)
    assert not is_orthogonal(torch.cat(parts))


def test_fused_projections_of_gpt2_are_three_matrices(generator):
    model = haar(made(lambda: Attention("c_attn", Conv1D(18, 6))), generator=generator)
    assert all(is_orthogonal(part) for part in model.c_attn.weight.chunk(3, dim=1))


def test_projections_fused_by_head_are_taken_apart_by_head(generator):
    model = haar(made(lambda: Attention("query_key_value", nn.Linear(6, 18), num_heads=2)), generator=generator)
    queries, keys, values = model.query_key_value.weight.unflatten(0, (2, 3, 3)).unbind(1)
    assert all(is_orthogonal(part.flatten(0, 1)) for part in (queries, keys, values))


def test_heads_that_only_the_config_knows_are_found(generator):
    config = GPTNeoXConfig(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, vocab_size=5,
        bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    model = haar(made(lambda: GPTNeoXForCausalLM(config)), generator=generator)
    weight = model.gpt_neox.layers[0].attention.query_key_value.weight
    assert all(is_orthogonal(part.flatten(0, 1)) for part in weight.unflatten(0, (2, 3, 4)).unbind(1))


def test_a_linear_layer_of_the_same_shape_under_another_name_is_one_matrix(generator):
    model = haar(made(lambda: Attention("expand", nn.Linear(6, 18))), generator=generator)
    assert is_orthogonal(model.expand.weight)


def test_torch_attention_is_filled_with_its_output_projection(generator):
    layer = haar(made(lambda: nn.MultiheadAttention(6, 2)), generator=generator)
    assert all(is_orthogonal(part) for part in layer.in_proj_weight.chunk(3))
    assert is_orthogonal(layer.out_proj.weight)
    assert layer.in_proj_bias.count_nonzero() == 0


def test_torch_attention_with_keys_of_another_width_is_filled(generator):
    layer = haar(made(lambda: nn.MultiheadAttention(6, 2, kdim=4, vdim=5)), generator=generator)
    assert all(is_orthogonal(w) for w in (layer.q_proj_weight, layer.k_proj_weight, layer.v_proj_weight))


def test_frozen_parameters_stay(generator):
    layer = made(lambda: nn.Linear(4, 4))
    layer.weight.requires_grad_(False)
    kept, bias = layer.weight.clone(), layer.bias.clone()
    haar(layer, generator=generator)
    assert torch.equal(layer.weight, kept)
    assert torch.equal(layer.bias, bias)


def test_a_frozen_bias_stays_where_the_weight_is_filled(generator):
    layer = made(lambda: nn.Linear(4, 4))
    layer.bias.requires_grad_(False)
    kept = layer.bias.clone()
    assert is_orthogonal(haar(layer, generator=generator).weight)
    assert torch.equal(layer.bias, kept)


def test_tied_weights_are_drawn_once_and_stay_tied(generator):
    model = made(TiedLanguageModel)
    twin = made(lambda: nn.Linear(5, 5))
    state = generator.get_state()
    haar(model, generator=generator)
    generator.set_state(state)
    haar(twin, generator=generator)
    assert model.again.weight is model.body.weight
    assert torch.equal(model.body.weight, twin.weight)


def test_embeddings_are_left_alone_also_where_a_read_out_shares_them(generator):
    model = made(TiedLanguageModel)
    kept = model.embedding.weight.clone()
    haar(model, generator=generator)
    assert torch.equal(model.head.weight, kept)


def test_embeddings_are_filled_when_asked_and_padding_stays_zero(generator):
    model = haar(made(TiedLanguageModel), generator=generator, embeddings=True)
    assert model.head.weight is model.embedding.weight
    assert model.embedding.weight[0].count_nonzero() == 0
    assert (torch.linalg.svdvals(model.embedding.weight)[:4] - 1).abs().max() < 1e-5


def test_a_weight_behind_a_parametrisation_is_set_through_it(generator):
    layer = made(lambda: weight_norm(nn.Linear(4, 4)))
    haar(layer, generator=generator)
    assert is_orthogonal(layer.weight)


@pytest.mark.parametrize("make", [lambda: nn.Linear(4, 4), lambda: nn.Conv2d(4, 4, 1)])
@pytest.mark.parametrize("dim", [0, 1, None])
def test_a_weight_behind_the_older_hook_is_set_as_length_and_direction(make, dim, generator):
    with pytest.warns(FutureWarning):
        layer = made(lambda: torch.nn.utils.weight_norm(make(), dim=dim))
    haar(layer, gain=2.0, generator=generator)
    assert is_orthogonal(layer.weight.flatten(1) / 2)
    layer(torch.ones(1, 4, *(1,) * (layer.weight.ndim - 2)))  # makes the weight anew
    assert is_orthogonal(layer.weight.flatten(1) / 2)
    assert layer.weight.requires_grad and layer.bias.count_nonzero() == 0


@pytest.mark.parametrize("hook", [torch.nn.utils.spectral_norm, lambda m: prune.l1_unstructured(m, "weight", 0.5)])
def test_a_weight_that_a_hook_makes_anew_is_refused_and_nothing_is_drawn(hook, generator):
    model = made(lambda: nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        with seeded(0):
            hook(model[1])
    kept = model[0].weight.clone()
    with torch.no_grad():
        model(torch.ones(1, 4))
    with pytest.raises(UsageError, match=r"weight of this Linear is made anew from `weight_orig` at every call"):
        haar(model, generator=generator)
    assert torch.equal(model[0].weight, kept)


@pytest.mark.parametrize("draw", [gaussian, he, haar, orthogonal, delta_orthogonal, one_sided])
@pytest.mark.parametrize("shape", [(3, 0), (0, 3), (0, 0), (3, 0, 2, 2), (2, 3, 0)])
def test_a_weight_without_entries_is_left_as_it_is(draw, shape, generator):
    weight = torch.empty(shape)
    assert draw(weight, generator=generator) is weight


def test_layers_without_inputs_leave_the_others_to_be_filled(generator):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # torch's, of initialising nothing
        model = made(lambda: nn.Sequential(nn.Linear(0, 3), nn.Linear(3, 3)))
    haar(model, generator=generator)
    assert is_orthogonal(model[1].weight)


def test_complex_weights_are_left_alone(generator):
    model = made(lambda: nn.Sequential(nn.Linear(4, 4, dtype=torch.cfloat), nn.Linear(4, 4)))
    kept = {name: value.clone() for name, value in model.state_dict().items()}
    haar(model, generator=generator)
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, kept[name])}
    assert changed == {"1.weight", "1.bias"}


SPECTRAL = {
    "linear": lambda: spectral_norm(nn.Linear(16, 16)),
    "transposed": lambda: spectral_norm(nn.ConvTranspose2d(6, 4, 3)),
    "behind another": lambda: spectral_norm(weight_norm(nn.Linear(16, 16))),
}


@pytest.mark.parametrize("name", SPECTRAL)
@pytest.mark.parametrize("training", [True, False])
def test_a_spectral_norm_is_that_of_the_new_weight(name, training, generator):
    layer = made(SPECTRAL[name]).train(training)
    haar(layer, generator=generator)
    weight = layer.eval().weight.detach()
    assert torch.linalg.matrix_norm(weight.transpose(0, 1 if name == "transposed" else 0).flatten(1), 2) == (
        pytest.approx(1, abs=0.02)
    )


def test_a_generator_decides_and_the_global_one_stays(generator):
    first = haar(torch.empty(5, 5), generator=torch.Generator().manual_seed(1))
    again = haar(torch.empty(5, 5), generator=torch.Generator().manual_seed(1))
    assert torch.equal(first, again)
    assert not torch.equal(haar(torch.empty(5, 5)), haar(torch.empty(5, 5)))  # and conftest: nothing global moved


def test_layers_drawn_from_one_generator_differ(generator):
    model = haar(made(lambda: nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))), generator=generator)
    assert not torch.allclose(model[0].weight, model[1].weight)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_dtypes_are_filled_in_their_precision(dtype, generator):
    weight = haar(torch.empty(6, 4, dtype=dtype), generator=generator)
    tall = weight.double()
    assert (tall.mT @ tall - torch.eye(4)).abs().max() < 4 * torch.finfo(dtype).eps


def test_nothing_remembers_gradients(generator):
    layer = delta_orthogonal(made(lambda: nn.Conv2d(3, 3, 3)), generator=generator)
    assert layer.weight.requires_grad
    assert layer.weight.grad_fn is None


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("weights", "`target` must be a module or a tensor, got str"),
        (torch.zeros(3), r"shape \(outputs, inputs, \*kernel\) and a float dtype, got \(3,\)"),
        (torch.zeros(3, 3, dtype=torch.int64), "got \\(3, 3\\) of torch.int64"),
        (nn.Linear(3, 3, device="meta"), "`weight` lies on the meta device"),
        (nn.Sequential(nn.LazyLinear(3)), "`0.weight` has no shape yet: run a batch"),
    ],
)
def test_a_wrong_target_is_one_sentence(target, message):
    with pytest.raises(UsageError, match=message):
        orthogonal(target)
