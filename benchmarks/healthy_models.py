"""Networks of many kinds at their usual start, each with a batch: none has anything wrong with it."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from leadline._core.randomness import seeded
from leadline.targets import load

# A network, its inputs and its targets.
Case = tuple[nn.Module, Any, Any]
CLASSES = 10


def healthy(name: str, seed: int) -> Case:
    """The network ``name`` with weights and batch of ``seed``."""
    make = HEALTHY[name]
    if isinstance(make, str):
        size = {"batch": 16, "input_shape": (16,)} if name in _TEXT else {"batch": 32}
        target = load(make, seed=seed, **({} if name in _IMAGES else size))
        return target.model, target.inputs, target.targets
    with seeded(seed):
        return make()


def vectors(n: int = 64, features: int = 64) -> tuple[Tensor, Tensor]:
    return torch.randn(n, features), torch.randint(CLASSES, (n,))


def images(n: int = 32, size: int = 16, channels: int = 3) -> tuple[Tensor, Tensor]:
    return torch.randn(n, channels, size, size), torch.randint(CLASSES, (n,))


def words(n: int = 32, length: int = 12) -> tuple[Tensor, Tensor]:
    return torch.randint(64, (n, length)), torch.randint(CLASSES, (n,))


def norm_act(channels: int, activation: type[nn.Module] = nn.ReLU) -> list[nn.Module]:
    return [nn.BatchNorm2d(channels), activation()]


def conv(inputs: int, outputs: int, kernel: int = 3, **options: Any) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, **options)


class Residual(nn.Module):
    """x plus its branch, times a gain for every channel where it has one (LayerScale)."""

    def __init__(self, *branch: nn.Module, scale: Tensor | None = None, shortcut: nn.Module | None = None):
        super().__init__()
        self.branch, self.shortcut = nn.Sequential(*branch), shortcut or nn.Identity()
        self.scale = None if scale is None else nn.Parameter(scale)

    def forward(self, x: Tensor) -> Tensor:
        y = self.branch(x)
        return self.shortcut(x) + (y if self.scale is None else self.scale * y)


class Apply(nn.Module):
    """A function as a module."""

    def __init__(self, function: Callable[[Tensor], Tensor]):
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def mean_head(channels: int) -> list[nn.Module]:
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, CLASSES)]


# ---- vectors ------------------------------------------------------------------------------------------------------


def stack(depth: int, activation: type[nn.Module]) -> Case:
    """Linear and activation by turns, with torch's own weights."""
    parts = [part for _ in range(depth) for part in (nn.Linear(64, 64), activation())]
    return nn.Sequential(*parts, nn.Linear(64, CLASSES)), *vectors()


def residual_vectors(*, zero: bool = False, norm: Callable[[int], nn.Module] = nn.LayerNorm) -> Case:
    blocks = []
    for _ in range(12):
        last = nn.Linear(128, 64)
        if zero:
            nn.init.zeros_(last.weight)
        blocks.append(Residual(norm(64), nn.Linear(64, 128), nn.GELU(), last))
    return nn.Sequential(*blocks, nn.LayerNorm(64), nn.Linear(64, CLASSES)), *vectors()


