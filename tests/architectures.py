"""Small networks of many kinds, from torch and from transformers' configs, each with a batch: name -> builder.

A builder returns a module with random weights, its inputs (a tensor, a tuple or a dict) and targets or ``None``.
Weights and batches come from fixed seeds; the global generator is left alone.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from leadline._core.randomness import seeded

Case = tuple[nn.Module, Any, Any]
T = TypeVar("T")


def build(name: str) -> Case:
    """The network ``name`` with its batch."""
    return made(ARCHITECTURES[name])


def made(factory: Callable[[], T]) -> T:
    """What ``factory`` returns, with weights from a fixed seed."""
    with seeded(0):
        return factory()


def images(n: int = 4, channels: int = 3, size: int = 16) -> Tensor:
    return torch.randn(n, channels, size, size)


def classes(n: int = 4, count: int = 5) -> Tensor:
    return torch.arange(n) % count


def tokens(n: int = 3, length: int = 8, vocabulary: int = 50) -> Tensor:
    return torch.randint(3, vocabulary, (n, length))


# ---- plain torch ----------------------------------------------------------------------------------------------


def mlp() -> Case:
    net = nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 5))
    return net, torch.randn(8, 12), classes(8)


def mlp_bn() -> Case:
    net: list[nn.Module] = []
    width = 12
    for _ in range(4):
        net += [nn.Linear(width, 16), nn.BatchNorm1d(16), nn.ReLU(inplace=True)]
        width = 16
    return nn.Sequential(*net, nn.Linear(16, 5)), torch.randn(8, 12), classes(8)


class DenseBlock(nn.Module):
    def __init__(self, width: int, skip: float = 0.0):
        super().__init__()
        self.linear, self.norm, self.skip = nn.Linear(width, width), nn.LayerNorm(width), skip

    def forward(self, x: Tensor) -> Tensor:
        y = torch.tanh(self.norm(self.linear(x)))
        return y if self.skip == 0 else self.skip * x + y


def mlp_blocks() -> Case:
    net = nn.Sequential(nn.Linear(12, 16), *(DenseBlock(16) for _ in range(3)), nn.Linear(16, 5))
    return net, torch.randn(8, 12), classes(8)


def mlp_residual() -> Case:
    net = nn.Sequential(nn.Linear(12, 16), *(DenseBlock(16, 0.5) for _ in range(3)), nn.Linear(16, 1))
    return net, torch.randn(8, 12), torch.randn(8, 1)


def mlp_sequentials() -> Case:
    blocks = [nn.Sequential(nn.Linear(16, 16), nn.GELU()) for _ in range(3)]
    return nn.Sequential(nn.Linear(12, 16), *blocks, nn.Linear(16, 5)), torch.randn(8, 12), classes(8)


def vgg_bn() -> Case:
    layers: list[nn.Module] = []
    channels = 3
    for width in (8, "M", 12, 12, "M"):
        if width == "M":
            layers.append(nn.MaxPool2d(2))
        else:
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
            channels = width
    features, classifier = (
        nn.Sequential(*layers),
        nn.Sequential(nn.Linear(12 * 16, 16), nn.ReLU(True), nn.Dropout(), nn.Linear(16, 5)),
    )
    return nn.Sequential(features, nn.Flatten(), classifier), images(), classes()


class BasicBlock(nn.Module):
    """The block of torchvision's ResNet, in-place activation and sum included."""

    def __init__(self, inputs: int, width: int, stride: int = 1):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = None
        if stride != 1 or inputs != width:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, width, 1, stride, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        identity = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += identity
        return self.relu(out)


