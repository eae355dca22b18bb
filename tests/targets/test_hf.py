import pytest
import torch

from leadline._core.errors import UsageError
from leadline._core.randomness import kept_rng
from leadline.targets import load

GPT2 = "hf:gpt2,n_layer=2,n_embd=32,n_head=2,vocab_size=50,n_positions=16"


def output(target):
    with torch.no_grad(), kept_rng():
        return target.model(**target.inputs)


@pytest.mark.parametrize(
    ("target", "kind"),
    [
        (GPT2, "GPT2LMHeadModel"),
        ("hf:llama,depth=1,width=16,num_attention_heads=2,num_key_value_heads=1,intermediate_size=16,head_dim=8,vocab_size=50",
         "LlamaForCausalLM"),
        ("hf:bert,depth=1,width=16,num_attention_heads=2,intermediate_size=16,vocab_size=50", "BertForMaskedLM"),
    ],
)  # fmt: skip
def test_language_models_get_tokens_and_the_next_ones_as_targets(target, kind):
    made = load(target, batch=3, input_shape=(7,))
    assert type(made.model).__name__ == kind
    assert made.inputs["input_ids"].shape == made.targets.shape == (3, 7)
    assert output(made).logits.shape == (3, 7, 50)


def test_an_encoder_with_a_decoder_gets_inputs_for_both():
    made = load("hf:t5,num_layers=1,d_model=16,d_ff=16,num_heads=2,d_kv=8,vocab_size=50", batch=2, input_shape=(5,))
    assert set(made.inputs) == {"input_ids", "decoder_input_ids"}
    assert output(made).logits.shape == (2, 5, 50)


def test_an_image_model_gets_gaussian_images_of_its_size():
    made = load("hf:vit,depth=1,width=16,num_attention_heads=2,intermediate_size=16,image_size=32", batch=2)
    assert made.inputs["pixel_values"].shape == (2, 3, 32, 32)
    assert output(made).logits.shape == (2, made.model.config.num_labels)


def test_large_images_come_in_small_batches():
    target = "hf:vit,depth=1,width=16,num_attention_heads=2,intermediate_size=16,patch_size=64,image_size="
    assert [len(load(f"{target}{side}").inputs["pixel_values"]) for side in (320, 384, 1024)] == [8, 5, 2]


def test_a_type_with_several_classes_gives_the_classifier():
    made = load("hf:deit,depth=1,width=16,num_attention_heads=2,intermediate_size=16,image_size=32", batch=1)
    assert type(made.model).__name__ == "DeiTForImageClassification"


def test_a_model_without_a_limit_gets_sequences_of_the_usual_length():
    made = load("hf:xlnet,n_layer=1,d_model=16,n_head=2,d_inner=16,vocab_size=50", batch=2)
    assert made.inputs["input_ids"].shape == (2, 64)


def test_sequences_are_no_longer_than_the_model_allows():
    assert load(GPT2, batch=1).inputs["input_ids"].shape == (1, 16)


def test_depth_and_width_stand_for_the_configs_own_names():
    config = load("hf:gpt2,depth=3,width=24,vocab_size=50", batch=1).model.config
    assert (config.n_layer, config.n_embd) == (3, 24)


def test_build_draws_anew_with_values_replaced():
    made = load(GPT2, batch=1)
    weight = made.model.transformer.wte.weight
    assert torch.equal(made.build(0).transformer.wte.weight, weight)
    assert not torch.equal(made.build(1).transformer.wte.weight, weight)
    assert made.build(0, width=64).config.n_embd == 64


def test_a_model_from_a_function_says_what_it_takes(tmp_path):
    (tmp_path / "net.py").write_text(
        "from transformers import GPT2Config, GPT2Model\n"
        "def build():\n"
        "    config = GPT2Config(n_layer=1, n_embd=8, n_head=1, vocab_size=9, bos_token_id=0, eos_token_id=0)\n"
        "    return GPT2Model(config)\n"
    )
    made = load(f"{tmp_path}/net.py:build", batch=2)
    assert made.inputs["input_ids"].shape == (2, 64)
    assert made.targets is None


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("hf:gptt2", r"takes a type of model that transformers knows, not 'gptt2'; did you mean 'hf:gpt2'\?"),
        ("hf:gpt2,n_layers=2", r"hf:gpt2 has no option 'n_layers' \(did you mean 'n_layer'\?\)"),
        ("hf:gpt2,n_layer=two", r"hf:gpt2 option n_layer must be a whole number; got 'two'\."),
        ("hf:gpt2,n_embd=50,n_layer=1", r"hf:gpt2 raised ValueError: .*divisible by num_heads \(got `embed_dim`: 50"),
        (
            "hf:gpt2,n_layer=1,vocab_size=10000000000",
            r"billion parameters by its config; .*make it smaller, e\.g\. hf:gpt2,depth=4\.",
        ),
        ("hf:wav2vec2,depth=1", r"takes input_values, for which there is no ready batch; give a function"),
    ],
)
def test_a_wrong_call_is_told_in_a_sentence(target, message):
    with pytest.raises(UsageError, match=message):
        load(target)


def test_data_that_does_not_suit_is_refused():
    with pytest.raises(UsageError, match="data for hf:gpt2 must be one of tokens; got 'digits'"):
        load(GPT2, data="digits")


def test_a_model_that_hears_asks_for_a_factory_instead_of_running_its_decoder_alone():
    small = "d_model=16,encoder_layers=1,decoder_layers=1,encoder_attention_heads=2,decoder_attention_heads=2"
    with pytest.raises(UsageError, match=r"takes input_features, for which there is no ready batch; give a function"):
        load(f"hf:whisper,{small},encoder_ffn_dim=16,decoder_ffn_dim=16,vocab_size=60000")
