"""The residual network for CIFAR: three stages of basic blocks with parameter-free shortcuts."""

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from leadline._core.errors import UsageError
from leadline._core.randomness import seeded
from leadline.nn.activations import ActivationName, activation as make_activation
from leadline.nn.designs.checks import check_at_least
from leadline.nn.norms import TAKES_THE_BIAS, MapNormName, exponent, map_norm
from leadline.nn.weights import InitName, fill


class PadShortcut(nn.Module):
    """Option A: every second position of the map, and zeros in the channels that are new."""

    def __init__(self, new_channels: int):
        super().__init__()
        self.new_channels = new_channels

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n more h2 w2"]:
        """The smaller map."""
        return F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 0, self.new_channels))


class BasicBlock(nn.Module):
    r"""$y = \varphi(x + \mathrm{norm}(K_2\,\varphi(\mathrm{norm}(K_1 x))))$; where channels grow, the map is halved."""

    def __init__(self, fan_in: int, channels: int, *, norm: str, activation: str, alpha: float | None = None):
        super().__init__()
        stride, bias = (1 if fan_in == channels else 2), norm not in TAKES_THE_BIAS
        self.conv1 = nn.Conv2d(fan_in, channels, 3, stride=stride, padding=1, bias=bias)
        self.norm1 = map_norm(norm, channels, alpha=alpha)
        self.activation1 = make_activation(activation)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=bias)
        self.norm2 = map_norm(norm, channels, alpha=alpha)
        self.shortcut = None if stride == 1 else PadShortcut(channels - fan_in)
        self.activation2 = make_activation(activation)

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c2 h2 w2"]:
        """The stream behind the block."""
        y = self.conv1(x)
        y = y if self.norm1 is None else self.norm1(y)
        y = self.conv2(self.activation1(y))
        y = y if self.norm2 is None else self.norm2(y)
        return self.activation2(y + (x if self.shortcut is None else self.shortcut(x)))


class ResNet(nn.Module):
    """A convolution, three stages of blocks, the mean over positions, a linear head."""

    def __init__(
        self,
        in_channels: int,
        classes: int,
        *,
        blocks: int,
        width: int,
        norm: str,
        activation: str,
        alpha: float | None = None,
    ):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, width, 3, padding=1, bias=norm not in TAKES_THE_BIAS)
        self.norm = map_norm(norm, width, alpha=alpha)
        self.activation = make_activation(activation)

        def stage(fan_in: int, channels: int) -> nn.Sequential:
            ins = [fan_in] + [channels] * (blocks - 1)
            parts = (BasicBlock(i, channels, norm=norm, activation=activation, alpha=alpha) for i in ins)
            return nn.Sequential(*parts)

        self.stage1 = stage(width, width)
        self.stage2 = stage(width, 2 * width)
        self.stage3 = stage(2 * width, 4 * width)
        self.head = nn.Linear(4 * width, classes)

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n classes"]:
        """The logits."""
        y = self.conv(x)
        y = self.activation(y if self.norm is None else self.norm(y))
        return self.head(self.stage3(self.stage2(self.stage1(y))).mean((2, 3)))


def resnet(
    in_channels: int,
    classes: int,
    *,
    depth: int = 20,
    width: int = 16,
    norm: MapNormName = "batch",
    alpha: float | None = None,
    activation: ActivationName = "relu",
    init: InitName = "he",
    gain: float = 1.0,
    seed: int = 0,
) -> ResNet:
    """The CIFAR form of the residual network: ``depth`` weighted layers, two in each of ``(depth - 2) / 2`` blocks.

    The blocks are ``stage1.0`` … ``stage3.{n-1}`` with n = ``(depth - 2) / 6``; shortcuts have no parameters
    (option A). Works for maps of any size from 1×1. Convolutions before batch normalisation,
    fractional or not, have no bias, whose gradient would be zero.

    Args:
        in_channels: Channels of the image.
        classes: Outputs of the head.
        depth: Weighted layers, 6n + 2: 20, 32, 44, 56, 110, …
        width: Channels of the first stage; the later stages have twice and four times as many.
        norm: Normalisation behind every convolution.
        alpha: Exponent of ``norm="fractional"``; by default ``alpha_for_depth`` of the ``depth - 1`` convolutions.
        activation: Name of the activation.
        init: Law of the weights, head included, as in ``leadline.nn.fill``.
        gain: Factor on the weights.
        seed: Seed of the weights; torch's global generator is left as it was.

    Returns:
        The network in train mode, float32.

    Raises:
        UsageError: If ``depth`` is not of the form 6n + 2, a size is below 1, a name is unknown, or ``alpha`` is out of
            range or given for another ``norm``.

    Source:
        He et al. 2016 (arXiv:1512.03385), section 4.2; bjorck2018 for its form without normalisation.

    Example:
        >>> net = resnet(3, 10, depth=110)
        >>> sum(isinstance(part, BasicBlock) for part in net.modules())
        54
    """
    check_at_least(1, in_channels=in_channels, classes=classes, width=width)
    if depth < 8 or depth % 6 != 2:
        raise UsageError(f"The depth of a CIFAR ResNet must be 6n + 2, e.g. 20, 56 or 110; got {depth}.")
    alpha = exponent(norm, alpha=alpha, depth=depth - 1)
    blocks = (depth - 2) // 6
    with seeded(seed):
        net = ResNet(in_channels, classes, blocks=blocks, width=width, norm=norm, activation=activation, alpha=alpha)
        fill(net, init=init, gain=gain)
    return net
