"""The built-in designs by name, with their options and the batch that suits each."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

from leadline import nn as designs_of
from leadline._core.errors import UsageError
from leadline._core.names import check_choice
from leadline.data import Batch, gaussian, token_ids
from leadline.data.catalogue import data_set
from leadline.data.digits import CLASSES, SHAPE
from leadline.targets.images import IMAGES, images
from leadline.targets.options import Option, options_of, read
from leadline.targets.plan import Plan, Wanted, counted, sequence_length, times

Shape = tuple[int, ...]
_CIFAR = (3, 32, 32)
_IMAGES, _SEQUENCES = 64, 16
VOCABULARY, CONTEXT = 1024, 64


@dataclass(frozen=True, kw_only=True)
class Design:
    """A built-in design.

    Attributes:
        name: As in a target.
        description: What it is, in a line.
        options: Its options with defaults and choices.
        takes: ``"vectors"`` (samples of any shape, flattened), ``"images"``, ``"squares"`` or ``"tokens"``.
        gaussian_shape: Shape of a Gaussian sample where the caller gives none.
        make: Builds it: of the shape of a sample, the number of classes, the seed and the options.
    """

    name: str
    description: str
    options: tuple[Option, ...]
    takes: Literal["vectors", "images", "squares", "tokens"]
    gaussian_shape: Shape
    make: Callable[..., nn.Module]


def designs() -> tuple[Design, ...]:
    """Every built-in design.

    >>> [option.name for option in designs()[0].options]
    ['depth', 'width', 'activation', 'norm', 'alpha', 'init', 'gain', 'skip', 'weights']
    """
    return tuple(DESIGNS.values())


def plan(name: str, options: Mapping[str, Any], wanted: Wanted) -> Plan:
    """The design called ``name`` and a batch for it.

    Raises:
        UsageError: If an option or the batch does not suit the design.
    """
    design = DESIGNS[name]
    batch, about = _tokens(design, wanted) if design.takes == "tokens" else _images(design, wanted)
    shape = tuple(batch.samples.shape[1:])
    classes = data_set(wanted.data).classes if wanted.data in IMAGES else CLASSES

    def build(seed: int, overrides: Mapping[str, Any]) -> nn.Module:
        values = read(design.options, {**options, **overrides}, whose=name)
        return design.make(shape, classes, seed=seed, **values)

    return Plan(model=build(wanted.seed, wanted.overrides), build=build, batch=batch, about=about)


def _images(design: Design, wanted: Wanted) -> tuple[Batch, str]:
    data = wanted.data or ("gaussian" if wanted.input_shape else "digits")
    check_choice(f"data for {design.name}", data, (*IMAGES, "gaussian"))
    size = wanted.batch or _IMAGES
    if data != "gaussian":
        return images(data, wanted, size=size)
    shape = wanted.input_shape or design.gaussian_shape
    if design.takes != "vectors" and len(shape) != 3:
        raise UsageError(f"{design.name} takes images of shape (channels, height, width); got the input shape {shape}.")
    if design.takes == "squares" and shape[1] != shape[2]:
        raise UsageError(f"{design.name} takes square images; got the input shape {times(shape)}.")
    about = f"{counted(size, 'Gaussian sample')} of {times(shape)}"
    return gaussian(size, shape, seed=wanted.seed, classes=CLASSES), about


def _tokens(design: Design, wanted: Wanted) -> tuple[Batch, str]:
    check_choice(f"data for {design.name}", wanted.data or "tokens", ("tokens",))
    size = wanted.batch or _SEQUENCES
    length = sequence_length(wanted, CONTEXT, whose=design.name)
    return token_ids(
        size, length, VOCABULARY, seed=wanted.seed
    ), f"{counted(size, 'sequence')} of {length} random tokens"


_WEIGHTS = Option(name="weights", kind="str", default="dense", choices=("dense", "lazy"))


def _mlp(shape: Shape, classes: int, *, weights: str, seed: int, **options: Any) -> nn.Module:
    linear = nn.Linear if weights == "dense" else _lazy_linear(seed)
    return designs_of.mlp(math.prod(shape), classes, linear=linear, seed=seed, **options)


def _lazy_linear(seed: int) -> Callable[..., nn.Module]:
    """What makes the lazy linear maps of one network, each with a seed of its own."""
    from leadline.simulate import LazyLinear

    seeds = torch.Generator().manual_seed(seed)
    return lambda *sizes, **options: LazyLinear(
        *sizes, seed=int(torch.randint(2**63 - 1, (), generator=seeds)), **options
    )


def _resnet(shape: Shape, classes: int, **options: Any) -> nn.Module:
    return designs_of.resnet(shape[0], classes, **options)


def _vgg19(shape: Shape, classes: int, **options: Any) -> nn.Module:
    return designs_of.vgg19(shape[0], classes, **options)


def _vit(shape: Shape, classes: int, **options: Any) -> nn.Module:
    return designs_of.vit(shape[0], shape[1], classes, **options)


def _gpt(shape: Shape, classes: int, **options: Any) -> nn.Module:
    return designs_of.gpt(VOCABULARY, shape[0], **options)


def _residual(depth: int) -> Design:
    return Design(
        name=f"resnet{depth}",
        description=f"CIFAR ResNet of {depth} weighted layers, parameter-free shortcuts",
        options=options_of(designs_of.resnet, hidden=_HIDDEN, depth=depth),
        takes="images",
        gaussian_shape=_CIFAR,
        make=_resnet,
    )


_HIDDEN = frozenset({"seed", "linear"})
_TABLE = (
    Design(
        name="mlp",
        description="multilayer perceptron of `depth` hidden blocks: linear, norm, activation",
        options=(*options_of(designs_of.mlp, hidden=_HIDDEN), _WEIGHTS),
        takes="vectors",
        gaussian_shape=SHAPE,
        make=_mlp,
    ),
    _residual(20),
    _residual(56),
    _residual(110),
    Design(
        name="vgg19",
        description="VGG-19 for small images: sixteen convolutions, three linear maps",
        options=options_of(designs_of.vgg19, hidden=_HIDDEN),
        takes="images",
        gaussian_shape=_CIFAR,
        make=_vgg19,
    ),
    Design(
        name="vit",
        description="small vision transformer out of transformers' config",
        options=options_of(designs_of.vit, hidden=_HIDDEN),
        takes="squares",
        gaussian_shape=_CIFAR,
        make=_vit,
    ),
    Design(
        name="gpt",
        description="small GPT-2 out of transformers' config",
        options=options_of(designs_of.gpt, hidden=_HIDDEN),
        takes="tokens",
        gaussian_shape=(),
        make=_gpt,
    ),
)
DESIGNS = {design.name: design for design in _TABLE}
