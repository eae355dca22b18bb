"""One way to every image data set: its name, its part, and how many images of it."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from leadline._core.errors import UsageError
from leadline._core.names import check_choice
from leadline.data.batch import Batch
from leadline.data.catalogue import DataSet, Split, data_set
from leadline.data.cifar import read_cifar
from leadline.data.digits import SHAPE
from leadline.data.folders import absent, find, idx_file
from leadline.data.idx import read_idx
from leadline.data.synthetic import gaussian


def load(
    name: str,
    split: str = "train",
    folder: str | Path | None = None,
    limit: int | None = None,
    seed: int = 0,
    *,
    standardise: bool = False,
) -> Batch:
    r"""Images and labels of a data set.

    Grey values are $g/255 \in [0, 1]$ ($g/16$ of the digits), and with ``standardise`` $(g/255 - \mu_c)/s_c$ with the
    usual mean and deviation of each channel, those of the training part. The digits have no published test part: their
    last 360 images are it. Gaussian images are standard normal, with labels that mean nothing; they differ by seed and
    part.

    Args:
        name: ``"digits"``, ``"mnist"``, ``"fashion-mnist"``, ``"cifar10"``, ``"cifar100"`` or ``"gaussian-images"``.
        split: ``"train"`` or ``"test"``.
        folder: The folder of data sets, or the folder with the files; by default what ``LEADLINE_DATA`` names, else the
            cache of leadline. Files may be gzipped, archives stay packed.
        limit: At most that many images, drawn at random without repetition; by default all, in the order of the files.
        seed: Seed of that draw and of Gaussian images; the global generator is left alone.
        standardise: Subtract the mean of each channel and divide by its deviation.

    Returns:
        Inputs ``(n, channels, height, width)`` float32, targets ``(n,)`` int64.

    Raises:
        UsageError: If there is no such data set or part, its files are missing, cut short or damaged, or ``limit``
            is below 1.

    Example:
        >>> batch = load("digits", limit=100)
        >>> batch.inputs.shape, batch.inputs.max().item()
        (torch.Size([100, 1, 8, 8]), 1.0)
    """
    wanted = data_set(name)
    if limit is not None and limit < 1:
        raise UsageError(f"The limit must be at least 1 image; got {limit}.")
    part: Split = "train" if check_choice("The split", split, ("train", "test")) == "train" else "test"
    if name == "gaussian-images":
        return _gaussian_images(wanted, part, limit, seed)
    values, labels, largest = _digits(part) if name == "digits" else _from_files(wanted, part, folder)
    chosen = _chosen(len(values), limit, seed)
    if chosen is not None:
        values, labels = values[chosen], labels[chosen]
    images = torch.from_numpy(values.astype(np.float32)).div_(largest)
    if standardise:
        images.sub_(_per_channel(wanted.mean)).div_(_per_channel(wanted.std))
    return Batch(inputs=images, targets=torch.from_numpy(labels.astype(np.int64)))


def _per_channel(values: tuple[float, ...]) -> Tensor:
    return torch.tensor(values).reshape(1, -1, 1, 1)


def _gaussian_images(wanted: DataSet, split: Split, limit: int | None, seed: int) -> Batch:
    available = wanted.sizes[split == "test"]
    # Even seeds are of training, odd ones of test parts, so that no part is another part of another seed.
    return gaussian(
        min(limit or available, available), wanted.shape, seed=2 * seed + (split == "test"), classes=wanted.classes
    )


def _digits(split: Split) -> tuple[np.ndarray, np.ndarray, int]:
    from sklearn.datasets import load_digits

    grey, labels = load_digits(return_X_y=True)
    cut = data_set("digits").sizes[0]
    part = slice(cut) if split == "train" else slice(cut, None)
    return np.asarray(grey)[part].reshape(-1, *SHAPE), np.asarray(labels)[part], 16


def _from_files(wanted: DataSet, split: Split, folder: str | Path | None) -> tuple[np.ndarray, np.ndarray, int]:
    found = find(wanted, folder)
    if found is None:
        raise absent(wanted, folder)
    if found.form is not None:
        return *read_cifar(found.form, found.where, split), 255
    paths = [idx_file(found.where, split, what) for what in ("images", "labels")]
    if paths[0] is None or paths[1] is None:
        missing = wanted.files[2 * (split == "test") + (paths[0] is not None)]
        raise UsageError(f"{found.where} holds only a part of {wanted.name}: {missing} is missing; put it there.")
    images, labels = read_idx(paths[0], axes=3), read_idx(paths[1], axes=1)
    if images.shape[1:] != wanted.shape[1:]:
        sides = "×".join(map(str, images.shape[1:]))
        raise UsageError(f"Images of {wanted.name} are 28×28; those in {paths[0]} are {sides}. Put the published file.")
    if len(images) != len(labels):
        raise UsageError(
            f"{found.where} must hold a label for every image; it holds {len(images)} images and {len(labels)} labels "
            f"of the {split} part. Fetch both again."
        )
    if labels.size and labels.max() >= wanted.classes:
        raise UsageError(f"Labels in {paths[1]} must be below {wanted.classes}; the largest is {labels.max()}.")
    return images[:, None], labels, 255


def _chosen(available: int, limit: int | None, seed: int) -> np.ndarray | None:
    if limit is None:
        return None
    return torch.randperm(available, generator=torch.Generator().manual_seed(seed))[:limit].numpy()
