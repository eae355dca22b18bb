"""The deep multilayer perceptron of the field: one width, one activation, any depth."""

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor, nn

from leadline._core.randomness import seeded
from leadline.nn.activations import ActivationName, activation as make_activation
from leadline.nn.designs.checks import check_at_least
from leadline.nn.norms import TAKES_THE_BIAS, FeatureNormName, exponent, feature_norm
from leadline.nn.weights import InitName, fill


class MLPBlock(nn.Module):
    r"""One hidden layer: $y = \varphi(\mathrm{norm}(W x + b))$, plus $s\,x$ where the skip's weight $s$ is not zero."""

    def __init__(self, linear: nn.Module, norm: nn.Module | None, activation: nn.Module, *, skip: float = 0.0):
        super().__init__()
        self.linear, self.norm, self.activation, self.skip = linear, norm, activation, skip

    def forward(self, x: Float[Tensor, "n fan_in"]) -> Float[Tensor, "n width"]:
        """The hidden layer of the samples."""
        y = self.linear(x)
        if self.norm is not None:
            y = self.norm(y)
        y = self.activation(y)
        return y if self.skip == 0 else self.skip * x + y


class MLP(nn.Module):
    """Samples of any shape, flattened; hidden blocks one after another; a linear head."""

    def __init__(self, blocks: list[MLPBlock], head: nn.Module):
        super().__init__()
        self.blocks, self.head = nn.Sequential(*blocks), head

    def forward(self, x: Float[Tensor, "n ..."]) -> Float[Tensor, "n classes"]:
        """The logits."""
        return self.head(self.blocks(x.flatten(1)))


def mlp(
    in_features: int,
    classes: int,
    *,
    depth: int = 10,
    width: int = 128,
    activation: ActivationName = "relu",
    norm: FeatureNormName = "none",
    alpha: float | None = None,
    init: InitName = "default",
    gain: float = 1.0,
    skip: float = 0.0,
    linear: Callable[..., nn.Module] = nn.Linear,
    seed: int = 0,
) -> MLP:
    r"""A perceptron of ``depth`` hidden blocks, so of ``depth`` + 1 linear maps.

    The blocks are ``blocks.0`` … ``blocks.{depth-1}``, each with ``linear``, ``norm`` (where there is one)
    and ``activation``; the last map is ``head``. Blocks before batch normalisation, fractional or not, have no bias,
    whose gradient would be zero.

    Args:
        in_features: Entries of one sample.
        classes: Outputs of the head.
        depth: Number of hidden blocks, at least 1.
        width: Features of every block.
        activation: Name of the activation.
        norm: Normalisation between the linear map and the activation.
        alpha: Exponent of ``norm="fractional"``; by default ``alpha_for_depth(depth)``.
        init: Law of the weights, head included, as in ``leadline.nn.fill``; ``"default"`` is the linear layer's own.
        gain: Factor on the weights.
        skip: Weight of the identity path around each block; 0 is none. The first block has one only
            where ``in_features`` equals ``width``.
        linear: What makes a linear map, called like ``torch.nn.Linear``: ``linear(fan_in, fan_out, bias=…)``.
        seed: Seed of the weights; torch's global generator is left as it was.

    Returns:
        The network in train mode, float32.

    Raises:
        UsageError: If a size is below 1, a name is unknown, or ``alpha`` is out of range or given for another ``norm``.

    Example:
        >>> net = mlp(64, 10, depth=3, width=32, norm="batch")
        >>> [name for name, part in net.named_children()]
        ['blocks', 'head']
        >>> net.blocks[0].linear
        Linear(in_features=64, out_features=32, bias=False)
    """
    check_at_least(1, in_features=in_features, classes=classes, depth=depth, width=width)
    alpha = exponent(norm, alpha=alpha, depth=depth)
    with seeded(seed):
        blocks = [
            MLPBlock(
                linear(fan_in, width, bias=norm not in TAKES_THE_BIAS),
                feature_norm(norm, width, alpha=alpha),
                make_activation(activation),
                skip=skip if fan_in == width else 0.0,
            )
            for fan_in in [in_features] + [width] * (depth - 1)
        ]
        net = MLP(blocks, linear(width, classes))
        fill(net, init=init, gain=gain)
    return net
