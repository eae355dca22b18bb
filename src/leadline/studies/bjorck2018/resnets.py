"""The paper's residual network at initialisation, and what one batch of images shows of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from leadline._core.errors import UsageError
from leadline.nn.designs import resnet
from leadline.nn.designs.resnet import BasicBlock, ResNet
from leadline.nn.norms import MapNormName
from leadline.nn.weights import InitName
from leadline.studies.images import Images

BATCH = 64
PUBLISHED_BATCH = 128
CLASSES = 10
IMAGES = "64 generated images of amplitude 1/frequency, colours correlated, channels standardised, labels at random"


def batch_of(images: Images | None, seed: int, *, size: int = BATCH) -> tuple[Tensor, Tensor]:
    """Some of the images and their labels, of three equal colours where they are grey; generated ones for ``None``.

    Raises:
        UsageError: If they have other than ten classes.
    """
    if images is None:
        return generated(seed, size=size)
    if images.classes != CLASSES:
        raise UsageError(
            f"The network of the 2018 paper tells {CLASSES} classes; {images.name} has {images.classes}: take cifar10."
        )
    chosen = torch.randperm(len(images.labels), generator=torch.Generator().manual_seed(seed))[:size]
    chosen = chosen.to(images.labels.device)
    return images.standardised[chosen].expand(-1, 3, -1, -1), images.labels[chosen]


def generated(seed: int, *, size: int = BATCH, side: int = 32) -> tuple[Tensor, Tensor]:
    """Random images whose spectrum falls like that of photographs, and labels that have nothing to do with them."""
    generator = torch.Generator().manual_seed(seed)
    along = torch.fft.fftfreq(side)
    frequency = (along[:, None] ** 2 + along**2).sqrt()
    frequency[0, 0] = 1 / side

    def smooth(channels: int) -> Tensor:
        noise = torch.randn(size, channels, side, side, generator=generator)
        return torch.fft.ifft2(torch.fft.fft2(noise) / frequency).real

    x = smooth(1) + 0.5 * smooth(3)
    x = (x - x.mean((0, 2, 3), keepdim=True)) / x.std((0, 2, 3), keepdim=True)
    return x, torch.randint(CLASSES, (size,), generator=generator)


def network(norm: str, seed: int, *, init: InitName = "xavier", depth: int = 110) -> ResNet:
    """The network with its norms (``"batch"``), without any (``"none"``), or with one before the head (``"last"``)."""
    within: MapNormName = "batch" if norm == "batch" else "none"
    net = resnet(3, CLASSES, depth=depth, norm=within, init=init, seed=seed)
    if norm == "last":
        head = nn.Sequential(nn.BatchNorm1d(net.head.in_features), net.head)
        net.head = head  # pyright: ignore[reportAttributeAccessIssue]
    return net


@dataclass(frozen=True, kw_only=True)
class Sounding:
    """One forward and backward pass.

    Attributes:
        loss: Mean cross entropy.
        logit_grads: Its gradient by the logits.
        streams: Weighted layer -> what its block adds up to, before the activation.
        convolutions: Weighted layer -> the convolution, its input, and the gradient of its output.
    """

    loss: float
    logit_grads: Tensor
    streams: dict[int, Tensor] = field(repr=False)
    convolutions: dict[int, tuple[nn.Conv2d, Tensor, Tensor]] = field(repr=False)

    def weight_grad(self, layer: int) -> Tensor:
        """Gradient of the kernel of a convolution that was kept."""
        grad = self.convolutions[layer][0].weight.grad
        assert grad is not None
        return grad


def sound(net: ResNet, batch: tuple[Tensor, Tensor], *, layers: Sequence[int] = ()) -> Sounding:
    """Push a batch through and back, in train mode; ``layers`` are the convolutions to keep, counted from 1."""
    net = net.to(batch[0].device)
    convolutions = [part for part in net.modules() if isinstance(part, nn.Conv2d)]
    blocks = [part for part in net.modules() if isinstance(part, BasicBlock)]
    streams: dict[int, Tensor] = {}
    calls: dict[int, tuple[Tensor, Tensor]] = {}

    def keep(at: int) -> Callable[..., None]:
        def hook(_: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> None:
            output.retain_grad()
            calls[at] = (given[0].detach(), output)

        return hook

    def stream(at: int) -> Callable[..., None]:
        def hook(_: nn.Module, given: tuple[Tensor, ...]) -> None:
            streams[at] = given[0].detach()

        return hook

    hooks = [convolutions[layer - 1].register_forward_hook(keep(layer)) for layer in layers]
    hooks += [block.activation2.register_forward_pre_hook(stream(2 * index + 3)) for index, block in enumerate(blocks)]
    try:
        logits = net(batch[0])
        loss = F.cross_entropy(logits, batch[1])
        wanted = [logits, *(output for _, output in calls.values())]
        logits.retain_grad()
        loss.backward()
    finally:
        for hook in hooks:
            hook.remove()
    grads = [each.grad for each in wanted]
    found = {
        layer: (convolutions[layer - 1], given, grad)
        for (layer, (given, _)), grad in zip(calls.items(), grads[1:], strict=True)
    }
    return Sounding(loss=loss.item(), logit_grads=grads[0], streams=streams, convolutions=found)