class ResNet(nn.Module):
    """Named and ordered as torchvision's."""

    def __init__(self, widths: tuple[int, ...] = (4, 8, 8, 12), blocks: int = 2, classes: int = 5):
        super().__init__()
        self.conv1 = nn.Conv2d(3, widths[0], 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        self.relu = nn.ReLU(inplace=True)
        inputs = widths[0]
        for i, width in enumerate(widths, start=1):
            stage = [
                BasicBlock(inputs if j == 0 else width, width, 2 if i > 1 and j == 0 else 1) for j in range(blocks)
            ]
            setattr(self, f"layer{i}", nn.Sequential(*stage))
            inputs = width
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(inputs, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(self.avgpool(x).flatten(1))


def resnet() -> Case:
    return ResNet(), images(), classes()


class PreActivation(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.bn1, self.conv1 = nn.BatchNorm2d(width), nn.Conv2d(width, width, 3, 1, 1)
        self.bn2, self.conv2 = nn.BatchNorm2d(width), nn.Conv2d(width, width, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        out = self.conv1(F.relu(self.bn1(x)))
        return x + self.conv2(F.relu(self.bn2(out)))


def preact_resnet() -> Case:
    net = nn.Sequential(nn.Conv2d(3, 8, 3, 1, 1), *(PreActivation(8) for _ in range(3)), nn.AdaptiveAvgPool2d(1))
    return nn.Sequential(net, nn.Flatten(), nn.Linear(8, 5)), images(), classes()


class DenseLayer(nn.Module):
    def __init__(self, inputs: int, growth: int):
        super().__init__()
        self.norm, self.conv = nn.BatchNorm2d(inputs), nn.Conv2d(inputs, growth, 3, 1, 1)

    def forward(self, features: list[Tensor]) -> Tensor:
        return self.conv(F.relu(self.norm(torch.cat(features, 1)), inplace=True))


class DenseStage(nn.Module):
    def __init__(self, inputs: int, growth: int, layers: int):
        super().__init__()
        for i in range(layers):
            self.add_module(f"denselayer{i + 1}", DenseLayer(inputs + i * growth, growth))

    def forward(self, x: Tensor) -> Tensor:
        features = [x]
        for layer in self.children():
            features.append(layer(features))
        return torch.cat(features, 1)


def densenet() -> Case:
    stages = nn.Sequential()
    stages.add_module("conv0", nn.Conv2d(3, 8, 3, 1, 1))
    stages.add_module("denseblock1", DenseStage(8, 4, 3))
    stages.add_module("transition1", nn.Sequential(nn.BatchNorm2d(20), nn.Conv2d(20, 8, 1), nn.AvgPool2d(2)))
    stages.add_module("denseblock2", DenseStage(8, 4, 3))
    return nn.Sequential(stages, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(20, 5)), images(), classes()


class ConvNormActivation(nn.Sequential):
    def __init__(self, inputs: int, width: int, kernel: int = 3, stride: int = 1, groups: int = 1):
        conv = nn.Conv2d(inputs, width, kernel, stride, kernel // 2, groups=groups, bias=False)
        super().__init__(conv, nn.BatchNorm2d(width), nn.ReLU6(inplace=True))


class InvertedResidual(nn.Module):
    """The block of torchvision's MobileNetV2."""

    def __init__(self, inputs: int, width: int, stride: int):
        super().__init__()
        hidden = 2 * inputs
        self.residual = stride == 1 and inputs == width
        self.conv = nn.Sequential(
            ConvNormActivation(inputs, hidden, 1),
            ConvNormActivation(hidden, hidden, 3, stride, groups=hidden),
            nn.Conv2d(hidden, width, 1, bias=False),
            nn.BatchNorm2d(width),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self.residual else self.conv(x)


def mobilenet() -> Case:
    blocks = [InvertedResidual(8, 8, 1), InvertedResidual(8, 12, 2), InvertedResidual(12, 12, 1)]
    features = nn.Sequential(ConvNormActivation(3, 8), *blocks, ConvNormActivation(12, 16, 1))
    return nn.Sequential(features, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 5)), images(), classes()


class SqueezeExcite(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.reduce, self.expand = nn.Conv2d(width, 4, 1), nn.Conv2d(4, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        gate = self.expand(F.silu(self.reduce(x.mean((2, 3), keepdim=True)), inplace=True))
        return x * torch.sigmoid(gate)


class MBConv(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        hidden = 2 * width
        self.expand = nn.Sequential(nn.Conv2d(width, hidden, 1), nn.BatchNorm2d(hidden), nn.SiLU(inplace=True))
        self.depthwise = nn.Sequential(
            nn.Conv2d(hidden, hidden, 3, 1, 1, groups=hidden), nn.BatchNorm2d(hidden), nn.SiLU(inplace=True)
        )
        self.excite = SqueezeExcite(hidden)
        self.project = nn.Sequential(nn.Conv2d(hidden, width, 1), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.project(self.excite(self.depthwise(self.expand(x))))


def efficientnet() -> Case:
    net = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), *(MBConv(8) for _ in range(3)), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return nn.Sequential(net, nn.Linear(8, 5)), images(), classes()


class DoubleConv(nn.Module):
    def __init__(self, inputs: int, width: int):
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(inputs, width, 3, 1, 1), nn.GroupNorm(2, width), nn.ReLU(inplace=True))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class Down(nn.Module):
    def __init__(self, inputs: int, width: int):
        super().__init__()
        self.net = nn.Sequential(nn.MaxPool2d(2), DoubleConv(inputs, width))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class Up(nn.Module):
    def __init__(self, inputs: int, width: int):
        super().__init__()
        self.up, self.conv = nn.ConvTranspose2d(inputs, width, 2, 2), DoubleConv(2 * width, width)

    def forward(self, x: Tensor, beside: Tensor) -> Tensor:
        return self.conv(torch.cat([self.up(x), beside], 1))


class UNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.inc, self.down1, self.down2 = DoubleConv(3, 4), Down(4, 8), Down(8, 16)
        self.up1, self.up2, self.outc = Up(16, 8), Up(8, 4), nn.Conv2d(4, 5, 1)

    def forward(self, x: Tensor) -> Tensor:
        x1 = self.inc(x)
        x2 = self.down1(x1)
        x3 = self.down2(x2)
        return self.outc(self.up2(self.up1(x3, x2), x1))


def unet() -> Case:
    return UNet(), images(), torch.randint(0, 5, (4, 16, 16))


class Recurrent(nn.Module):
    def __init__(self, cell: type[nn.RNNBase], batch_first: bool):
        super().__init__()
        self.embedding = nn.Embedding(50, 8)
        self.rnn = cell(8, 12, num_layers=2, batch_first=batch_first)
        self.head = nn.Linear(12, 5)
        self.batch_first = batch_first

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embedding(ids)
        out, _ = self.rnn(x if self.batch_first else x.transpose(0, 1))
        return self.head(out[:, -1] if self.batch_first else out[-1])


def lstm() -> Case:
    return Recurrent(nn.LSTM, True), tokens(), classes(3)


def gru() -> Case:
    return Recurrent(nn.GRU, False), tokens(), classes(3)


def transformer_encoder() -> Case:
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True, norm_first=True)
    return nn.TransformerEncoder(layer, 3, enable_nested_tensor=False), torch.randn(3, 8, 16), None


def transformer_post_norm() -> Case:
    layer = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.1, batch_first=False)
    return nn.TransformerEncoder(layer, 2, enable_nested_tensor=False), torch.randn(8, 3, 16), None


def transformer() -> Case:
    net = nn.Transformer(16, 2, 2, 2, 32, batch_first=True)
    return net, (torch.randn(3, 8, 16), torch.randn(3, 6, 16)), None


class Mixer(nn.Module):
    def __init__(self, positions: int, width: int):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.tokens = nn.Sequential(nn.Linear(positions, 8), nn.GELU(), nn.Linear(8, positions))
        self.channels = nn.Sequential(nn.Linear(width, 24), nn.GELU(), nn.Linear(24, width))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.tokens(self.norm1(x).transpose(1, 2)).transpose(1, 2)
        return x + self.channels(self.norm2(x))


class MLPMixer(nn.Module):
    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(3, 12, 4, 4)
        self.blocks = nn.Sequential(*(Mixer(16, 12) for _ in range(2)))
        self.head = nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.blocks(self.patches(x).flatten(2).transpose(1, 2)).mean(1))


def mixer() -> Case:
    return MLPMixer(), images(), classes()


class Attention(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.norm, self.qkv, self.out = nn.LayerNorm(width), nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(self.norm(x)).chunk(3, -1)
        return self.out(F.scaled_dot_product_attention(q, k, v))


class FeedForward(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.net = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 32), nn.GELU(), nn.Linear(32, width))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class ListsOfLists(nn.Module):
    """A transformer without a class for its block."""

    def __init__(self, width: int = 16, depth: int = 3):
        super().__init__()
        self.layers = nn.ModuleList(nn.ModuleList([Attention(width), FeedForward(width)]) for _ in range(depth))
        self.head = nn.Linear(width, 5)

    def forward(self, x: Tensor) -> Tensor:
        for attention, feed_forward in self.layers:
            x = attention(x) + x
            x = feed_forward(x) + x
        return self.head(x.mean(1))


def lists_of_lists() -> Case:
    return ListsOfLists(), torch.randn(3, 8, 16), classes(3)


class Shared(nn.Module):
    """One block used three times, and a head tied to nothing."""

    def __init__(self):
        super().__init__()
        self.stem, self.block, self.head = nn.Linear(12, 16), DenseBlock(16, 1.0), nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for _ in range(3):
            x = self.block(x)
        return self.head(x)


def shared() -> Case:
    return Shared(), torch.randn(8, 12), classes(8)


class TupleOutputs(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.a, self.b = nn.Linear(6, 8), nn.Linear(8, 3), nn.Linear(8, 2)

    def forward(self, x: Tensor, *, scale: Tensor) -> dict[str, Any]:
        h = torch.sigmoid(self.body(x)) * scale
        return {"ids": torch.arange(3), "pair": (self.a(h), self.b(h)), "none": None}


def tuple_outputs() -> Case:
    return TupleOutputs(), {"x": torch.randn(4, 6), "scale": torch.ones(4, 1)}, None


def conv1d() -> Case:
    net = nn.Sequential(
        nn.Conv1d(3, 8, 3, padding=1), nn.BatchNorm1d(8), nn.LeakyReLU(inplace=True), nn.Conv1d(8, 8, 3, dilation=2),
        nn.ELU(inplace=True), nn.AdaptiveMaxPool1d(1), nn.Flatten(), nn.Linear(8, 5),
    )  # fmt: skip
    return net, torch.randn(4, 3, 16), classes()


def autoencoder() -> Case:
    encoder = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.Hardswish(), nn.Conv2d(4, 8, 3, 2, 1), nn.Softplus())
    decoder = nn.Sequential(nn.ConvTranspose2d(8, 4, 2, 2), nn.Mish(), nn.ConvTranspose2d(4, 3, 2, 2), nn.Tanh())
    x = images()
    return nn.Sequential(encoder, decoder), x, x.clone()


# ---- transformers ---------------------------------------------------------------------------------------------

_SMALL = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
}
_TEXT = {**_SMALL, "vocab_size": 50, "max_position_embeddings": 32}


def _text(config: str, model: str, *, labels: bool = False, **options: Any) -> Case:
    import transformers

    net = getattr(transformers, model)(getattr(transformers, config)(**options)).train()
    ids = tokens()
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    return net, {**inputs, "labels": ids} if labels else inputs, None


def _vision(config: str, model: str, **options: Any) -> Case:
    import transformers

    net = getattr(transformers, model)(getattr(transformers, config)(num_labels=5, **options)).train()
    return net, {"pixel_values": images(size=32)}, classes()


def gpt2() -> Case:
    return _text(
        "GPT2Config", "GPT2LMHeadModel", labels=True, vocab_size=50, n_positions=32, n_embd=16, n_layer=2, n_head=2
    )


def llama() -> Case:
    return _text(
        "LlamaConfig", "LlamaForCausalLM", labels=True, num_key_value_heads=1, tie_word_embeddings=True, **_TEXT
    )


def gemma() -> Case:
    return _text("GemmaConfig", "GemmaForCausalLM", labels=True, num_key_value_heads=1, head_dim=8, **_TEXT)


def mixtral() -> Case:
    return _text("MixtralConfig", "MixtralForCausalLM", num_key_value_heads=1, num_local_experts=4, **_TEXT)


def bert() -> Case:
    net, inputs, _ = _text("BertConfig", "BertForSequenceClassification", **_TEXT)
    inputs["attention_mask"][1, 5:] = 0
    return net, inputs, classes(3, 2)


def roberta() -> Case:
    return _text("RobertaConfig", "RobertaForMaskedLM", labels=True, **{**_TEXT, "max_position_embeddings": 40})


def distilbert() -> Case:
    return _text("DistilBertConfig", "DistilBertModel", vocab_size=50, dim=16, n_layers=2, n_heads=2, hidden_dim=32)


def albert() -> Case:
    return _text("AlbertConfig", "AlbertModel", embedding_size=8, **_TEXT)


def opt() -> Case:
    options = {"word_embed_proj_dim": 16, "ffn_dim": 32, **_TEXT}
    return _text("OPTConfig", "OPTForCausalLM", **options)


def neox() -> Case:
    return _text("GPTNeoXConfig", "GPTNeoXForCausalLM", **_TEXT)


def mamba() -> Case:
    return _text("MambaConfig", "MambaForCausalLM", vocab_size=50, hidden_size=16, num_hidden_layers=2, state_size=4)


def t5() -> Case:
    import transformers

    config = transformers.T5Config(
        vocab_size=50, d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2, decoder_start_token_id=0
    )
    return (
        transformers.T5ForConditionalGeneration(config).train(),
        {"input_ids": tokens(), "labels": tokens(length=6)},
        None,
    )


def vit() -> Case:
    return _vision("ViTConfig", "ViTForImageClassification", image_size=32, patch_size=8, **_SMALL)


def deit() -> Case:
    return _vision("DeiTConfig", "DeiTForImageClassification", image_size=32, patch_size=8, **_SMALL)


def swin() -> Case:
    options = {
        "image_size": 32,
        "patch_size": 2,
        "embed_dim": 8,
        "depths": [2, 2],
        "num_heads": [2, 2],
        "window_size": 4,
    }
    return _vision("SwinConfig", "SwinForImageClassification", **options)


def convnext() -> Case:
    return _vision(
        "ConvNextConfig", "ConvNextForImageClassification", hidden_sizes=[8, 12], depths=[2, 2], num_stages=2
    )


def hf_resnet() -> Case:
    options = {"embedding_size": 8, "hidden_sizes": [8, 12], "depths": [2, 2], "layer_type": "basic"}
    return _vision("ResNetConfig", "ResNetForImageClassification", **options)


def hf_resnet_bottleneck() -> Case:
    options = {"embedding_size": 8, "hidden_sizes": [16, 32], "depths": [2, 2]}
    return _vision("ResNetConfig", "ResNetForImageClassification", **options)


ARCHITECTURES: dict[str, Callable[[], Case]] = {
    builder.__name__: builder
    for builder in (
        mlp, mlp_bn, mlp_blocks, mlp_residual, mlp_sequentials, vgg_bn, resnet, preact_resnet, densenet, mobilenet,
        efficientnet, unet, lstm, gru, transformer_encoder, transformer_post_norm, transformer, mixer, lists_of_lists,
        shared, tuple_outputs, conv1d, autoencoder,
        gpt2, llama, gemma, mixtral, bert, roberta, distilbert, albert, opt, neox, mamba, t5, vit, deit, swin, convnext,
        hf_resnet, hf_resnet_bottleneck,
    )
}  # fmt: skip
