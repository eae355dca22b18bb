"""Data sets out of small files in every published form."""

import gzip
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st
from tests.data.files import drawn, idx, python_2, python_3, records, write_mnist, write_tar

from leadline._core.errors import UsageError
from leadline.data import load
from leadline.data.catalogue import data_set, known
from leadline.data.idx import read_idx

GREY, COLOUR = (28, 28), (3, 32, 32)


@pytest.fixture(autouse=True)
def _no_folder_of_the_user(tmp_path, monkeypatch):
    monkeypatch.setenv("LEADLINE_DATA", str(tmp_path))


def same(batch, images, labels):
    expected = torch.tensor(images.astype(np.float64) / 255).float().reshape(batch.inputs.shape)
    assert torch.allclose(batch.inputs, expected, rtol=0, atol=1e-7)
    assert batch.targets.tolist() == labels.tolist()


# MNIST and Fashion-MNIST


@pytest.mark.parametrize("gz", [False, True])
@pytest.mark.parametrize("place", ["mnist", "MNIST/raw", "MNIST", "mnist/MNIST/raw"])
def test_mnist_is_read_of_every_usual_folder(tmp_path: Path, place, gz):
    images, labels = drawn(5, GREY, 10)
    write_mnist(tmp_path / place, images, labels, gz=gz)
    batch = load("mnist")
    assert batch.inputs.shape == (5, 1, 28, 28) and batch.inputs.dtype == torch.float32
    same(batch, images, labels)


def test_the_two_of_one_format_are_told_apart_by_their_folders(tmp_path: Path):
    one, other = drawn(3, GREY, 10, seed=1), drawn(4, GREY, 10, seed=2)
    write_mnist(tmp_path / "MNIST" / "raw", *one)
    write_mnist(tmp_path / "FashionMNIST" / "raw", *other)
    same(load("mnist"), *one)
    same(load("fashion-mnist"), *other)


def test_a_folder_of_the_call_may_hold_the_files_and_one_of_the_environment_may_not(tmp_path: Path):
    images, labels = drawn(3, GREY, 10)
    write_mnist(tmp_path, images, labels)
    same(load("fashion-mnist", folder=tmp_path), images, labels)
    with pytest.raises(UsageError, match="fashion-mnist is not in"):
        load("fashion-mnist")


def test_the_folder_of_the_call_comes_before_the_environment(tmp_path: Path):
    here, there = drawn(2, GREY, 10, seed=1), drawn(2, GREY, 10, seed=2)
    write_mnist(tmp_path / "mnist", *there)
    write_mnist(tmp_path / "other" / "mnist", *here)
    same(load("mnist", folder=tmp_path / "other"), *here)


def test_the_parts_are_of_their_own_files(tmp_path: Path):
    train, test = drawn(4, GREY, 10, seed=1), drawn(2, GREY, 10, seed=2)
    write_mnist(tmp_path / "mnist", *train)
    write_mnist(tmp_path / "mnist", *test, part="t10k")
    same(load("mnist", "train"), *train)
    same(load("mnist", "test"), *test)


def test_a_part_that_is_missing_is_named(tmp_path: Path):
    write_mnist(tmp_path / "mnist", *drawn(4, GREY, 10))
    with pytest.raises(UsageError, match="holds only a part of mnist: t10k-images-idx3-ubyte.gz is missing"):
        load("mnist", "test")
    (tmp_path / "mnist" / "train-labels-idx1-ubyte").unlink()
    with pytest.raises(UsageError, match="train-labels-idx1-ubyte.gz is missing"):
        load("mnist")


@given(st.integers(0, 2**32 - 1), st.integers(0, 6), st.integers(1, 5), st.booleans())
def test_what_was_written_as_idx_is_read(tmp_path_factory, seed, n, side, gz):
    array, _ = drawn(n, (side, side + 1), 10, seed)
    path = tmp_path_factory.mktemp("idx") / "file"
    path.write_bytes(gzip.compress(idx(array)) if gz else idx(array))
    found = read_idx(path, axes=3)
    assert found.shape == array.shape and np.array_equal(found, array)


