"""`leadline figure`, called in this process."""

import json
from pathlib import Path

import pytest

from leadline import studies
from leadline.cli import main


def test_figures_are_listed(capsys: pytest.CaptureFixture[str]):
    assert main(["figure", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    figures = [figure for figure, _ in studies.figures()]
    assert [line.split()[0] for line in lines[1:] if not line.startswith(" ")] == [figure.id for figure in figures]
    assert max(map(len, lines)) <= 80 and "…" not in "".join(lines)


def test_a_figure_is_drawn_beside_the_published_points(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    page, data = tmp_path / "page.html", tmp_path / "data.json"
    assert main(["figure", "b.fig5", "--html", str(page), "--json", str(data)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80 + len(str(page))
    assert lines[0].startswith("B.fig5: ReLU networks") and lines[-2:] == [f"Written: {data}", f"Written: {page}"]
    assert "ReLU networks keep a low gap" in page.read_text(encoding="utf-8")
    found = json.loads(data.read_text())
    assert found["schema"] == 1 and found["figure"]["panels"][0]["curves"][1]["published"]


@pytest.mark.parametrize(("words", "sentence"), [([], "Which figure?"), (["D.fig9"], "There is no figure 'D.fig9'")])
def test_wrong_calls_get_one_sentence(words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]):
    assert main(["figure", *words]) == 2
    out, err = capsys.readouterr()
    assert out == "" and sentence in err
