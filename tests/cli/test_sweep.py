"""`leadline sweep`, called in this process."""

from pathlib import Path

import pandas as pd
import pytest

from leadline.cli import main
from leadline.studies.sweeps import Store

FILE = "{design: 'mlp:width=16', grid: {depth: [2, 4], norm: [batch, none]}, seeds: 2, batch: 16}"


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "sweep.yaml"
    path.write_text(FILE, encoding="utf-8")
    return str(path)


@pytest.fixture
def store(tmp_path: Path) -> str:
    return str(tmp_path / "store.sqlite")


def swept(file: str, store: str, *more: str) -> int:
    return main(["sweep", "run", file, "--store", store, "--jobs", "1", *more])


def test_a_sweep_is_run_and_the_second_time_found(file, store, capsys):
    assert swept(file, store) == 0
    assert "8 cells: 8 measured, 0 found" in " ".join(capsys.readouterr().out.split())
    assert swept(file, store) == 0
    assert "8 cells: 0 measured, 8 found" in " ".join(capsys.readouterr().out.split())


def test_status_says_what_is_done_and_what_failed(tmp_path, store, capsys):
    path = tmp_path / "failing.yaml"
    path.write_text("{design: 'mlp:width=8,norm=fractional', grid: {depth: [1, 2], alpha: [0.5, 7]}, batch: 8}")
    assert swept(str(path), store) == 1
    out = " ".join(capsys.readouterr().out.split())
    assert "4 cells: 2 measured, 0 found" in out and "2 failed with UsageError" in out
    assert main(["sweep", "status", store]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0].split() == ["design", "measure", "pending", "done", "failed"]
    assert lines[1].split() == ["mlp", "profile", "0", "2", "2"]
    assert lines[2].startswith("2× UsageError: ")
    assert lines[-1].startswith("4 cells: 0 pending, 2 done, 2 failed; ")
    assert swept(str(path), store, "--retry-failed") == 1
    with Store(store) as opened:
        assert [row["attempts"] for row in opened.cells()] == [1, 2, 1, 2]


def test_a_table_is_exported(file, store, tmp_path, capsys):
    swept(file, store)
    capsys.readouterr()
    assert main(["sweep", "export", store, str(tmp_path / "out.csv"), "--rows", "layers"]) == 0
    assert capsys.readouterr().out.startswith("Written: ")
    assert pd.read_csv(tmp_path / "out.csv")["depth"].value_counts().to_dict() == {2: 4 * 3, 4: 4 * 5}


@pytest.mark.parametrize(
    ("kind", "more", "shown"),
    [
        ("rates", ["--metric", "trainable"], "norm batch"),
        ("phase", ["--x", "norm", "--y", "depth"], "heatmap"),
        ("scaling", ["--x", "depth"], "slope"),
    ],
)
def test_a_figure_is_drawn(file, store, tmp_path, kind, more, shown):
    swept(file, store)
    page = tmp_path / "page.html"
    assert main(["sweep", "plot", store, "--kind", kind, "-o", str(page), *more]) == 0
    assert shown in page.read_text(encoding="utf-8")


def test_shards_are_merged(file, tmp_path, capsys):
    parts = [str(tmp_path / "one"), str(tmp_path / "two")]
    for number, part in enumerate(parts, 1):
        assert swept(file, part, "--shard", f"{number}/2") == 0
    capsys.readouterr()
    assert main(["sweep", "merge", *parts, "--store", str(tmp_path / "whole")]) == 0
    assert "8 cells: 0 pending, 8 done, 0 failed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "missing.yaml", "--store", "new"], "Cannot read missing.yaml"),
        (["run", "bad.yaml", "--store", "new"], "no option 'dept' (did you mean 'depth'?)"),
        (["run", "broken.yaml", "--store", "new"], "no valid YAML"),
        (["run", "good.yaml", "--store", "good.yaml"], "good.yaml is no store of a sweep"),
        (["run", "good.yaml", "--store", "nowhere/new"], "the folder nowhere does not exist"),
        (["run", "good.yaml", "--store", "new", "--engine", "slurm"], "engine must be one of local, ray"),
        (["run", "good.yaml", "--store", "new", "--address", "auto"], "engine ray"),
        (["run", "good.yaml", "--store", "new", "--jobs", "0"], "jobs must be a whole number from 1"),
        (["run", "good.yaml", "--store", "new", "--shard", "0/3"], "such as 3/64; got '0/3'"),
        (["run", "good.yaml", "--store", "new", "--shard", "two"], "such as 3/64; got 'two'"),
        (["run", "good.yaml"], "--store"),
        (["status", "new"], "There is no store new"),
        (["status", "good.yaml"], "good.yaml is no store of a sweep"),
        (["export", "new", "out.csv"], "There is no store new"),
        (["plot", "new", "-o", "nowhere/page.html"], "the folder nowhere does not exist"),
        (["merge", "new", "--store", "whole"], "There is no store new"),
    ],
)
def test_a_wrong_call_is_one_sentence_status_2_and_leaves_nothing(tmp_path, monkeypatch, capsys, words, said):
    monkeypatch.chdir(tmp_path)
    files = {"good.yaml": FILE, "bad.yaml": "{design: mlp, grid: {dept: [1]}}", "broken.yaml": "{design: mlp"}
    for name, text in files.items():
        Path(name).write_text(text, encoding="utf-8")
    assert main(["sweep", *words]) == 2
    out, err = capsys.readouterr()
    assert out == "" and said in err and len(err.splitlines()) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(files)
    assert Path("good.yaml").read_text(encoding="utf-8") == FILE


def test_ray_that_is_not_installed_is_named_with_its_extra(file, store, monkeypatch, capsys):
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    assert main(["sweep", "run", file, "--store", store, "--engine", "ray"]) == 2
    assert "leadline[ray]" in capsys.readouterr().err and not Path(store).exists()


def test_ctrl_c_is_130_and_the_store_goes_on(file, store, monkeypatch, capsys):
    from leadline.studies.sweeps import measuring

    whole, calls = measuring.measure, []

    def interrupted(cell):
        calls.append(cell)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return whole(cell)

    with monkeypatch.context() as patched:
        patched.setattr(measuring, "measure", interrupted)
        assert swept(file, store) == 130
    with Store(store) as opened:
        assert opened.counts() == {"pending": 5, "done": 3, "failed": 0}
    capsys.readouterr()
    assert swept(file, store) == 0
    assert "8 cells: 5 measured, 3 found" in " ".join(capsys.readouterr().out.split())