@given(st.data())
def test_a_file_cut_anywhere_is_refused(tmp_path_factory, data):
    array, _ = drawn(2, (3, 3), 10)
    content = gzip.compress(idx(array)) if data.draw(st.booleans()) else idx(array)
    path = tmp_path_factory.mktemp("idx") / "cut"
    path.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    with pytest.raises(UsageError):
        read_idx(path, axes=3)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x89PNG and more", "begins with 00000803; it begins with 89504e47"),
        (b"", "it begins with nothing"),
        (idx(np.zeros(4, np.uint8)), "with 3 axes, which begins with 00000803; it begins with 00000801"),
        (idx(np.zeros((2, 28, 28), np.uint8))[:10], "cut short within its head, after 10 bytes"),
        (idx(np.zeros((2, 28, 28), np.uint8))[:-1], r"must hold 1568 bytes behind its head \(2×28×28\); it holds 1567"),
        (idx(np.zeros((2, 28, 28), np.uint8)) + b"x", "it holds 1569"),
        (gzip.compress(idx(np.zeros((2, 28, 28), np.uint8)))[:-9], "no sound gzip file"),
        (b"\x1f\x8b\x08", "no sound gzip file"),
    ],
    # Names of their own: gzip writes the second of the day into its bytes, and every worker must name a test alike.
    ids=["png", "empty", "one axis", "cut head", "cut body", "too long", "cut gzip", "gzip's first bytes"],
)
def test_what_is_no_idx_is_told_in_a_sentence(tmp_path: Path, content, message):
    write_mnist(tmp_path / "mnist", *drawn(2, GREY, 10))
    (tmp_path / "mnist" / "train-images-idx3-ubyte").write_bytes(content)
    with pytest.raises(UsageError, match=message):
        load("mnist")


def test_a_wrong_checksum_of_gzip_is_noticed(tmp_path: Path):
    content = bytearray(gzip.compress(idx(np.zeros((2, 2, 2), np.uint8))))
    content[-8] ^= 1  # The last eight bytes are the checksum and the length.
    (tmp_path / "file.gz").write_bytes(bytes(content))
    with pytest.raises(UsageError, match="no sound gzip file .CRC check failed"):
        read_idx(tmp_path / "file.gz", axes=3)


def test_images_and_labels_must_belong_together(tmp_path: Path):
    images, labels = drawn(3, GREY, 10)
    write_mnist(tmp_path / "mnist", images, labels[:2])
    with pytest.raises(UsageError, match="3 images and 2 labels of the train part"):
        load("mnist")
    write_mnist(tmp_path / "mnist", images[:, :20], labels)
    with pytest.raises(UsageError, match="are 28×28; those in .* are 20×28"):
        load("mnist")
    write_mnist(tmp_path / "mnist", images, np.array([0, 9, 10], np.uint8))
    with pytest.raises(UsageError, match="must be below 10; the largest is 10"):
        load("mnist")


# CIFAR


def _cifar10(make, end: str = ""):
    parts = [drawn(2, COLOUR, 10, seed=i) for i in range(6)]
    names = [f"data_batch_{i}{end}" for i in range(1, 6)] + [f"test_batch{end}"]
    files = {name: make(*part) for name, part in zip(names, parts, strict=True)}
    train = tuple(np.concatenate(each) for each in zip(*parts[:5], strict=True))
    return files, train, parts[5]


FORMS = {
    "python 2": ("cifar-10-batches-py", "cifar-10-python.tar.gz", python_2, ""),
    "python 3": ("cifar-10-batches-py", "cifar-10-python.tar.gz", python_3, ""),
    "python 3, protocol 4": ("cifar-10-batches-py", "cifar-10-python.tar.gz", lambda *a: python_3(*a, protocol=4), ""),
    "binary": ("cifar-10-batches-bin", "cifar-10-binary.tar.gz", records, ".bin"),
}


@pytest.mark.parametrize("below", ["", "cifar10"])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("form", FORMS)
def test_cifar_10_is_read_of_every_form(tmp_path: Path, form, packed, below):
    folder, archive, make, end = FORMS[form]
    files, train, test = _cifar10(make, end)
    place = tmp_path / below
    if packed:
        write_tar(place / archive, {f"{folder}/{name}": content for name, content in files.items()})
    else:
        (place / folder).mkdir(parents=True)
        for name, content in files.items():
            (place / folder / name).write_bytes(content)
    same(load("cifar10"), *train)
    same(load("cifar10", "test"), *test)


def test_the_folder_of_the_call_may_be_the_unpacked_one(tmp_path: Path):
    files, train, _ = _cifar10(records, ".bin")
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    same(load("cifar10", folder=tmp_path), *train)


@pytest.mark.parametrize("form", ["python", "binary"])
def test_cifar_100_has_its_fine_labels(tmp_path: Path, form):
    images, fine = drawn(3, COLOUR, 100)
    folder, end = {"python": ("cifar-100-python", ""), "binary": ("cifar-100-binary", ".bin")}[form]
    content = python_2(images, fine, "fine_labels") if form == "python" else records(images, fine // 5, fine)
    (tmp_path / folder).mkdir()
    (tmp_path / folder / f"train{end}").write_bytes(content)
    same(load("cifar100"), images, fine)


def test_a_file_of_cifar_that_is_missing_is_named(tmp_path: Path):
    files, _, _ = _cifar10(records, ".bin")
    del files["data_batch_3.bin"]
    write_tar(tmp_path / "cifar-10-binary.tar.gz", {f"cifar-10-batches-bin/{n}": c for n, c in files.items()})
    with pytest.raises(UsageError, match="data_batch_3.bin is missing. Fetch it again"):
        load("cifar10")


def test_records_and_archives_that_are_cut_are_refused(tmp_path: Path):
    files, _, _ = _cifar10(records, ".bin")
    archive = tmp_path / "cifar-10-binary.tar.gz"
    write_tar(archive, {f"cifar-10-batches-bin/{n}": c for n, c in files.items()})
    archive.write_bytes(archive.read_bytes()[:-5000])
    with pytest.raises(UsageError, match="cifar-10-binary.tar.gz (is no sound archive|cannot be read)"):
        load("cifar10")
    folder = tmp_path / "cifar-10-batches-bin"
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content[:-1])
    with pytest.raises(UsageError, match="whole records of 3073 bytes; it holds 6145 bytes"):
        load("cifar10")


