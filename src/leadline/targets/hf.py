"""Models of `transformers`, built from their configs with random weights: nothing is downloaded."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from leadline._core.errors import UsageError
from leadline._core.extras import require
from leadline._core.names import check_choice, nearest
from leadline._core.randomness import kept_rng, seeded
from leadline.data import Batch, gaussian, token_ids
from leadline.targets.foreign import told
from leadline.targets.options import as_kind, check_names, guessed
from leadline.targets.plan import Plan, Wanted, counted, images_at_once, sequence_length, times

_SEQUENCES = 8
_LENGTH = 64
_SIDE = 224
# Head -> the mapping from config to class that has it, the first that knows the config is taken.
_HEADS = (
    "MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING",
    "MODEL_FOR_MASKED_LM_MAPPING",
    "MODEL_FOR_CAUSAL_LM_MAPPING",
    "MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING",
    "MODEL_MAPPING",
)
# Words for every model's config -> transformers' own.
_COMMON = {"depth": "num_hidden_layers", "width": "hidden_size"}


def plan(name: str, options: Mapping[str, Any], wanted: Wanted) -> Plan:
    """The model of type ``name``, such as ``gpt2``, its config's values replaced by ``options``, and a batch.

    Raises:
        UsageError: If there is no such type, the config has no such value, or the model would not fit in memory.
        MissingExtraError: If `transformers` is not installed or cannot be imported.
    """
    transformers = require("transformers", extra="hf")
    # Its names load at their first use, and would hide there what keeps them from loading.
    require("transformers.modeling_utils", extra="hf")
    if name not in transformers.CONFIG_MAPPING:
        guess = nearest(name, list(transformers.CONFIG_MAPPING.keys()))
        hint = f"; did you mean 'hf:{guess}'?" if guess else ", e.g. hf:gpt2, hf:bert, hf:t5, hf:vit."
        raise UsageError(f"hf: takes a type of model that transformers knows, not {name!r}{hint}")

    whose = f"hf:{name}"

    def build(seed: int, overrides: Mapping[str, Any]) -> nn.Module:
        with _quiet(transformers):
            return _drawn(transformers, name, {**options, **overrides}, seed=seed, whose=whose)

    model = build(wanted.seed, wanted.overrides)
    batch, about = batch_for(model, wanted, whose=whose)
    return Plan(model=model, build=build, batch=batch, about=about)


def _drawn(transformers: Any, name: str, given: Mapping[str, Any], *, seed: int, whose: str) -> nn.Module:
    with told(whose):
        default = transformers.AutoConfig.for_model(name)
    values = _values(default, given, whose=whose)
    with told(whose):
        config = transformers.AutoConfig.for_model(name, **values)
        kind = _class_for(transformers, config)
    if kind is None:
        raise UsageError(f"{whose} has no model for text or images that can be built from its config.")
    with told(whose), kept_rng(), torch.device("meta"):
        numbers = sum(parameter.numel() for parameter in kind(config).parameters())
    _check_memory(numbers, whose)
    with told(whose), seeded(seed):
        return kind(config).train()


@contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """Without the library's remarks on tokens that a small vocabulary lacks."""
    kept = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity_error()
    try:
        yield
    finally:
        transformers.logging.set_verbosity(kept)


def _values(default: Any, given: Mapping[str, Any], *, whose: str) -> dict[str, Any]:
    """The given values under the config's own names, each in the kind of the value it replaces."""
    own = {
        key: value for key, value in default.to_dict().items() if isinstance(value, (bool, int, float, str, type(None)))
    }
    shared = {word: key for word, key in _COMMON.items() if hasattr(default, key)}
    check_names(given, [*shared, *default.attribute_map, *own], whose=whose)
    values = {}
    for word, value in given.items():
        key = shared.get(word, word)
        present = getattr(default, key)
        kind = next((k for k in (bool, int, float, str) if isinstance(present, k)), None)
        values[key] = as_kind(kind, value, what=f"{whose} option {word}") if kind else guessed(value)
    return values


def _class_for(transformers: Any, config: Any) -> type[nn.Module] | None:
    # A decoder by itself, without what it attends to in the encoder, is another model.
    heads = [head for head in _HEADS if not (config.is_encoder_decoder and head == "MODEL_FOR_CAUSAL_LM_MAPPING")]
    for mapping in (getattr(transformers, head) for head in heads):
        if type(config) in mapping:
            found = mapping[type(config)]
            return found[0] if isinstance(found, (list, tuple)) else found
    return None


def _check_memory(numbers: int, whose: str) -> None:
    """Weights and gradients fit into the machine's memory, where the system tells how much that is."""
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return
    if 8 * numbers > memory:
        raise UsageError(
            f"{whose} has {numbers / 1e9:.3g} billion parameters by its config; with gradients that is "
            f"{8 * numbers / 2**30:.0f} GiB of {memory / 2**30:.0f}: make it smaller, e.g. {whose},depth=4."
        )


def speaks_for_itself(model: nn.Module) -> bool:
    """Whether ``model`` says what it takes, as those of `transformers` do."""
    return isinstance(getattr(model, "main_input_name", None), str) and hasattr(model, "config")


def batch_for(model: Any, wanted: Wanted, *, whose: str) -> tuple[Batch, str]:
    """Random tokens or Gaussian images by the model's config, and the batch in words.

    Raises:
        UsageError: If the model takes neither, or something else is asked for.
    """
    if model.main_input_name == "input_ids":
        return _tokens(model, wanted, whose)
    if model.main_input_name == "pixel_values":
        return _images(model, wanted, whose)
    raise UsageError(
        f"{whose} takes {model.main_input_name}, for which there is no ready batch; give a function that returns "
        f"(module, inputs), as file.py:build."
    )


def _tokens(model: Any, wanted: Wanted, whose: str) -> tuple[Batch, str]:
    check_choice(f"data for {whose}", wanted.data or "tokens", ("tokens",))
    config = model.config.get_text_config()
    longest = getattr(config, "max_position_embeddings", None) or _LENGTH
    longest = longest if longest > 0 else _LENGTH  # -1 says that there is no limit.
    length = sequence_length(wanted, min(_LENGTH, longest), whose=whose)
    size = wanted.batch or _SEQUENCES
    ids = token_ids(size, length, config.vocab_size, seed=wanted.seed)
    inputs = {"input_ids": ids.inputs}
    if model.config.is_encoder_decoder:
        inputs["decoder_input_ids"] = token_ids(size, length, config.vocab_size, seed=wanted.seed + 1).inputs
    speaks = model.get_output_embeddings() is not None
    return Batch(
        inputs=inputs, targets=ids.targets if speaks else None
    ), f"{counted(size, 'sequence')} of {length} random tokens"


def _images(model: Any, wanted: Wanted, whose: str) -> tuple[Batch, str]:
    check_choice(f"data for {whose}", wanted.data or "gaussian", ("gaussian",))
    config = getattr(model.config, "vision_config", model.config)
    side = getattr(config, "image_size", None) or _SIDE
    sides = tuple(side) if isinstance(side, (list, tuple)) else (side, side)
    shape = wanted.input_shape or (getattr(config, "num_channels", 3), *sides)
    size = wanted.batch or images_at_once(shape)
    classes = model.config.num_labels if type(model).__name__.endswith("ForImageClassification") else None
    batch = gaussian(size, shape, seed=wanted.seed, classes=classes)
    return Batch(
        inputs={"pixel_values": batch.inputs}, targets=batch.targets
    ), f"{counted(size, 'Gaussian sample')} of {times(shape)}"
