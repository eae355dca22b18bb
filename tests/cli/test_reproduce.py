"""`leadline reproduce`, called in this process."""

import json
from pathlib import Path

import pytest

from leadline import studies
from leadline.cli import main
from leadline.studies.meterez2023 import isometry


def test_claims_are_listed(capsys: pytest.CaptureFixture[str]):
    assert main(["reproduce", "--list", "A"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == [claim.id for claim in studies.selected(["A"])]
    assert max(map(len, lines)) <= 80


def test_verdicts_are_shown_and_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "claims.json"
    assert main(["reproduce", "B12", "A1", "A20", "--json", str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[-1] == "3 claims: 2 holds, 0 fails, 1 undecided."
    data = json.loads(path.read_text())
    assert data["schema"] == 1
    assert [(claim["id"], claim["verdict"]) for claim in data["claims"]] == [
        ("A1", "holds"), ("A20", "undecided"), ("B12", "holds"),
    ]  # fmt: skip
    assert {"estimate", "interval", "expected", "rows", "seconds", "seed"} <= set(data["claims"][0])


def test_a_claim_that_fails_gives_1(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr(isometry, "batch_norm", lambda x: x)
    assert main(["reproduce", "A3"]) == 1
    assert "A3 fails" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "sentence"), [(["E1"], "no claim or paper 'E1'"), (["--scale", "papre"], "--scale must be one of")]
)
def test_wrong_calls_get_one_sentence(words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]):
    assert main(["reproduce", *words]) == 2
    out, err = capsys.readouterr()
    assert out == "" and sentence in err
