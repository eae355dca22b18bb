"""`leadline reproduce`, called in this process."""

import importlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from leadline import studies
from leadline._core.claims import Claim, Verdict, saved_verdicts
from leadline.cli import main
from leadline.studies.meterez2023 import isometry


def test_claims_are_listed(capsys: pytest.CaptureFixture[str]):
    assert main(["reproduce", "--list", "A"]) == 0
    lines = capsys.readouterr().out.splitlines()
    claims = studies.selected(["A"])
    assert [line.split()[0] for line in lines[1:] if not line.startswith(" ")] == [claim.id for claim in claims]
    assert max(map(len, lines)) <= 80
    told = set(" ".join(lines).split())
    assert all(set(claim.statement.split()) <= told for claim in claims)


def test_verdicts_are_shown_and_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "claims.json"
    assert main(["reproduce", "B12", "A1", "D17", "--json", str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines[:-1])) <= 80 and lines[-1] == f"Written: {path}"
    assert lines[-2] == "3 claims: 2 hold, 0 fail, 1 undecided."
    data = json.loads(path.read_text())
    assert data["schema"] == 1
    assert [(claim["id"], claim["verdict"]) for claim in data["claims"]] == [
        ("A1", "holds"), ("B12", "holds"), ("D17", "undecided"),
    ]  # fmt: skip
    assert {"estimate", "interval", "expected", "rows", "seconds", "seed"} <= set(data["claims"][0])


def test_a_claim_that_fails_gives_1(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr(isometry, "batch_norm", lambda x: x)
    assert main(["reproduce", "A3"]) == 1
    assert "A3 fails" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["E1"], "no claim or paper 'E1'"),
        (["--scale", "papre"], "--scale must be one of"),
        (["--resume"], "--json PATH"),
        (["--list", "--json", "claims.json"], "leave out --json"),
        (["A1", "--data", "cifra10"], "did you mean 'cifar10'"),
        (["A1", "--device", "gpu"], "no device 'gpu'"),
    ],
)
def test_wrong_calls_get_one_sentence(words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]):
    assert main(["reproduce", *words]) == 2
    out, err = capsys.readouterr()
    assert out == "" and sentence in err


def test_a_stopped_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    registry = importlib.import_module("leadline.studies.claims")  # the package has a function of that name
    path, ran, check = tmp_path / "claims.json", [], registry.check

    def stopped(claim: Claim, **settings: Any) -> Verdict:
        if claim.id == "B12" and ran == ["B1"]:
            raise KeyboardInterrupt
        ran.append(claim.id)
        return check(claim, **settings)

    monkeypatch.setattr(registry, "check", stopped)
    assert main(["reproduce", "B1", "B12", "--json", str(path)]) == 130
    assert [claim["id"] for claim in json.loads(path.read_text())["claims"]] == ["B1"]
    monkeypatch.setattr(registry, "check", lambda claim, **settings: ran.append(claim.id) or check(claim, **settings))
    assert main(["reproduce", "B1", "B12", "--json", str(path), "--resume"]) == 0
    assert ran == ["B1", "B12"]
    assert [claim["id"] for claim in json.loads(path.read_text())["claims"]] == ["B1", "B12"]
    assert main(["reproduce", "B1", "--seed", "1", "--json", str(path), "--resume"]) == 0
    assert ran == ["B1", "B12", "B1"]


def test_a_verdict_by_another_rule_is_not_kept(tmp_path: Path):
    path = tmp_path / "claims.json"
    assert main(["reproduce", "B1", "--json", str(path)]) == 0
    (claim,) = studies.selected(["B1"])
    assert [verdict.id for verdict in saved_verdicts(path, [claim], seed=0)] == ["B1"]
    assert saved_verdicts(path, [replace(claim, rule="Otherwise.")], seed=0) == []


@pytest.mark.engines
def test_several_processes_come_to_the_same(tmp_path: Path):
    found = {}
    for jobs in (1, 2):
        path = tmp_path / f"{jobs}.json"
        assert main(["reproduce", "B1", "B12", "C2", "--jobs", str(jobs), "--json", str(path)]) == 0
        found[jobs] = [
            {name: value for name, value in claim.items() if name != "seconds"}
            for claim in json.loads(path.read_text())["claims"]
        ]
    assert found[1] == found[2]


def test_the_page_has_rules_and_numbers(tmp_path: Path):
    path = tmp_path / "claims.html"
    assert main(["reproduce", "B1", "D17", "--html", str(path)]) == 0
    text = path.read_text(encoding="utf-8")
    assert "2 claims: 1 holds, 0 fail, 1 undecided" in text and "largest deviation from 1" in text
