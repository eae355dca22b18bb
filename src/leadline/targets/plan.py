"""What every kind of target comes down to: a way to draw the model, and a batch."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from leadline._core.errors import UsageError
from leadline.data import Batch

Builder = Callable[[int, Mapping[str, Any]], nn.Module]

_IMAGES, _SIDE = 8, 320


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What the caller asked for beside the target.

    Attributes:
        data: ``"gaussian"``, ``"tokens"``, the name of a data set, or ``None`` for what suits the model.
        batch: Samples, or ``None`` for what suits the model.
        input_shape: Shape of one sample, or ``None``.
        seed: Seed of weights and batch.
        overrides: Values that replace the target's options of the same name.
    """

    data: str | None = None
    batch: int | None = None
    input_shape: tuple[int, ...] | None = None
    seed: int = 0
    overrides: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A target made concrete.

    Attributes:
        model: The model drawn at the wanted seed.
        build: Draws it again: of a seed and of options that replace its own.
        batch: Inputs and targets.
        about: The batch in words.
    """

    model: nn.Module
    build: Builder
    batch: Batch
    about: str


def times(shape: tuple[int, ...]) -> str:
    """A shape as it is written.

    >>> times((3, 32, 32))
    '3×32×32'
    """
    return "×".join(map(str, shape)) if shape else "scalar"


def counted(number: int, what: str) -> str:
    """A number of things in words.

    >>> counted(1, "Gaussian sample"), counted(8, "digit")
    ('1 Gaussian sample', '8 digits')
    """
    return f"{number} {what}" + ("" if number == 1 else "s")


def images_at_once(shape: tuple[int, ...]) -> int:
    """Images in a batch where the caller gives no number: 8, and of those beyond 320×320 what has no more pixels.

    Two at least, so that samples can be told apart.

    >>> images_at_once((3, 224, 224)), images_at_once((3, 384, 384)), images_at_once((3, 600, 600))
    (8, 5, 2)
    """
    return max(2, min(_IMAGES, _IMAGES * _SIDE**2 // math.prod(shape[1:])))


def sequence_length(wanted: Wanted, default: int, *, whose: str) -> int:
    """Positions of a sequence: the wanted shape's one axis, or ``default``.

    Raises:
        UsageError: If the wanted shape has another number of axes.
    """
    if wanted.input_shape is None:
        return default
    if len(wanted.input_shape) != 1:
        raise UsageError(f"{whose} takes sequences of shape (positions,); got the input shape {wanted.input_shape}.")
    return wanted.input_shape[0]
