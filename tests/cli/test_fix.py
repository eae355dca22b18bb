"""`leadline fix`, called in this process: what it prints, writes, refuses and leaves alone."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from leadline import Repair
from leadline._core.randomness import seeded
from leadline.cli import main
from leadline.targets import load

MODELS = Path(__file__).with_name("models.py")
FILES = ["model.safetensors", "repair.json", "report.html"]

APPLY = """
import sys, torch
from leadline import Repair
from leadline.targets import load
target = load(sys.argv[1])
model = Repair.load(sys.argv[2] + "/repair.json").apply(target.model, sys.argv[2] + "/model.safetensors")
with torch.no_grad():
    torch.save(model(target.inputs), sys.argv[3])
"""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_sick_network_is_repaired_shown_and_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["fix", f"{MODELS}:deep", "--out", str(tmp_path / "fixed")]) == 0
    out, err = capsys.readouterr()
    assert err == "" and names(tmp_path) == ["fixed"] and names(tmp_path / "fixed") == FILES
    told = [
        "before",
        "after",
        "→",
        "What was changed",
        "✓ gone  error gradient-vanishing",
        "Repair.load(",
        "✓ Repaired by",
    ]
    places = [out.index(words) for words in told]
    assert places == sorted(places)
    assert Repair.load(tmp_path / "fixed" / "repair.json").outcome == "repaired"
    assert oct((tmp_path / "fixed" / "model.safetensors").stat().st_mode & 0o444) == oct(0o444)


@pytest.mark.parametrize("call", [["deep"], ["deep", "--dry-run"], ["deep", "--recipe", "normalise"], ["healthy"]])
def test_every_line_fits_eighty_columns(call: list[str], capsys: pytest.CaptureFixture[str], monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    main(["fix", f"{MODELS}:{call[0]}", *call[1:]])
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80


def test_many_steps_of_one_kind_are_folded(capsys: pytest.CaptureFixture[str]):
    main(["fix", f"{MODELS}:deep", "--recipe", "unit-variance"])
    out = capsys.readouterr().out
    assert "… 23 more like this, up to:" in out and out.count("for outputs of unit variance") == 2


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["unit-variance", "normalise"])
@pytest.mark.parametrize("target", [f"{MODELS}:deep", "mlp:depth=20,width=32"])
def test_what_was_kept_gives_the_same_outputs_to_the_bit_in_another_process(recipe: str, target: str, tmp_path: Path):
    folder, outputs = tmp_path / "fixed", tmp_path / "outputs.pt"
    main(["fix", target, "--recipe", recipe, "--out", str(folder)])
    record = Repair.load(folder / "repair.json")
    assert record.recipe == recipe and record.swaps == (recipe == "normalise")
    subprocess.run([sys.executable, "-c", APPLY, target, str(folder), str(outputs)], check=True, timeout=120)
    here = load(target)
    with torch.no_grad():
        unrepaired = here.model(here.inputs)
        repaired = record.apply(here.model, folder / "model.safetensors")(here.inputs)
    assert torch.equal(torch.load(outputs), repaired)
    assert not torch.allclose(unrepaired, repaired)


@pytest.mark.parametrize("target", ["tied", "deep"])
def test_the_outputs_of_what_was_kept_are_those_that_were_measured(target: str, tmp_path: Path):
    main(["fix", f"{MODELS}:{target}", "--out", str(tmp_path / "fixed")])
    record, fresh = Repair.load(tmp_path / "fixed" / "repair.json"), load(f"{MODELS}:{target}")
    record.apply(fresh.model, tmp_path / "fixed" / "model.safetensors")
    import leadline

    assert leadline.profile(fresh.model, fresh.inputs, fresh.targets, seed=0).layers == record.after.layers


def test_a_healthy_network_is_left_alone_and_kept_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["fix", f"{MODELS}:healthy", "--out", str(tmp_path / "fixed"), "--prove"]) == 0
    out = capsys.readouterr().out
    assert (
        "✓ Healthy: there is nothing to repair" in out and "nothing to prove" in out and "What was changed" not in out
    )
    fresh, again = load(f"{MODELS}:healthy"), load(f"{MODELS}:healthy")
    Repair.load(tmp_path / "fixed" / "repair.json").apply(again.model, tmp_path / "fixed" / "model.safetensors")
    assert torch.equal(fresh.model(fresh.inputs), again.model(again.inputs))


def test_the_same_seed_gives_the_same_dropout_wherever_the_generator_stands(capsys: pytest.CaptureFixture[str]):
    found = []
    for start in (1, 2):
        with seeded(start):
            main(["fix", f"{MODELS}:drops", "--json", "-"])
        found.append(json.loads(capsys.readouterr().out))
    assert found[0] == found[1]


def test_nan_weights_are_drawn_anew(capsys: pytest.CaptureFixture[str]):
    assert main(["fix", f"{MODELS}:nan_weight"]) == 0
    out = capsys.readouterr().out
    assert "✓ gone  error nonfinite" in out and "nan → " in out


def test_an_error_that_remains_gives_1_and_is_told(capsys: pytest.CaptureFixture[str]):
    assert main(["fix", "mlp:depth=100,width=32", "--recipe", "normalise"]) == 1
    out = capsys.readouterr().out
    assert "✗ new  error gradient-explosion" in out and "1 error remains" in out


def test_a_trained_network_is_refused_without_force(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["fix", f"{MODELS}:fitted", "--recipe", "orthogonal", "--out", str(tmp_path / "fixed")]) == 2
    out, err = capsys.readouterr()
    assert out == "" and "look trained" in err and "--force" in err and "force=True" not in err
    assert names(tmp_path) == []
    assert main(["fix", f"{MODELS}:fitted", "--recipe", "orthogonal", "--force"]) in (0, 1)


def test_a_dry_run_writes_no_folder_and_says_what_would_be(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["fix", f"{MODELS}:deep", "--dry-run", "--out", str(tmp_path / "fixed")]) == 0
    out = capsys.readouterr().out
    assert "What would be changed" in out and "no error or warning would remain" in out and "A dry run" in out
    assert names(tmp_path) == []


def test_a_proof_trains_both_and_is_in_the_record(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["fix", f"{MODELS}:deep", "--prove", "--out", str(tmp_path / "fixed")]) == 0
    out = capsys.readouterr().out
    told = " ".join(out.split())
    assert re.search(r"Proven: the repaired model learns at 0\.\d+.*; the model as it was did not learn\.", told)
    assert "loss before" in out
    proof = Repair.load(tmp_path / "fixed" / "repair.json").proof
    assert proof is not None and proof.learnt_after and not proof.learnt_before and len(proof.curves) == 6


def test_json_is_all_of_stdout_and_report_and_data_are_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["fix", f"{MODELS}:deep", "--json", "-", "--html", str(tmp_path / "report.html")]) == 0
    data = json.loads(capsys.readouterr().out)
    assert {"schema", "repair", "before", "after"} == set(data)
    assert data["repair"]["outcome"] == "repaired" and data["after"]["findings"] == []
    assert "gradient-vanishing" in [finding["code"] for finding in data["before"]["findings"]]
    assert (tmp_path / "report.html").read_text().startswith("<!doctype html>")


def test_an_earlier_fix_is_replaced_and_what_is_beside_it_stays(tmp_path: Path):
    folder = tmp_path / "fixed"
    assert main(["fix", f"{MODELS}:deep", "--recipe", "normalise", "--out", str(folder)]) in (0, 1)
    (folder / "notes.txt").write_text("mine")
    assert main(["fix", f"{MODELS}:deep", "--recipe", "unit-variance", "--out", str(folder)]) in (0, 1)
    assert Repair.load(folder / "repair.json").recipe == "unit-variance"
    assert names(folder) == sorted([*FILES, "notes.txt"]) and names(tmp_path) == ["fixed"]


def test_a_folder_of_other_files_is_refused_before_any_work(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "thesis.tex").write_text("mine")
    assert main(["fix", f"{MODELS}:raises", "--out", str(tmp_path)]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert main(["fix", f"{MODELS}:deep", "--out", str(tmp_path), "--overwrite"]) == 0
    assert names(tmp_path) == sorted([*FILES, "thesis.tex"])


def test_an_empty_folder_and_a_new_one_in_new_folders_are_taken(tmp_path: Path):
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "empty", tmp_path / "runs" / "1"):
        assert main(["fix", f"{MODELS}:healthy", "--out", str(folder)]) == 0
        assert names(folder) == FILES


def test_nothing_is_half_written_when_writing_fails(tmp_path: Path, monkeypatch, capsys: pytest.CaptureFixture[str]):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("leadline.cli.mending.report", full)
    assert main(["fix", f"{MODELS}:deep", "--out", str(tmp_path / "fixed")]) == 2
    assert "No space left on device" in capsys.readouterr().err
    assert names(tmp_path) == []


def test_an_interruption_gives_130_and_leaves_the_earlier_fix(tmp_path: Path, monkeypatch):
    folder = tmp_path / "fixed"
    main(["fix", f"{MODELS}:healthy", "--out", str(folder)])
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("leadline.cli.mending.report", interrupted)
    assert main(["fix", f"{MODELS}:deep", "--out", str(folder)]) == 130
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before and names(tmp_path) == ["fixed"]


WRONG = {
    "misspelt recipe": (["mlp:depth=2", "--recipe", "ortogonal"], "did you mean 'orthogonal'"),
    "unknown layers": (["mlp:depth=40", "--layers", "blcks.*"], "blcks"),
    "nothing to train for": ([f"{MODELS}:unlabelled", "--prove"], "--prove needs something to train for"),
    "proof of a dry run": (["mlp:depth=2", "--prove", "--dry-run"], "--dry-run"),
    "folder that is a file": (["mlp:depth=2", "--out", str(MODELS)], "it is a file"),
    "folder inside a file": (["mlp:depth=2", "--out", f"{MODELS}/fixed"], "models.py"),
    "one path for data and report": (["mlp:depth=2", "--json", "out", "--html", "out"], "both"),
    "factory that raises": ([f"{MODELS}:raises"], "KeyError"),
    "no parameters": ([f"{MODELS}:without_parameters"], "no parameters"),
    "state that is no tensor": ([f"{MODELS}:with_extra_state", "--out", "fixed"], "_extra_state"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_call_gives_2_and_one_sentence(case: str, tmp_path, monkeypatch, capsys: pytest.CaptureFixture[str]):
    arguments, hint = WRONG[case]
    monkeypatch.chdir(tmp_path)
    assert main(["fix", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == "" and hint in err and err.startswith("error: ")
    assert len(err.splitlines()) == 1 and names(tmp_path) == []
