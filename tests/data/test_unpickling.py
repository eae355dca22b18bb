"""What a pickle may hold, and that nothing in it runs."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, strategies as st
from tests.data.files import drawn, python_2, python_3

from leadline._core.errors import UsageError
from leadline.data import load
from leadline.data.unpickling import PickledArray, read_pickle


class Malicious:
    def __init__(self, call, *arguments):
        self.call, self.arguments = call, arguments

    def __reduce__(self):
        return self.call, self.arguments


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_that_wants_to_run_something_is_refused_and_does_not_run(tmp_path: Path, protocol):
    victim = tmp_path / "made"
    content = pickle.dumps({"data": Malicious(os.mkdir, str(victim))}, protocol)
    folder = tmp_path / "cifar-100-python"
    folder.mkdir()
    (folder / "train").write_bytes(content)
    with pytest.raises(UsageError, match=r"train in .* asks to run (posix|nt)\.mkdir"):
        load("cifar100", folder=tmp_path)
    assert not victim.exists()
    pickle.loads(content)  # The same bytes do harm in a reader that refuses nothing.
    assert victim.exists()


@pytest.mark.parametrize(
    "content",
    [
        b"cbuiltins\neval\n(S'1'\ntR.",
        b"cnumpy\nload\n(S'x'\ntR.",
        b"cnumpy.core.multiarray\nfromfile\n.",
        b"\x80\x04\x8c\x05numpy\x8c\x0fndarray.__new__\x93.",
        b"c_codecs\ndecode\n.",
    ],
)
def test_other_names_are_refused_even_of_numpy(content):
    with pytest.raises(UsageError, match="asks to run"):
        read_pickle(content, whose="file")


def test_extensions_and_persistent_ids_are_refused():
    for content in (b"\x82\x01.", b"Pid\n."):
        with pytest.raises(UsageError):
            read_pickle(content, whose="file")


def test_other_encodings_and_other_dtypes_are_refused():
    with pytest.raises(UsageError, match="no whole pickle"):
        read_pickle(b"\x80\x02c_codecs\nencode\nX\x01\0\0\0aX\x05\0\0\0rot13\x86R.", whose="file")
    with pytest.raises(UsageError, match="arrays of unsigned bytes .u1.; it holds 'i8'"):
        read_pickle(pickle.dumps(np.arange(3, dtype=np.int64), 2), whose="file")
    with pytest.raises(UsageError, match="arrays of unsigned bytes .u1.; it holds 'O8'"):
        read_pickle(pickle.dumps(np.array([None]), 2), whose="file")


@given(st.integers(0, 5), st.booleans(), st.integers(2, 4))
def test_arrays_of_bytes_come_back(n, fortran, protocol):
    array = drawn(n, (3, 4), 10)[0]
    array = np.asfortranarray(array) if fortran else array
    found = read_pickle(pickle.dumps(array, protocol), whose="file")
    assert isinstance(found, PickledArray) and np.array_equal(found.value, array)


def test_the_pickle_of_python_2_that_tests_write_is_one():
    images, labels = drawn(3, (3, 32, 32), 10)
    found = pickle.loads(python_2(images, labels), encoding="bytes")
    assert np.array_equal(found[b"data"], images.reshape(3, -1)) and found[b"labels"] == labels.tolist()


@given(st.data())
def test_a_pickle_cut_anywhere_is_told_in_a_sentence(data):
    images, labels = drawn(2, (3, 32, 32), 10)
    content = data.draw(st.sampled_from([python_2, python_3]))(images, labels)
    cut = data.draw(st.integers(0, len(content) - 1))
    with pytest.raises(UsageError, match="^file "):
        read_pickle(content[:cut], whose="file")


@given(st.binary(max_size=60))
def test_any_bytes_give_a_value_or_a_sentence(content):
    try:
        read_pickle(content, whose="file")
    except UsageError as error:
        assert str(error).startswith("file ")


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ([1, 2], "an array 'data' and a list 'fine_labels'; it holds neither"),
        ({"data": np.zeros((2, 3072), np.uint8)}, "it holds data"),
        ({"data": np.zeros((2, 3), np.uint8), "fine_labels": [1, 2]}, r"an array of shape \(2, 3\) and 2 labels"),
        ({"data": np.zeros((2, 3072), np.uint8), "fine_labels": [1]}, "and 1 labels"),
        ({"data": np.zeros((1, 3072), np.uint8), "fine_labels": [-1]}, "labels from 0 to 99"),
    ],
)
def test_a_pickle_of_something_else_is_told(tmp_path: Path, found, message):
    (tmp_path / "train").write_bytes(pickle.dumps(found, 2))
    with pytest.raises(UsageError, match=message):
        load("cifar100", folder=tmp_path)
