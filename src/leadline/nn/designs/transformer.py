"""A small ViT and a small GPT out of the configs of `transformers`, with random weights."""

from types import ModuleType

from torch import nn

from leadline._core.extras import require
from leadline._core.randomness import seeded
from leadline.nn.designs.checks import check_at_least, check_divides, check_share


def vit(
    in_channels: int,
    size: int,
    classes: int,
    *,
    depth: int = 6,
    width: int = 128,
    heads: int = 4,
    patch: int = 2,
    dropout: float = 0.0,
    seed: int = 0,
) -> nn.Module:
    """A pre-norm vision transformer, ``transformers.ViTForImageClassification``, with feed-forward width 4 × ``width``.

    Args:
        in_channels: Channels of the image.
        size: Side of the square image.
        classes: Outputs of the head.
        depth: Number of transformer blocks.
        width: Features of the stream.
        heads: Attention heads; divides ``width``.
        patch: Side of a patch; divides ``size``.
        dropout: Share dropped in the stream and of the attention, in [0, 1).
        seed: Seed of the weights; torch's global generator is left as it was.

    Returns:
        The network in train mode, float32; it takes ``pixel_values`` ``(n, in_channels, size, size)``.

    Raises:
        UsageError: If a size is below 1 or does not divide.
        MissingExtraError: If `transformers` is not installed or cannot be imported.

    Source:
        Dosovitskiy et al. 2021 (arXiv:2010.11929).

    Example:
        >>> net = vit(1, 8, 10, depth=2, width=16)
        >>> net.config.num_hidden_layers
        2
    """
    check_at_least(1, in_channels=in_channels, classes=classes, depth=depth)
    check_divides("heads", heads, "width", width)
    check_divides("patch", patch, "size", size)
    check_share(dropout=dropout)
    library = _modeling("vit")
    config = library.ViTConfig(
        num_channels=in_channels,
        image_size=size,
        patch_size=patch,
        num_labels=classes,
        num_hidden_layers=depth,
        hidden_size=width,
        intermediate_size=4 * width,
        num_attention_heads=heads,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
    )
    with seeded(seed):
        return library.ViTForImageClassification(config)


def gpt(
    vocabulary: int,
    context: int,
    *,
    depth: int = 6,
    width: int = 256,
    heads: int = 4,
    dropout: float = 0.0,
    seed: int = 0,
) -> nn.Module:
    """A pre-norm decoder of tokens, ``transformers.GPT2LMHeadModel``, with tied embedding and head.

    Args:
        vocabulary: Number of tokens.
        context: Longest sequence.
        depth: Number of transformer blocks.
        width: Features of the stream.
        heads: Attention heads; divides ``width``.
        dropout: Share dropped in the stream and of the attention, in [0, 1).
        seed: Seed of the weights; torch's global generator is left as it was.

    Returns:
        The network in train mode, float32; it takes ``input_ids`` ``(n, positions)``.

    Raises:
        UsageError: If a size is below 1 or does not divide.
        MissingExtraError: If `transformers` is not installed or cannot be imported.

    Source:
        Radford et al. 2019, "Language models are unsupervised multitask learners", GPT-2.

    Example:
        >>> net = gpt(100, 16, depth=2, width=16)
        >>> net.config.n_layer
        2
    """
    check_at_least(1, vocabulary=vocabulary, context=context, depth=depth)
    check_divides("heads", heads, "width", width)
    check_share(dropout=dropout)
    library = _modeling("gpt2")
    config = library.GPT2Config(
        vocab_size=vocabulary,
        n_positions=context,
        n_layer=depth,
        n_embd=width,
        n_head=heads,
        resid_pdrop=dropout,
        embd_pdrop=dropout,
        attn_pdrop=dropout,
        bos_token_id=0,
        eos_token_id=0,
    )
    with seeded(seed):
        return library.GPT2LMHeadModel(config)


def _modeling(family: str) -> ModuleType:
    """The library's module for a family of models, its config included; what keeps it from loading is told."""
    require("transformers", extra="hf")
    return require(f"transformers.models.{family}.modeling_{family}", extra="hf")
