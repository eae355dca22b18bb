"""Every Python block of the pages runs, and prints what the page says it prints."""

import contextlib
import io
import re
from pathlib import Path

import pytest

from leadline._core.randomness import seeded
from leadline.cli import main
from leadline.doctor import registry

DOCS = Path(__file__).parents[2] / "docs"
BLOCK = re.compile(r"^```python\n(?P<code>.*?)^```$(?:\n\n^```text\n(?P<printed>.*?)^```$)?", re.MULTILINE | re.DOTALL)
PAGES = [page for page in sorted(DOCS.rglob("*.md")) if BLOCK.search(page.read_text(encoding="utf-8"))]


def blocks(page: Path) -> list[tuple[str, str | None]]:
    return [(found["code"], found["printed"]) for found in BLOCK.finditer(page.read_text(encoding="utf-8"))]


def run(code: str, names: dict) -> str:
    written = io.StringIO()
    with contextlib.redirect_stdout(written):
        exec(compile(code, "<page>", "exec"), names)
    return written.getvalue()


def test_the_tutorial_is_among_the_pages():
    assert DOCS / "tutorials" / "first-sounding.md" in PAGES
    assert len(blocks(DOCS / "tutorials" / "first-sounding.md")) >= 10


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_code_of_a_page_does_and_prints_what_the_page_says(page, tmp_path, monkeypatch):
    registry.known_rules()  # all of them, so that a page that adds one does so to a copy
    monkeypatch.setattr(registry, "_RULES", list(registry._RULES))
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    with seeded(0):
        for code, printed in blocks(page):
            shown = run(code, names)
            if printed is not None:
                assert shown == printed, code


def test_the_file_that_is_to_be_checked_can_be(tmp_path, monkeypatch, capsys):
    page = (DOCS / "how-to" / "diagnose-my-model.md").read_text(encoding="utf-8")
    found = re.search(r'^```py title="my_model.py"\n(.*?)^```$', page, re.MULTILINE | re.DOTALL)
    assert found
    (tmp_path / "my_model.py").write_text(found[1], encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert main(["check", "my_model.py:build,depth=6", "--json", "found.json"]) in (0, 1)
    assert "blocks" in capsys.readouterr().out
    assert (tmp_path / "found.json").is_file()
