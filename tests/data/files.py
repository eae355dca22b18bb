"""Small data sets in the forms that they are published in, written by other code than what reads them."""

import gzip
import io
import pickle
import struct
import tarfile
from pathlib import Path

import numpy as np


def drawn(n: int, shape: tuple[int, ...], classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (n, *shape), dtype=np.uint8), rng.integers(0, classes, n, dtype=np.uint8)


def idx(array: np.ndarray) -> bytes:
    return b"\0\0\x08" + bytes([array.ndim]) + b"".join(struct.pack(">I", n) for n in array.shape) + array.tobytes()


def write_mnist(place: Path, images: np.ndarray, labels: np.ndarray, *, part: str = "train", gz: bool = False) -> None:
    place.mkdir(parents=True, exist_ok=True)
    for name, array in ((f"{part}-images-idx3-ubyte", images), (f"{part}-labels-idx1-ubyte", labels)):
        content = idx(array)
        (place / f"{name}{'.gz' if gz else ''}").write_bytes(gzip.compress(content) if gz else content)


def python_2(images: np.ndarray, labels: np.ndarray, key: str = "labels") -> bytes:
    """The bytes that Python 2 wrote: strings are byte strings of the opcodes T and U."""

    def text(s: bytes) -> bytes:
        return b"U" + bytes([len(s)]) + s if len(s) < 256 else b"T" + struct.pack("<i", len(s)) + s

    n = len(images)
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\0\x85" + text(b"b") + b"tR"
        b"(K\x01M" + struct.pack("<H", n) + b"M\x00\x0c\x86"
        b"cnumpy\ndtype\n("
        + text(b"u1")
        + b"K\0K\x01tR(K\x03"
        + text(b"|")
        + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb"
        b"\x89" + text(images.tobytes()) + b"tb"
    )
    numbers = b"](" + b"".join(b"K" + bytes([int(label)]) for label in labels) + b"e"
    return b"\x80\x02}(" + text(b"data") + array + text(key.encode()) + numbers + b"u."


def python_3(images: np.ndarray, labels: np.ndarray, key: str = "labels", protocol: int = 2) -> bytes:
    rows = images.reshape(len(images), -1)
    return pickle.dumps({"data": rows, key: [int(label) for label in labels]}, protocol=protocol)


def records(images: np.ndarray, *labels: np.ndarray) -> bytes:
    return b"".join(bytes(int(each[i]) for each in labels) + image.tobytes() for i, image in enumerate(images))


def write_tar(path: Path, members: dict[str, bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
