"""The image data sets that are known by name: shape, classes, usual constants, and the files that hold them."""

from dataclasses import dataclass
from typing import Literal

from leadline._core.names import check_choice
from leadline.data.digits import CLASSES, SHAPE

Split = Literal["train", "test"]


@dataclass(frozen=True, kw_only=True)
class Remote:
    """A file that can be downloaded.

    Attributes:
        name: Its name.
        md5: Checksum that its publisher states.
        mirrors: Addresses of the folders that hold it, tried in this order.
    """

    name: str
    md5: str
    mirrors: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """A data set by name.

    Attributes:
        name: As in ``--data``.
        shape: Channels, height and width of an image.
        classes: Number of labels.
        sizes: Images of the published training and test part.
        mean: Mean of each channel over the training part, of values in [0, 1].
        std: Standard deviation of each channel likewise.
        form: How the files are written; ``"none"`` needs no files.
        folders: Folders that usual tools unpack it into, below a folder of data sets.
        remotes: What is downloaded.
    """

    name: str
    shape: tuple[int, int, int]
    classes: int
    sizes: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    form: Literal["none", "idx", "cifar10", "cifar100"]
    folders: tuple[str, ...] = ()
    remotes: tuple[Remote, ...] = ()

    @property
    def files(self) -> tuple[str, ...]:
        """Names of the files that are downloaded."""
        return tuple(remote.name for remote in self.remotes)


def known() -> tuple[str, ...]:
    """Names of every data set.

    >>> known()
    ('digits', 'mnist', 'fashion-mnist', 'cifar10', 'cifar100', 'gaussian-images')
    """
    return tuple(DATA_SETS)


def data_set(name: str) -> DataSet:
    """The data set called ``name``.

    Raises:
        UsageError: If there is none; the nearest name is offered.

    Example:
        >>> data_set("cifar10").shape
        (3, 32, 32)
    """
    return DATA_SETS[check_choice("The data set", name, DATA_SETS)]


def _idx(mirrors: tuple[str, ...], md5s: tuple[str, str, str, str]) -> tuple[Remote, ...]:
    names = (f"{part}-{what}-ubyte.gz" for part in ("train", "t10k") for what in ("images-idx3", "labels-idx1"))
    return tuple(Remote(name=name, md5=md5, mirrors=mirrors) for name, md5 in zip(names, md5s, strict=True))


_TORONTO = ("https://www.cs.toronto.edu/~kriz/",)
_TABLE = (
    # The one part that is published is cut by us: the last 360 images are the test part.
    DataSet(
        name="digits",
        shape=SHAPE,
        classes=CLASSES,
        sizes=(1437, 360),
        mean=(0.3054,),
        std=(0.3755,),
        form="none",
    ),
    DataSet(
        name="mnist",
        shape=(1, 28, 28),
        classes=10,
        sizes=(60_000, 10_000),
        mean=(0.1307,),
        std=(0.3081,),
        form="idx",
        folders=("mnist", "MNIST/raw", "MNIST", "mnist/MNIST/raw"),
        remotes=_idx(
            ("https://ossci-datasets.s3.amazonaws.com/mnist/", "http://yann.lecun.com/exdb/mnist/"),
            (
                "f68b3c2dcbeaaa9fbdd348bbdeb94873",
                "d53e105ee54ea40749a09fcbcd1e9432",
                "9fb629c4189551a2d022fa330f9573f3",
                "ec29112dd5afa0611ce80d1b7f02629c",
            ),
        ),
    ),
    DataSet(
        name="fashion-mnist",
        shape=(1, 28, 28),
        classes=10,
        sizes=(60_000, 10_000),
        mean=(0.2860,),
        std=(0.3530,),
        form="idx",
        folders=("fashion-mnist", "FashionMNIST/raw", "FashionMNIST", "fashion-mnist/FashionMNIST/raw"),
        remotes=_idx(
            ("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",),
            (
                "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
                "25c81989df183df01b3e8a0aad5dffbe",
                "bef4ecab320f06d8554ea6380940ec79",
                "bb300cfdad3c16e7a12a480ee83cd310",
            ),
        ),
    ),
    DataSet(
        name="cifar10",
        shape=(3, 32, 32),
        classes=10,
        sizes=(50_000, 10_000),
        mean=(0.4914, 0.4822, 0.4465),
        std=(0.2470, 0.2435, 0.2616),
        form="cifar10",
        folders=("cifar10", ""),
        remotes=(Remote(name="cifar-10-python.tar.gz", md5="c58f30108f718f92721af3b95e74349a", mirrors=_TORONTO),),
    ),
    DataSet(
        name="cifar100",
        shape=(3, 32, 32),
        classes=100,
        sizes=(50_000, 10_000),
        mean=(0.5071, 0.4865, 0.4409),
        std=(0.2673, 0.2564, 0.2762),
        form="cifar100",
        folders=("cifar100", ""),
        remotes=(Remote(name="cifar-100-python.tar.gz", md5="eb9058c3a382ffc7106e4002c42a8d85", mirrors=_TORONTO),),
    ),
    DataSet(
        name="gaussian-images",
        shape=(3, 32, 32),
        classes=10,
        sizes=(5_000, 1_000),
        mean=(0.0,) * 3,
        std=(1.0,) * 3,
        form="none",
    ),
)
DATA_SETS = {each.name: each for each in _TABLE}
