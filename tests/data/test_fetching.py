"""Downloads from a server on this machine."""

import gzip
import hashlib
import socket
from dataclasses import replace
from pathlib import Path

import pytest
from tests.data.files import drawn, idx
from tests.data.server import Server, serving

from leadline._core.errors import UsageError
from leadline.cli import main
from leadline.data import catalogue, fetch, load
from leadline.data.catalogue import Remote

IMAGES = "train-images-idx3-ubyte.gz"


@pytest.fixture(autouse=True)
def _straight_to_this_machine(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def server(monkeypatch):
    images, labels = drawn(20, (28, 28), 10)
    arrays = {"images-idx3": images, "labels-idx1": labels}
    files = {
        f"{part}-{what}-ubyte.gz": gzip.compress(idx(array))
        for part in ("train", "t10k")
        for what, array in arrays.items()
    }
    with serving(files) as server:
        publish(monkeypatch, server.files, server.address)
        yield server


def publish(monkeypatch, files: dict[str, bytes], *mirrors: str) -> None:
    """MNIST is, for this test, what the server has."""
    remotes = tuple(
        Remote(name=name, md5=hashlib.md5(content).hexdigest(), mirrors=mirrors) for name, content in files.items()
    )
    monkeypatch.setitem(catalogue.DATA_SETS, "mnist", replace(catalogue.data_set("mnist"), remotes=remotes))


def unused_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def test_what_is_fetched_is_loaded(server: Server, tmp_path: Path):
    place = fetch("mnist", tmp_path)
    assert place == tmp_path / "mnist"
    assert {path.name: path.read_bytes() for path in place.iterdir()} == server.files
    assert load("mnist", folder=tmp_path).inputs.shape == (20, 1, 28, 28)


def test_what_is_there_is_not_fetched_again(server: Server, tmp_path: Path):
    fetch("mnist", tmp_path)
    server.asked.clear()
    fetch("mnist", tmp_path)
    assert server.asked == []
    (tmp_path / "mnist" / IMAGES).write_bytes(b"spoilt")
    fetch("mnist", tmp_path)
    assert server.asked == [(IMAGES, None)]
    assert (tmp_path / "mnist" / IMAGES).read_bytes() == server.files[IMAGES]


@pytest.mark.parametrize("ranges", [True, False])
def test_an_interrupted_download_is_gone_on_with(server: Server, tmp_path: Path, ranges):
    server.breaks_after, server.ranges = 1000, ranges
    whole = len(server.files[IMAGES])
    with pytest.raises(UsageError, match=rf"broke off after 1000 of {whole} bytes.*\(1000 bytes are kept\)"):
        fetch("mnist", tmp_path)
    assert [path.name for path in (tmp_path / "mnist").iterdir()] == [f"{IMAGES}.part"]
    server.breaks_after = None
    server.asked.clear()
    fetch("mnist", tmp_path)
    assert server.asked[0] == (IMAGES, "bytes=1000-")
    assert (tmp_path / "mnist" / IMAGES).read_bytes() == server.files[IMAGES]
    assert not list((tmp_path / "mnist").glob("*.part"))


def test_a_part_that_is_whole_is_only_moved(server: Server, tmp_path: Path):
    (tmp_path / "mnist").mkdir()
    (tmp_path / "mnist" / f"{IMAGES}.part").write_bytes(server.files[IMAGES])
    fetch("mnist", tmp_path)
    assert (tmp_path / "mnist" / IMAGES).read_bytes() == server.files[IMAGES]


def test_a_wrong_checksum_leaves_nothing_in_the_place(server: Server, tmp_path: Path):
    right = server.files[IMAGES]
    server.files[IMAGES] = b"another file"
    must, got = hashlib.md5(right).hexdigest(), hashlib.md5(b"another file").hexdigest()
    with pytest.raises(UsageError, match=f"the MD5 must be {must}, got {got}"):
        fetch("mnist", tmp_path)
    assert list((tmp_path / "mnist").iterdir()) == []


def test_the_next_mirror_is_asked_where_one_fails(server: Server, tmp_path: Path, monkeypatch):
    publish(
        monkeypatch, server.files, f"http://127.0.0.1:{unused_port()}/", f"{server.address}nothing/", server.address
    )
    fetch("mnist", tmp_path)
    assert (tmp_path / "mnist" / IMAGES).read_bytes() == server.files[IMAGES]


def test_progress_goes_from_nothing_to_all(server: Server, tmp_path: Path):
    told: list[tuple[str, int, int | None]] = []
    fetch("mnist", tmp_path, on_progress=lambda *step: told.append(step))
    assert {name: (done, total) for name, done, total in told} == {
        name: (len(content), len(content)) for name, content in server.files.items()
    }


def test_without_a_network_one_sentence_says_which_files_to_put_where(tmp_path: Path, monkeypatch, capsys):
    files = dict.fromkeys(catalogue.data_set("mnist").files, b"")
    publish(monkeypatch, files, f"http://127.0.0.1:{unused_port()}/")
    assert main(["data", "fetch", "mnist", "--folder", str(tmp_path)]) == 2
    out, err = capsys.readouterr()
    assert out == "" and len(err.splitlines()) == 1
    assert "refused" in err and all(name in err for name in files)
    assert err.rstrip().endswith(f"from a machine that has one into {tmp_path / 'mnist'}.")


def test_the_command_says_where_the_files_are(server: Server, tmp_path: Path, monkeypatch, capsys):
    monkeypatch.setenv("LEADLINE_DATA", str(tmp_path))
    assert main(["data", "fetch", "mnist"]) == 0
    out, err = capsys.readouterr()
    assert " ".join(out.split()).startswith("mnist is in") and "mnist" in out and err == ""
    assert load("mnist", "test").inputs.shape == (20, 1, 28, 28)


def test_a_place_that_is_a_file_is_told(server: Server, tmp_path: Path):
    (tmp_path / "mnist").write_text("")
    with pytest.raises(UsageError, match="mnist cannot be made a folder"):
        fetch("mnist", tmp_path)


@pytest.mark.parametrize(("name", "message"), [("gaussian-images", "needs no files"), ("mnst", "did you mean 'mnist'")])
def test_what_cannot_be_fetched_is_told(name, message, tmp_path: Path):
    with pytest.raises(UsageError, match=message):
        fetch(name, tmp_path)
