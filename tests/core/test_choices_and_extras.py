"""Wrong names get the nearest right one; missing packages name their extra."""

import pytest

from leadline._core.errors import MissingExtraError, UsageError
from leadline._core.extras import require
from leadline._core.names import check_choice, nearest


def test_a_wrong_choice_lists_the_right_ones_and_the_nearest() -> None:
    with pytest.raises(
        UsageError, match=r"effort must be one of standard, full; got 'fulll' \(did you mean 'full'\?\)"
    ):
        check_choice("effort", "fulll", ["standard", "full"])


def test_nothing_is_offered_where_nothing_is_like_it() -> None:
    assert nearest("zebra", ["depth", "width"]) is None


def test_a_missing_package_names_its_extra() -> None:
    with pytest.raises(MissingExtraError, match=r"pip install 'leadline\[vision\]'"):
        require("no_such_package_anywhere", extra="vision")


def test_a_package_that_is_installed_but_broken_says_so(tmp_path, monkeypatch) -> None:
    (tmp_path / "broken_wheel.py").write_text("raise RuntimeError('operator nms does not exist')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MissingExtraError, match="installed but cannot be imported .*nms does not exist"):
        require("broken_wheel", extra="vision")
