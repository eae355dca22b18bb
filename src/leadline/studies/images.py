"""The labelled images that studies look at and train on: the digits, or a data set by name."""

from dataclasses import dataclass

import torch
from torch import Tensor

from leadline.data import digits, load
from leadline.data.catalogue import data_set


@dataclass(frozen=True, kw_only=True)
class Images:
    """Labelled images on one device, which is where a study takes place.

    Attributes:
        name: Of the data set.
        standardised: ``(n, channels, height, width)``, with mean 0 and variance 1.
        unit: The same with values in [0, 1].
        labels: ``(n,)``.
        classes: How many labels there are.
        aside: Those kept aside for testing; ``None`` where the data set has no such part.
    """

    name: str
    standardised: Tensor
    unit: Tensor
    labels: Tensor
    classes: int = 10
    aside: "Images | None" = None

    @property
    def features(self) -> int:
        """Values of an image."""
        return self.standardised[0].numel()


def labelled_digits() -> Images:
    """All 1797 digits, standardised as a whole."""
    batch = digits()
    assert batch.targets is not None
    x = batch.samples
    unit = (x - x.min()) / (x.max() - x.min())
    return Images(name="digits", standardised=x, unit=unit, labels=batch.targets)


def labelled_images(name: str, *, device: str | torch.device = "cpu") -> Images:
    """The training part of a data set, with its test part aside; of the digits all.

    Raises:
        UsageError: If its files are not on this machine.

    Example:
        >>> labelled_images("digits").features
        64
    """
    if name == "digits":
        x = labelled_digits()
        return Images(
            name=name, standardised=x.standardised.to(device), unit=x.unit.to(device), labels=x.labels.to(device)
        )
    return _part(name, "train", device, aside=_part(name, "test", device))


def _part(name: str, split: str, device: str | torch.device, *, aside: Images | None = None) -> Images:
    plain, standardised = (load(name, split, standardise=standardise) for standardise in (False, True))
    assert plain.targets is not None
    return Images(
        name=name,
        standardised=standardised.samples.to(device),
        unit=plain.samples.to(device),
        labels=plain.targets.to(device),
        classes=data_set(name).classes,
        aside=aside,
    )
