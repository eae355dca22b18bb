"""VGG-19 (configuration E) for small images, with or without normalisation."""

from jaxtyping import Float
from torch import Tensor, nn

from leadline._core.randomness import seeded
from leadline.nn.activations import ActivationName, activation as make_activation
from leadline.nn.designs.checks import check_at_least, check_share
from leadline.nn.norms import TAKES_THE_BIAS, MapNormName, exponent, map_norm
from leadline.nn.weights import InitName, fill

# Configuration E: convolutions of each stage, and the stage's channels in multiples of the first stage's.
_STAGES = ((2, 1), (2, 2), (4, 4), (4, 8), (4, 8))


class ConvBlock(nn.Module):
    """A 3×3 convolution, its normalisation where there is one, and the activation."""

    def __init__(self, fan_in: int, channels: int, *, norm: str, activation: str, alpha: float | None = None):
        super().__init__()
        self.conv = nn.Conv2d(fan_in, channels, 3, padding=1, bias=norm not in TAKES_THE_BIAS)
        self.norm = map_norm(norm, channels, alpha=alpha)
        self.activation = make_activation(activation)

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c2 h w"]:
        """The map behind the block."""
        y = self.conv(x)
        return self.activation(y if self.norm is None else self.norm(y))


class VGG(nn.Module):
    """Stages of convolutions, each halved by a maximum over 2×2, the mean over what is left, and a classifier."""

    def __init__(
        self,
        in_channels: int,
        classes: int,
        *,
        width: int,
        norm: str,
        activation: str,
        dropout: float,
        alpha: float | None = None,
    ):
        super().__init__()
        parts: list[nn.Module] = []
        fan_in = in_channels
        for convolutions, multiple in _STAGES:
            for _ in range(convolutions):
                channels = multiple * width
                parts.append(ConvBlock(fan_in, channels, norm=norm, activation=activation, alpha=alpha))
                fan_in = channels
            # Rounding up leaves a 1×1 map as it is, so that images below 32×32 pass all five.
            parts.append(nn.MaxPool2d(2, ceil_mode=True))
        self.features = nn.Sequential(*parts)
        self.classifier = nn.Sequential()
        for _ in range(2):
            self.classifier.extend([nn.Dropout(dropout)] if dropout else [])
            self.classifier.extend([nn.Linear(fan_in, fan_in), make_activation(activation)])
        self.classifier.append(nn.Linear(fan_in, classes))

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n classes"]:
        """The logits."""
        return self.classifier(self.features(x).mean((2, 3)))


def vgg19(
    in_channels: int,
    classes: int,
    *,
    width: int = 64,
    norm: MapNormName = "batch",
    alpha: float | None = None,
    activation: ActivationName = "relu",
    dropout: float = 0.0,
    init: InitName = "he",
    gain: float = 1.0,
    seed: int = 0,
) -> VGG:
    """Sixteen 3×3 convolutions in five stages and a classifier of three linear maps.

    Works for maps of any size: 32×32 ends at 1×1 as in the CIFAR form, smaller images pass the last
    poolings unchanged, of larger ones the mean over positions is taken.

    Args:
        in_channels: Channels of the image.
        classes: Outputs of the head.
        width: Channels of the first stage; the later ones have 2, 4, 8 and 8 times as many.
        norm: Normalisation behind every convolution.
        alpha: Exponent of ``norm="fractional"``; by default ``alpha_for_depth`` of the sixteen convolutions.
        activation: Name of the activation.
        dropout: Share of features dropped before each hidden linear map of the classifier, in [0, 1). The CIFAR form
            trains with 0.5; the default is 0, so that what is measured does not depend on a draw.
        init: Law of the weights, head included, as in ``leadline.nn.fill``.
        gain: Factor on the weights.
        seed: Seed of the weights; torch's global generator is left as it was.

    Returns:
        The network in train mode, float32.

    Raises:
        UsageError: If a size is below 1, ``dropout`` is outside [0, 1), a name is unknown, or ``alpha`` is out of
            range or given for another ``norm``.

    Source:
        Simonyan and Zisserman 2015 (arXiv:1409.1556), table 1, configuration E, with the 512-unit classifier of
        its CIFAR form; daneshmand2020, figure 5.

    Example:
        >>> net = vgg19(1, 10, width=4)
        >>> sum(isinstance(part, ConvBlock) for part in net.modules())
        16
    """
    check_at_least(1, in_channels=in_channels, classes=classes, width=width)
    check_share(dropout=dropout)
    alpha = exponent(norm, alpha=alpha, depth=sum(convolutions for convolutions, _ in _STAGES))
    with seeded(seed):
        net = VGG(in_channels, classes, width=width, norm=norm, activation=activation, dropout=dropout, alpha=alpha)
        fill(net, init=init, gain=gain)
    return net
