"""Which part of batch normalisation makes a deep convolutional network train: the mean, the scale, or both."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from leadline.nn.designs import vgg19
from leadline.studies.images import Images
from leadline.train import fit, shuffled

_AXES = (0, 2, 3)


class Centre(nn.Module):
    """Each channel less its mean over the batch and the positions."""

    def forward(self, x: Tensor) -> Tensor:
        """The map."""
        return x - x.mean(_AXES, keepdim=True)


class Scale(nn.Module):
    """Each channel over its standard deviation over the batch and the positions; its mean stays."""

    def forward(self, x: Tensor) -> Tensor:
        """The map."""
        return x * (x.var(_AXES, correction=0, keepdim=True) + 1e-5).rsqrt()


VARIANTS: dict[str, Callable[[], nn.Module]] = {
    "batch norm": lambda: nn.Sequential(Centre(), Scale()),
    "centred only": Centre,
    "scaled only": Scale,
    "none": nn.Identity,
}


def losses(images: Images, variant: str, *, steps: int, rate: float, seed: int) -> tuple[float, ...]:
    """Losses of plain SGD on batches of 64 of a VGG-19 of 8 to 64 channels with PyTorch's initialisation."""
    net = vgg19(images.standardised.shape[1], images.classes, width=8, norm="none", init="default", seed=seed)
    for block in net.features:
        if hasattr(block, "norm"):
            block.norm = VARIANTS[variant]()
    generator = torch.Generator().manual_seed(seed)
    batches = shuffled(images.standardised, images.labels, size=64, generator=generator)
    found = fit(net.to(images.labels.device), batches, steps=steps, optimiser="sgd", learning_rate=rate, seed=seed)
    return found.losses


def best_losses(images: Images, variant: str, *, steps: int, rates: tuple[float, ...], seed: int) -> tuple[float, ...]:
    """Losses at the rate whose last 20 are lowest on average."""
    runs = [losses(images, variant, steps=steps, rate=rate, seed=seed) for rate in rates]
    return min(runs, key=lambda run: sum(run[-20:]) if len(run) == steps and math.isfinite(run[-1]) else math.inf)