def test_labels_beyond_the_classes_are_refused(tmp_path: Path):
    (tmp_path / "cifar-100-binary").mkdir()
    images, labels = drawn(1, COLOUR, 100)
    (tmp_path / "cifar-100-binary" / "train.bin").write_bytes(records(images, labels, labels * 0 + 100))
    with pytest.raises(UsageError, match="must be below 100; the largest is 100"):
        load("cifar100")


# What all of them share


@pytest.mark.parametrize("name", ["digits", "gaussian-images"])
def test_a_limit_takes_different_images_by_the_seed(name):
    one, same_again, other = (load(name, limit=20, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(one.inputs, same_again.inputs) and torch.equal(one.targets, same_again.targets)
    assert not torch.equal(one.inputs, other.inputs)
    assert len(one.inputs) == len(one.inputs.flatten(1).unique(dim=0)) == 20


def test_a_limit_keeps_images_with_their_labels(tmp_path: Path):
    images = np.zeros((10, *GREY), np.uint8) + np.arange(10, dtype=np.uint8)[:, None, None]
    write_mnist(tmp_path / "mnist", images, np.arange(10, dtype=np.uint8))
    batch = load("mnist", limit=4)
    assert (batch.inputs[:, 0, 0, 0] * 255).round().long().tolist() == batch.targets.tolist()
    assert sorted(load("mnist", limit=99).targets.tolist()) == list(range(10))


def test_the_parts_of_the_digits_are_all_of_them_once():
    from leadline.data import digits

    parts = [load("digits", split) for split in ("train", "test")]
    assert [len(part.inputs) for part in parts] == [1437, 360]
    assert torch.equal(torch.cat([part.targets for part in parts]), digits().targets)
    grey = torch.cat([part.inputs for part in parts])
    assert torch.allclose((grey - grey.mean()) / grey.std(), digits().inputs, atol=1e-5)


def test_the_parts_of_gaussian_images_are_independent():
    train, test = (load("gaussian-images", split, limit=100, seed=3).inputs.flatten() for split in ("train", "test"))
    correlation = torch.corrcoef(torch.stack([train, test]))[0, 1].item()
    assert abs(correlation) < 5 / len(train) ** 0.5
    assert train.std().item() == pytest.approx(1.0, abs=5 / (2 * len(train)) ** 0.5)


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_standardising_subtracts_the_mean_of_each_channel_and_divides_by_its_deviation(tmp_path: Path, name):
    if name == "mnist":
        write_mnist(tmp_path / "mnist", *drawn(2, GREY, 10))
    else:
        (tmp_path / "cifar-10-batches-bin").mkdir()
        for file, content in _cifar10(records, ".bin")[0].items():
            (tmp_path / "cifar-10-batches-bin" / file).write_bytes(content)
    plain, standard, known_of = load(name).inputs, load(name, standardise=True).inputs, data_set(name)
    for channel, (mean, std) in enumerate(zip(known_of.mean, known_of.std, strict=True)):
        assert torch.allclose(standard[:, channel], (plain[:, channel] - mean) / std, atol=1e-5)


def test_the_constants_of_the_digits_are_those_of_their_training_part():
    x = load("digits", standardise=True).inputs.double()
    assert abs(x.mean().item()) < 1e-3 and x.std().item() == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ({"name": "minst"}, r"must be one of digits, mnist, .*; got 'minst' \(did you mean 'mnist'\?\)"),
        ({"name": "digits", "split": "valid"}, "The split must be one of train, test; got 'valid'"),
        ({"name": "digits", "limit": 0}, "The limit must be at least 1 image; got 0"),
        ({"name": "cifar10"}, "put cifar-10-python.tar.gz into .*cifar10, or set LEADLINE_DATA"),
    ],
)
def test_a_wrong_call_is_told_in_a_sentence(call, message):
    with pytest.raises(UsageError, match=message):
        load(**call)


def test_every_known_name_has_a_record_of_its_own():
    assert [data_set(name).name for name in known()] == list(known())
    assert all(len(data_set(name).mean) == data_set(name).shape[0] for name in known())
