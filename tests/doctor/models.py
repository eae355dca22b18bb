"""Networks to plant faults in, and networks that are well, each as (model, inputs, targets)."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from leadline._core.randomness import seeded
from leadline.nn.designs import gpt, mlp, resnet, vit

Case = tuple[nn.Module, Any, Any]
CLASSES = 10


def vectors(batch: int = 64, features: int = 64, *, seed: int = 1) -> tuple[Tensor, Tensor]:
    drawn = torch.Generator().manual_seed(seed)
    return torch.randn(batch, features, generator=drawn), torch.randint(CLASSES, (batch,), generator=drawn)


def images(batch: int = 32, size: int = 8, channels: int = 3, *, seed: int = 1) -> tuple[Tensor, Tensor]:
    drawn = torch.Generator().manual_seed(seed)
    shape = (batch, channels, size, size)
    return torch.randn(shape, generator=drawn), torch.randint(CLASSES, (batch,), generator=drawn)


def tokens(batch: int = 8, length: int = 16, vocabulary: int = 64, *, seed: int = 1) -> dict[str, Tensor]:
    drawn = torch.Generator().manual_seed(seed)
    ids = torch.randint(vocabulary, (batch, length), generator=drawn)
    return {"input_ids": ids, "labels": ids}


def plain_mlp(depth: int = 10, *, init: str = "he", batch: int = 64, **options: Any) -> Case:
    return mlp(64, CLASSES, depth=depth, width=64, init=init, **options), *vectors(batch)


def conv_resnet(depth: int = 20, *, batch: int = 32, **options: Any) -> Case:
    return resnet(3, CLASSES, depth=depth, width=8, **options), *images(batch)


def tiny_gpt(depth: int = 6, **options: Any) -> Case:
    return gpt(64, 16, depth=depth, width=32, **options), tokens(), None


def tiny_vit(depth: int = 6, **options: Any) -> Case:
    return vit(3, 8, CLASSES, depth=depth, width=32, **options), *images()


def stacked(depth: int, activation: Callable[[], nn.Module], *, width: int = 64) -> Case:
    """Linear, activation, Linear, … in one Sequential, with torch's default weights."""
    with seeded(0):
        layers = [part for _ in range(depth) for part in (nn.Linear(width, width), activation())]
        return nn.Sequential(*layers, nn.Linear(width, CLASSES)), *vectors(features=width)


