"""Which folder of data sets is meant."""

from pathlib import Path

import pytest

from leadline.data import folders
from leadline.data.catalogue import data_set
from leadline.data.folders import data_folder, find


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("LEADLINE_DATA", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("platform", "below"),
    [("linux", ".cache"), ("darwin", "Library/Caches"), ("win32", "AppData/Local")],
)
def test_the_cache_is_where_the_platform_has_it(home: Path, monkeypatch, platform, below):
    monkeypatch.setattr(folders.sys, "platform", platform)
    assert data_folder() == home / below / "leadline"


@pytest.mark.parametrize(("platform", "name"), [("linux", "XDG_CACHE_HOME"), ("win32", "LOCALAPPDATA")])
def test_a_cache_that_the_user_moved_is_followed(home: Path, monkeypatch, platform, name):
    monkeypatch.setattr(folders.sys, "platform", platform)
    monkeypatch.setenv(name, str(home / "moved"))
    assert data_folder() == home / "moved" / "leadline"


def test_the_call_comes_before_the_environment_and_that_before_the_cache(home: Path, monkeypatch):
    monkeypatch.setenv("LEADLINE_DATA", "~/sets")
    assert data_folder() == home / "sets"
    assert data_folder("other") == Path("other")
    monkeypatch.setenv("LEADLINE_DATA", "")
    assert data_folder().name == "leadline"


def test_a_folder_that_does_not_exist_holds_nothing(home: Path):
    assert [find(data_set(name), home / "none") for name in ("mnist", "cifar10")] == [None, None]