def dropout() -> Case:
    parts = [part for _ in range(4) for part in (nn.Linear(64, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Dropout(0.3))]
    return nn.Sequential(*parts, nn.Linear(64, CLASSES)), *vectors()


def zero_head() -> Case:
    model, x, y = stack(3, nn.ReLU)
    for parameter in model[-1].parameters():  # pyright: ignore[reportIndexIssue]
        nn.init.zeros_(parameter)
    return model, x, y


def frozen() -> Case:
    model, x, y = stack(4, nn.ReLU)
    for part in list(model.children())[:4]:
        part.requires_grad_(False)
    return model, x, y


class Highway(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.linear, self.gate = nn.Linear(width, width), nn.Linear(width, width)
        nn.init.constant_(self.gate.bias, -1.0)

    def forward(self, x: Tensor) -> Tensor:
        gate = torch.sigmoid(self.gate(x))
        return gate * torch.relu(self.linear(x)) + (1 - gate) * x


def highway() -> Case:
    return nn.Sequential(*(Highway(64) for _ in range(10)), nn.Linear(64, CLASSES)), *vectors()


class Siamese(nn.Module):
    """Two inputs through the same encoder, told apart by the difference."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU())
        self.head = nn.Linear(32, 2)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return self.head((self.encoder(a) - self.encoder(b)).abs())


def siamese() -> Case:
    return Siamese(), (vectors()[0], vectors()[0]), torch.randint(2, (64,))


class TwoTowers(nn.Module):
    """An image and a vector in, classes and a regression out."""

    def __init__(self):
        super().__init__()
        self.eye = nn.Sequential(conv(3, 16, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(16 * 64, 32), nn.ReLU())
        self.body = nn.Sequential(nn.Linear(64, 32), nn.ReLU())
        self.join = nn.Sequential(nn.Linear(64, 64), nn.ReLU())
        self.classes, self.value = nn.Linear(64, CLASSES), nn.Linear(64, 1)

    def forward(self, image: Tensor, vector: Tensor) -> tuple[Tensor, Tensor]:
        y = self.join(torch.cat([self.eye(image), self.body(vector)], 1))
        return self.classes(y), self.value(y)


def two_towers() -> Case:
    return TwoTowers(), (images()[0], vectors(32)[0]), None


class Variational(nn.Module):
    """An autoencoder whose code is drawn."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(64, 48), nn.SiLU(), nn.Linear(48, 32), nn.SiLU())
        self.mean, self.log_variance = nn.Linear(32, 8), nn.Linear(32, 8)
        self.decoder = nn.Sequential(nn.Linear(8, 48), nn.SiLU(), nn.Linear(48, 64))

    def forward(self, x: Tensor) -> Tensor:
        y = self.encoder(x)
        mean = self.mean(y)
        return self.decoder(mean + torch.randn_like(mean) * (0.5 * self.log_variance(y)).exp())


def variational() -> Case:
    x, _ = vectors()
    return Variational(), x, x


class Experts(nn.Module):
    """A weighted sum of four feed-forward experts, around which there is a skip."""

    def __init__(self, width: int = 64):
        super().__init__()
        self.norm, self.gate = nn.LayerNorm(width), nn.Linear(width, 4)
        self.experts = nn.ModuleList(
            nn.Sequential(nn.Linear(width, 64), nn.GELU(), nn.Linear(64, width)) for _ in range(4)
        )

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(x)
        weights = self.gate(y).softmax(-1)
        return x + sum(weights[..., i : i + 1] * expert(y) for i, expert in enumerate(self.experts))


def experts() -> Case:
    return nn.Sequential(*(Experts() for _ in range(4)), nn.Linear(64, CLASSES)), *vectors()


class Conditioned(nn.Module):
    """Shift, scale and gate from a condition, all starting at zero (adaLN-zero)."""

    def __init__(self, width: int = 64):
        super().__init__()
        self.norm, self.modulation = nn.LayerNorm(width, elementwise_affine=False), nn.Linear(width, 3 * width)
        self.branch = nn.Sequential(nn.Linear(width, 128), nn.GELU(), nn.Linear(128, width))
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        shift, scale, gate = self.modulation(condition).chunk(3, -1)
        return x + gate * self.branch(self.norm(x) * (1 + scale) + shift)


class Diffusion(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.condition = nn.Linear(64, 64), nn.Linear(64, 64)
        self.blocks, self.head = nn.ModuleList(Conditioned() for _ in range(6)), nn.Linear(64, 64)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        x, condition = self.embed(x), F.silu(self.condition(condition))
        for block in self.blocks:
            x = block(x, condition)
        return self.head(x)


def diffusion() -> Case:
    return Diffusion(), (vectors()[0], vectors()[0]), vectors()[0]


# ---- images -------------------------------------------------------------------------------------------------------


def vgg(*, norm: bool = True) -> Case:
    parts: list[nn.Module] = []
    channels = 3
    for width in (16, 16, 0, 32, 32, 0, 64, 64):
        if not width:
            parts.append(nn.MaxPool2d(2))
            continue
        parts += [conv(channels, width), *(norm_act(width) if norm else [nn.ReLU()])]
        nn.init.kaiming_normal_(parts[-3 if norm else -2].weight, nonlinearity="relu")  # pyright: ignore[reportArgumentType]
        channels = width
    return nn.Sequential(*parts, *mean_head(64)), *images()


def resnet(*, zero: bool = False, bottleneck: bool = False, before: bool = False, train: bool = True) -> Case:
    """Basic or bottleneck blocks, norms behind the maps or before them, last gammas at zero or not."""
    parts: list[nn.Module] = [conv(3, 16), *norm_act(16)]
    inputs = 16
    for width, stride in ((16, 1), (16, 1), (32, 2), (32, 1), (64, 2), (64, 1)):
        shortcut = None if stride == 1 else nn.Sequential(conv(inputs, width, 1, stride=stride), nn.BatchNorm2d(width))
        inner = width // 4 if bottleneck else width
        maps = [conv(inputs, inner, 1 if bottleneck else 3), conv(inner, inner, stride=stride), conv(inner, width, 1)]
        maps = (
            maps
            if bottleneck
            else [maps[1] if inputs == inner else conv(inputs, inner, stride=stride), conv(inner, width)]
        )
        branch: list[nn.Module] = []
        for each in maps:
            branch += [*norm_act(each.in_channels), each] if before else [each, *norm_act(each.out_channels)]
        branch = branch if before else branch[:-1]
        if zero:
            nn.init.zeros_(branch[-1].weight)  # pyright: ignore[reportArgumentType]
        parts += [Residual(*branch, shortcut=shortcut), *([] if before else [nn.ReLU()])]
        inputs = width
    return nn.Sequential(*parts, *mean_head(64)).train(train), *images()


class Concatenated(nn.Module):
    """What it gets, and what its map makes of that."""

    def __init__(self, inputs: int, growth: int):
        super().__init__()
        self.branch = nn.Sequential(*norm_act(inputs), conv(inputs, growth))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.branch(x)], 1)


def densenet() -> Case:
    first = [Concatenated(16 + 8 * i, 8) for i in range(4)]
    second = [Concatenated(24 + 8 * i, 8) for i in range(4)]
    between = [*norm_act(48), conv(48, 24, 1), nn.AvgPool2d(2)]
    return nn.Sequential(conv(3, 16), *first, *between, *second, *norm_act(56), *mean_head(56)), *images()


def mobilenet() -> Case:
    """Inverted bottlenecks with depthwise convolutions."""

    def block(width: int) -> nn.Module:
        deep = conv(2 * width, 2 * width, groups=2 * width)
        return Residual(
            conv(width, 2 * width, 1), *norm_act(2 * width, nn.ReLU6), deep, *norm_act(2 * width, nn.ReLU6),
            conv(2 * width, width, 1), nn.BatchNorm2d(width),
        )  # fmt: skip

    return nn.Sequential(conv(3, 16), *norm_act(16), *(block(16) for _ in range(5)), *mean_head(16)), *images()


class SqueezeExcite(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.reduce, self.expand = nn.Conv2d(width, 8, 1), nn.Conv2d(8, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.expand(F.silu(self.reduce(x.mean((2, 3), keepdim=True)))))


def excited() -> Case:
    def block() -> nn.Module:
        return Residual(conv(16, 16), *norm_act(16, nn.SiLU), SqueezeExcite(16), conv(16, 16), nn.BatchNorm2d(16))

    return nn.Sequential(conv(3, 16), *(block() for _ in range(4)), *mean_head(16)), *images()


class ChannelsLast(nn.Module):
    """Layer norm over the channels of a map."""

    def __init__(self, channels: int):
        super().__init__()
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x.movedim(1, -1)).movedim(-1, 1)


def convnext(scale: float = 1e-6) -> Case:
    """Depthwise 7×7, layer norm, feed-forward of one position, LayerScale."""

    def block(width: int) -> nn.Module:
        return Residual(
            conv(width, width, 7, groups=width), ChannelsLast(width),
            conv(width, 4 * width, 1), nn.GELU(), conv(4 * width, width, 1), scale=torch.full((width, 1, 1), scale),
        )  # fmt: skip

    stem = [nn.Conv2d(3, 24, 2, 2), ChannelsLast(24)]
    return nn.Sequential(*stem, *(block(24) for _ in range(6)), *mean_head(24)), *images()


class UNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.down = nn.ModuleList([_double(3, 8), _double(8, 16), _double(16, 32)])
        self.up = nn.ModuleList([_double(48, 16), _double(24, 8)])
        self.out = nn.Conv2d(8, 5, 1)

    def forward(self, x: Tensor) -> Tensor:
        kept = []
        for part in self.down:
            kept.append(part(F.max_pool2d(kept[-1], 2) if kept else x))
        x = kept.pop()
        for part in self.up:
            x = part(torch.cat([F.interpolate(x, scale_factor=2), kept.pop()], 1))
        return self.out(x)


def _double(inputs: int, outputs: int) -> nn.Module:
    return nn.Sequential(conv(inputs, outputs), *norm_act(outputs), conv(outputs, outputs), *norm_act(outputs))


def unet() -> Case:
    return UNet(), images()[0], torch.randint(5, (32, 16, 16))


def autoencoder() -> Case:
    x, _ = images()
    down = [conv(3, 16, stride=2), nn.ReLU(), conv(16, 32, stride=2), nn.ReLU()]
    up = [nn.ConvTranspose2d(32, 16, 2, 2), nn.ReLU(), nn.ConvTranspose2d(16, 3, 2, 2)]
    return nn.Sequential(*down, *up), x, x


class Inception(nn.Module):
    """Kernels of three sizes side by side."""

    def __init__(self, inputs: int):
        super().__init__()
        self.paths = nn.ModuleList(nn.Sequential(conv(inputs, 8, k), *norm_act(8)) for k in (1, 3, 5))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([path(x) for path in self.paths], 1)


def inception() -> Case:
    return nn.Sequential(Inception(3), *(Inception(24) for _ in range(4)), *mean_head(24)), *images()


def lenet() -> Case:
    maps = [conv(1, 6, 5), nn.Tanh(), nn.AvgPool2d(2), conv(6, 16, 5), nn.Tanh(), nn.AvgPool2d(2), nn.Flatten()]
    return nn.Sequential(*maps, nn.Linear(256, 84), nn.Tanh(), nn.Linear(84, CLASSES)), *images(channels=1)


def group_norm() -> Case:
    parts = [part for _ in range(5) for part in (conv(16, 16), nn.GroupNorm(4, 16), nn.SiLU())]
    return nn.Sequential(conv(3, 16), *parts, *mean_head(16)), *images()


# ---- sequences ----------------------------------------------------------------------------------------------------


class Recurrent(nn.Module):
    """An embedding, a recurrent layer, and a head at the last position."""

    def __init__(self, cell: type[nn.RNNBase], **options: Any):
        super().__init__()
        self.embedding, self.rnn = nn.Embedding(64, 32), cell(32, 32, batch_first=True, **options)
        self.head = nn.Linear(64 if options.get("bidirectional") else 32, CLASSES)

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.rnn(self.embedding(ids))[0][:, -1])