class Residual18(nn.Module):
    """A basic block with projection where the size changes, as in the ImageNet ResNet-18."""

    def __init__(self, fan_in: int, channels: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(fan_in, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.downsample = None
        if stride != 1 or fan_in != channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(fan_in, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        identity = x if self.downsample is None else self.downsample(x)
        out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        out += identity
        return self.relu(out)


class ResNet18(nn.Module):
    """The ImageNet ResNet-18 with torch's usual initialisation, at a quarter of its width."""

    def __init__(self, *, zero_gammas: bool = False, width: int = 16):
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        sizes = [width, width, 2 * width, 4 * width, 8 * width]
        for i in range(1, 5):
            blocks = (Residual18(sizes[i - 1], sizes[i], 1 if i == 1 else 2), Residual18(sizes[i], sizes[i], 1))
            setattr(self, f"layer{i}", nn.Sequential(*blocks))
        self.fc = nn.Linear(8 * width, CLASSES)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if isinstance(module, Residual18) and zero_gammas:
                nn.init.zeros_(module.bn2.weight)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(x.mean((2, 3)))


def resnet18(*, zero_gammas: bool = False) -> Case:
    with seeded(0):
        return ResNet18(zero_gammas=zero_gammas), *images(32, 32)


class AdaptiveBlock(nn.Module):
    """A feed-forward block whose shift, scale and gate come from a condition, all starting at zero (adaLN-zero)."""

    def __init__(self, width: int):
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.act, self.modulation = nn.GELU(), nn.Linear(width, 3 * width)
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        shift, scale, gate = self.modulation(condition).chunk(3, dim=-1)
        return x + gate * self.down(self.act(self.up(self.norm(x) * (1 + scale) + shift)))


class AdaptiveNet(nn.Module):
    """A small diffusion transformer without attention: adaLN-zero blocks and a head that starts at zero."""

    def __init__(self, depth: int = 6, width: int = 32):
        super().__init__()
        self.embed, self.condition = nn.Linear(64, width), nn.Linear(64, width)
        self.blocks = nn.ModuleList(AdaptiveBlock(width) for _ in range(depth))
        self.head = nn.Linear(width, 64)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, x: Tensor) -> Tensor:
        condition = self.condition(x).relu()
        x = self.embed(x)
        for block in self.blocks:
            x = block(x, condition)
        return self.head(x)


def adaptive() -> Case:
    with seeded(0):
        x, _ = vectors()
        return AdaptiveNet(), x, vectors(seed=2)[0]


def zero_head() -> Case:
    model, x, y = plain_mlp()
    nn.init.zeros_(model.head.weight)
    nn.init.zeros_(model.head.bias)
    return model, x, y


def zero_head_with_prior() -> Case:
    """The head's bias is that of rare classes."""
    model, x, y = stacked(1, nn.ReLU)
    nn.init.zeros_(model[-1].weight)
    nn.init.constant_(model[-1].bias, -4.6)
    return model, x, y


class Controlled(nn.Module):
    """A frozen network and a copy that learns, whose outputs enter by maps that start at zero."""

    def __init__(self, width: int = 64, depth: int = 4):
        super().__init__()
        self.base = nn.ModuleList(nn.Sequential(nn.Linear(width, width), nn.Tanh()) for _ in range(depth))
        self.copy = nn.ModuleList(nn.Sequential(nn.Linear(width, width), nn.Tanh()) for _ in range(depth))
        self.zero = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.head = nn.Linear(width, CLASSES)
        self.base.requires_grad_(False)
        for parameter in self.zero.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        side = x
        for base, copy, zero in zip(self.base, self.copy, self.zero, strict=True):
            side = copy(side)
            x = base(x) + zero(side)
        return self.head(x)


def controlled() -> Case:
    with seeded(0):
        return Controlled(), *vectors()


class Unrolled(nn.Module):
    """One cell that runs thirty times, from a state of zeros."""

    def __init__(self, width: int = 64):
        super().__init__()
        self.cell, self.head = nn.GRUCell(8, width), nn.Linear(width, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        state = x.new_zeros(len(x), self.cell.hidden_size)
        for i in range(30):
            state = self.cell(x[:, i], state)
        return self.head(state)


def unrolled() -> Case:
    x, y = vectors(features=240)
    with seeded(0):
        return Unrolled(), x.unflatten(1, (30, 8)), y


class FromConstant(nn.Module):
    """Maps of a constant of the model, turned by what the batch says, as generators of images have."""

    def __init__(self, width: int = 64, depth: int = 4):
        super().__init__()
        self.constant = nn.Parameter(torch.ones(width))
        self.maps = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.styles = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.head = nn.Linear(width, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        state = self.constant.expand_as(x)
        for own, style in zip(self.maps, self.styles, strict=True):
            state = torch.relu(own(state) + style(x))
        return self.head(state)


def from_constant() -> Case:
    with seeded(0):
        return FromConstant(), *vectors()


def frozen() -> Case:
    """The first half of the blocks does not train."""
    model, x, y = plain_mlp()
    for block in list(model.blocks)[:5]:
        block.requires_grad_(False)
    return model, x, y


def evaluated() -> Case:
    model, x, y = resnet18()
    return model.eval(), x, y


class Tagger(nn.Module):
    """An embedding, an LSTM over positions, a head at the last one."""

    def __init__(self):
        super().__init__()
        self.embedding, self.lstm = nn.Embedding(64, 32), nn.LSTM(32, 32, num_layers=2, batch_first=True)
        self.head = nn.Linear(32, CLASSES)

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.lstm(self.embedding(ids))[0][:, -1])


def recurrent() -> Case:
    with seeded(0):
        return Tagger(), tokens(32)["input_ids"], vectors(32)[1]


HEALTHY: dict[str, Callable[[], Case]] = {
    "He MLP of 10": plain_mlp,
    "He MLP of 30": lambda: plain_mlp(30),
    "He tanh MLP of 6": lambda: plain_mlp(6, activation="tanh", init="xavier"),
    "default MLP of 3": lambda: stacked(3, nn.ReLU),
    "GELU MLP of 8, layer norm": lambda: plain_mlp(8, activation="gelu", norm="layer", init="default"),
    "BN-ReLU MLP of 15": lambda: plain_mlp(15, norm="batch", init="default"),
    "orthogonal linear net of 200": lambda: plain_mlp(200, activation="identity", init="orthogonal"),
    "ResNet-18": resnet18,
    "ResNet-18 with zero gammas": lambda: resnet18(zero_gammas=True),
    "ResNet-18 in eval mode": evaluated,
    "CIFAR ResNet-20": conv_resnet,
    "CIFAR ResNet-56": lambda: conv_resnet(56),
    "pre-norm GPT": tiny_gpt,
    "pre-norm GPT of 12": lambda: tiny_gpt(12),
    "pre-norm ViT": tiny_vit,
    "adaLN-zero": adaptive,
    "zero head": zero_head,
    "zero head with a prior": zero_head_with_prior,
    "zero maps beside a frozen network": controlled,
    "one cell thirty times": unrolled,
    "from a constant": from_constant,
    "half frozen": frozen,
    "recurrent": recurrent,
}
