import pytest
import torch
from torch import nn

from leadline._core.errors import UsageError
from leadline.targets import load


def test_overrides_replace_the_options_of_the_target():
    target = load("mlp:depth=2,width=8", overrides={"width": 16})
    assert target.model.blocks[1].linear.in_features == 16
    assert target.build(1).blocks[1].linear.in_features == 16
    assert target.build(1, width=32, depth=3).blocks[2].linear.in_features == 32


def test_an_override_that_is_no_option_offers_the_nearest():
    with pytest.raises(UsageError, match=r"mlp has no option 'wdth' \(did you mean 'width'\?\)"):
        load("mlp", overrides={"wdth": 16})


def test_the_seed_decides_weights_and_batch():
    a, b, c = (load("mlp:depth=1,width=8", seed=seed) for seed in (3, 3, 4))
    assert torch.equal(a.inputs, b.inputs) and torch.equal(a.model.head.weight, b.model.head.weight)
    assert not torch.equal(a.inputs, c.inputs) and not torch.equal(a.model.head.weight, c.model.head.weight)
    assert torch.equal(a.build(4).head.weight, c.model.head.weight)


@pytest.mark.parametrize("dtype", ["bf16", "bfloat16", torch.bfloat16])
def test_a_dtype_casts_parameters_and_float_inputs(dtype):
    target = load("mlp:depth=1,norm=batch", dtype=dtype)
    assert {p.dtype for p in target.model.parameters()} == {torch.bfloat16}
    assert target.inputs.dtype == torch.bfloat16
    assert target.targets.dtype == torch.int64
    assert target.build(1).head.weight.dtype == torch.bfloat16


def test_tokens_stay_integers_in_every_dtype():
    assert load("gpt:depth=1,width=8", dtype="bf16", batch=1).inputs.dtype == torch.int64


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch": 0}, r"The batch must have at least 1 sample; got 0\."),
        ({"batch": -2}, r"got -2\."),
        ({"data": "net.py:batch"}, r"name of a data set; got 'net\.py:batch'.* returns \(model, inputs, targets\)\."),
        ({"data": "imagenet"}, "data must be one of digits, .*, gaussian, tokens; got 'imagenet'"),
        ({"data": "digit"}, r"did you mean 'digits'\?"),
        ({"input_shape": (3, 0)}, r"The input shape is that of one sample, such as \(3, 32, 32\); got \(3, 0\)\."),
        ({"input_shape": ()}, r"got \(\)\."),
        ({"seed": -1}, r"The seed must be a whole number from 0 and below 2⁶³; got -1\."),
        ({"dtype": "bf17"}, r"dtype must be one of float32, .*got 'bf17' \(did you mean 'bf16'\?\)"),
        ({"device": "cdua"}, r"There is no device 'cdua' here; there is cpu"),
        ({"device": "cuda:99"}, r"There is no device 'cuda:99' here; there is cpu"),
        ({"device": "meta"}, "Nothing can be measured on the device 'meta'"),
    ],
)
def test_a_wrong_call_is_told_in_a_sentence(options, message):
    with pytest.raises(UsageError, match=message):
        load("mlp", **options)


@pytest.mark.skipif(torch.cuda.is_available(), reason="says what is missing where CUDA is")
def test_cuda_without_cuda_is_refused():
    with pytest.raises(UsageError, match=r"There is no device 'cuda' here; there is cpu\."):
        load("mlp", device="cuda")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_model_batch_and_further_draws_live_on_the_device():
    target = load("mlp:depth=1", device="cuda", dtype="bf16")
    assert target.inputs.is_cuda and target.targets.is_cuda
    assert isinstance(target.model, nn.Module) and all(p.is_cuda for p in target.build(1).parameters())