def recurrent(cell: type[nn.RNNBase], **options: Any) -> Case:
    return Recurrent(cell, **options), *words()


class Unrolled(nn.Module):
    """A cell of its own, run over time."""

    def __init__(self):
        super().__init__()
        self.embedding, self.cell, self.head = nn.Embedding(64, 32), nn.GRUCell(32, 32), nn.Linear(32, CLASSES)

    def forward(self, ids: Tensor) -> Tensor:
        state = torch.zeros(len(ids), 32)
        for x in self.embedding(ids).unbind(1):
            state = self.cell(x, state)
        return self.head(state)


def unrolled() -> Case:
    return Unrolled(), *words()


class Translator(nn.Module):
    """An encoder and a decoder of torch's own, with one embedding for both and for the head."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(64, 32)
        nn.init.normal_(self.embedding.weight, std=32**-0.5)
        self.positions = nn.Parameter(0.2 * torch.randn(12, 32))
        self.body = nn.Transformer(32, 4, 2, 2, 64, dropout=0.0, batch_first=True, norm_first=True)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        mask = nn.Transformer.generate_square_subsequent_mask(target.shape[1])
        y = self.body(self._read(source), self._read(target), tgt_mask=mask, tgt_is_causal=True)
        return F.linear(y, self.embedding.weight)

    def _read(self, ids: Tensor) -> Tensor:
        return self.embedding(ids) * 32**0.5 + self.positions


def translator() -> Case:
    return Translator(), (words()[0], words()[0]), words()[0]


def encoder(*, norm_first: bool = True, depth: int = 6) -> Case:
    layer = nn.TransformerEncoderLayer(32, 4, 64, dropout=0.0, batch_first=True, norm_first=norm_first)
    body = nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)
    head = nn.Sequential(Apply(lambda x: x.mean(1)), nn.Linear(32, CLASSES))
    return nn.Sequential(body, head), torch.randn(32, 12, 32), vectors(32)[1]


class Mixed(nn.Module):
    """Maps over positions and over channels by turns, as in the MLP-Mixer."""

    def __init__(self, positions: int, width: int):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.positions = nn.Sequential(nn.Linear(positions, 32), nn.GELU(), nn.Linear(32, positions))
        self.channels = nn.Sequential(nn.Linear(width, 64), nn.GELU(), nn.Linear(64, width))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.positions(self.norm1(x).transpose(1, 2)).transpose(1, 2)
        return x + self.channels(self.norm2(x))


def patches(*blocks: nn.Module) -> Case:
    stem = [nn.Conv2d(3, 32, 4, 4), Apply(lambda x: x.flatten(2).transpose(1, 2))]
    head = [nn.LayerNorm(32), Apply(lambda x: x.mean(1)), nn.Linear(32, CLASSES)]
    return nn.Sequential(*stem, *blocks, *head), *images()


class Convolved(nn.Module):
    """A causal dilated convolution over time with a gate and a skip."""

    def __init__(self, width: int, dilation: int):
        super().__init__()
        self.conv, self.dilation = nn.Conv1d(width, 2 * width, 2, dilation=dilation), dilation
        self.out = nn.Conv1d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        y, gate = self.conv(F.pad(x, (self.dilation, 0))).chunk(2, 1)
        return x + self.out(torch.tanh(y) * torch.sigmoid(gate))


def wavenet() -> Case:
    blocks = [Convolved(16, 2**i) for i in range(5)]
    return nn.Sequential(nn.Conv1d(1, 16, 1), *blocks, nn.ReLU(), nn.Conv1d(16, 1, 1)), *(torch.randn(2, 16, 1, 64))


# ---- all of them --------------------------------------------------------------------------------------------------

_HF = "num_hidden_layers=3,hidden_size=32,num_attention_heads=4,vocab_size=64"
_TEXT = {
    "GPT": "gpt:depth=6,width=32",
    "GPT of 12": "gpt:depth=12,width=64",
    "GPT-2": "hf:gpt2,n_layer=4,n_embd=32,n_head=4,vocab_size=64,n_positions=32",
    "Llama": f"hf:llama,{_HF},intermediate_size=64,num_key_value_heads=2",
    "Mistral": f"hf:mistral,{_HF},intermediate_size=64,num_key_value_heads=2",
    "Qwen 2": f"hf:qwen2,{_HF},intermediate_size=64,num_key_value_heads=2",
    "Gemma": f"hf:gemma,{_HF},intermediate_size=64,num_key_value_heads=2,head_dim=8",
    "Mixtral": f"hf:mixtral,{_HF},intermediate_size=64,num_key_value_heads=2,num_local_experts=4",
    "OLMo 2": f"hf:olmo2,{_HF},intermediate_size=64,num_key_value_heads=4",
    "Phi": f"hf:phi,{_HF},intermediate_size=64",
    "GPT-NeoX": f"hf:gpt_neox,{_HF},intermediate_size=64",
    "OPT": f"hf:opt,{_HF},ffn_dim=64,word_embed_proj_dim=32",
    "BLOOM": "hf:bloom,n_layer=3,hidden_size=32,n_head=4,vocab_size=64",
    "Mamba": "hf:mamba,num_hidden_layers=3,hidden_size=32,state_size=4,vocab_size=64",
    "BERT": f"hf:bert,{_HF},intermediate_size=64",
    "RoBERTa": f"hf:roberta,{_HF},intermediate_size=64",
    "DistilBERT": "hf:distilbert,n_layers=3,dim=32,n_heads=4,hidden_dim=64,vocab_size=64",
    "ELECTRA": f"hf:electra,{_HF},intermediate_size=64,embedding_size=32",
    "DeBERTa 2": f"hf:deberta-v2,{_HF},intermediate_size=64",
    "FNet": "hf:fnet,num_hidden_layers=3,hidden_size=32,intermediate_size=64,vocab_size=64",
    "T5": "hf:t5,num_layers=3,d_model=32,d_kv=8,d_ff=64,num_heads=4,vocab_size=64",
    "BART": "hf:bart,d_model=32,encoder_layers=2,decoder_layers=2,encoder_attention_heads=4,"
    "decoder_attention_heads=4,encoder_ffn_dim=64,decoder_ffn_dim=64,vocab_size=64",
}
_VISION = "image_size=32,num_hidden_layers=3,hidden_size=32,num_attention_heads=4,intermediate_size=64"
_IMAGES = {
    "DeiT": f"hf:deit,{_VISION},patch_size=8",
    "BEiT": f"hf:beit,{_VISION},patch_size=8",
    "DINOv2": "hf:dinov2,image_size=28,num_hidden_layers=3,hidden_size=32,num_attention_heads=4,patch_size=7",
    "MobileNet 2": "hf:mobilenet_v2,image_size=64,depth_multiplier=0.25",
}
_BUILT_IN = {
    "He ReLU perceptron of 10": "mlp:depth=10,init=he",
    "He ReLU perceptron of 30": "mlp:depth=30,width=256,init=he",
    "orthogonal ReLU perceptron of 15": "mlp:depth=15,init=orthogonal,gain=1.414",
    "Xavier tanh perceptron of 8": "mlp:depth=8,activation=tanh,init=xavier",
    "orthogonal tanh perceptron of 30": "mlp:depth=30,activation=tanh,init=orthogonal",
    "GELU perceptron of 6": "mlp:depth=6,activation=gelu,init=he",
    "SELU perceptron of 20": "mlp:depth=20,activation=selu,init=gaussian",
    "leaky perceptron of 20": "mlp:depth=20,activation=leaky_relu,init=he",
    "batch norm perceptron of 10": "mlp:depth=10,norm=batch",
    "batch norm perceptron of 20": "mlp:depth=20,norm=batch,init=he",
    "batch norm tanh perceptron of 8": "mlp:depth=8,norm=batch,activation=tanh",
    "fractional norm perceptron of 40": "mlp:depth=40,norm=fractional",
    "layer norm perceptron of 12": "mlp:depth=12,norm=layer,init=he",
    "RMS norm GELU perceptron of 12": "mlp:depth=12,norm=rms,activation=gelu,init=he",
    "residual layer norm perceptron of 40": "mlp:depth=40,norm=layer,skip=1,width=64",
    "orthogonal linear perceptron of 100": "mlp:depth=100,activation=identity,init=orthogonal,width=64",
    "CIFAR ResNet-20": "resnet20:width=8",
    "CIFAR ResNet-56": "resnet56:width=8",
    "CIFAR ResNet-20 with layer norm": "resnet20:width=8,norm=layer",
    "VGG-19": "vgg19",
    "ViT": "vit:depth=6,width=32",
    "ViT of 12": "vit:depth=12,width=64",
}
HEALTHY: dict[str, str | Callable[[], Case]] = {
    **_BUILT_IN,
    **_TEXT,
    **_IMAGES,
    "torch's ReLU perceptron of 3": lambda: stack(3, nn.ReLU),
    "torch's ELU perceptron of 3": lambda: stack(3, nn.ELU),
    "torch's sigmoid perceptron of 1": lambda: stack(1, nn.Sigmoid),
    "residual perceptron": residual_vectors,
    "residual perceptron, last maps zero": lambda: residual_vectors(zero=True),
    "residual perceptron, RMS norm": lambda: residual_vectors(norm=nn.RMSNorm),
    "dropout": dropout,
    "head at zero": zero_head,
    "half frozen": frozen,
    "highway": highway,
    "siamese": siamese,
    "two inputs, two outputs": two_towers,
    "variational autoencoder": variational,
    "mixture of experts": experts,
    "adaLN-zero": diffusion,
    "VGG with batch norm": vgg,
    "VGG without norm": lambda: vgg(norm=False),
    "ResNet": resnet,
    "ResNet, last gammas zero": lambda: resnet(zero=True),
    "ResNet, bottlenecks": lambda: resnet(bottleneck=True),
    "ResNet, norms first": lambda: resnet(before=True),
    "ResNet in eval mode": lambda: resnet(train=False),
    "DenseNet": densenet,
    "MobileNet": mobilenet,
    "squeeze and excite": excited,
    "ConvNeXt": convnext,
    "ConvNeXt, LayerScale 0.1": lambda: convnext(0.1),
    "U-Net": unet,
    "autoencoder": autoencoder,
    "Inception": inception,
    "LeNet": lenet,
    "group norm": group_norm,
    "RNN": lambda: recurrent(nn.RNN),
    "LSTM": lambda: recurrent(nn.LSTM, num_layers=2),
    "GRU both ways": lambda: recurrent(nn.GRU, bidirectional=True),
    "GRU cell over time": unrolled,
    "encoder and decoder, tied": translator,
    "encoder, norms first": encoder,
    "encoder, norms last": lambda: encoder(norm_first=False, depth=3),
    "MLP-Mixer": lambda: patches(*(Mixed(16, 32) for _ in range(4))),
    "WaveNet": wavenet,
}
