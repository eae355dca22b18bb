"""`leadline simulate`, called in this process."""

import json
from pathlib import Path

import pandas as pd
import pytest

from leadline.cli import main
from leadline.simulate import Simulation

SMALL = ["simulate", "--width", "64", "--depth", "40", "--batch", "8", "--draws", "6"]


def test_every_quantity_has_a_row_and_theory_stands_beside_it(capsys: pytest.CaptureFixture[str]):
    assert main([*SMALL, "--weights", "gaussian"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    row = next(line for line in lines if line.startswith("orthogonality_gap"))
    later, level = float(row.split()[2]), float(row.split()[-2])
    assert later == pytest.approx(level, rel=0.15)


def test_gradients_grow_at_the_rate_that_is_said(tmp_path: Path):
    path = tmp_path / "simulation.json"
    assert main([*SMALL, "--activation", "relu", "--centred", "--batch", "32", "--json", str(path)]) == 0
    found = Simulation.load(path)
    expected = {one.quantity: one.value for one in found.expected}
    measured = found.rate("log_grad_norm", start=5, stop=35)
    assert expected["log_grad_norm"] == pytest.approx(measured.estimate, rel=0.12)


def test_centred_samples_are_one_fewer_for_the_rank_and_have_no_law_of_their_angles(tmp_path: Path):
    path = tmp_path / "simulation.json"
    assert main([*SMALL, "--weights", "gaussian", "--centred", "--json", str(path)]) == 0
    found = Simulation.load(path)
    (expected,) = found.expected
    assert expected.quantity == "participation_ratio"
    assert found.array("participation_ratio")[:, 20:].mean() == pytest.approx(expected.value, rel=0.1)


def test_where_no_law_speaks_none_is_said(tmp_path: Path):
    path = tmp_path / "simulation.json"
    assert main([*SMALL, "--norm", "layer", "--activation", "tanh", "--json", str(path)]) == 0
    assert Simulation.load(path).expected == ()


def test_orthogonal_square_batches_lose_their_gap_at_the_sharp_rate(tmp_path: Path):
    path = tmp_path / "simulation.json"
    square = ["simulate", "--width", "32", "--depth", "300", "--batch", "32", "--draws", "10", "--forward-only"]
    assert main([*square, "--json", str(path)]) == 0
    found = Simulation.load(path)
    (rate,) = [one.value for one in found.expected if one.quantity == "isometry_gap"]
    assert found.rate("isometry_gap", start=100).estimate == pytest.approx(rate, rel=0.1)
    assert not any("grad" in name for name in found.values)


def test_a_width_may_be_written_with_an_exponent(capsys: pytest.CaptureFixture[str]):
    assert main(["simulate", "--width", "1e4", "--depth", "3", "--batch", "2", "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["design"]["width"] == 10_000


def test_the_table_and_the_page_are_written_and_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    table, page = tmp_path / "layers.parquet", tmp_path / "page.html"
    assert main([*SMALL, "--parquet", str(table), "--html", str(page)]) == 0
    assert capsys.readouterr().out.splitlines()[-2:] == [f"Written: {page}", f"Written: {table}"]
    frame = pd.read_parquet(table)
    assert len(frame) == 6 * 41
    assert {"draw", "layer", "isometry_gap", "log_grad_norm"} <= set(frame.columns)
    text = page.read_text(encoding="utf-8")
    assert "40 layers of width 64" in text and "plot-backward" in text


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--width", "5x"], "whole numbers from 1"),
        (["--width", "0"], "whole numbers from 1"),
        (["--depth", "1.5"], "whole numbers from 1"),
        (["--activation", "rleu"], "did you mean 'relu'"),
        (["--norm", "bathc"], "did you mean 'batch'"),
        (["--dtype", "float16"], "--dtype must be one of float32, float64"),
        (["--alpha", "2"], "alpha must lie in [0, 1]"),
        (["--parquet", "/nowhere/x.parquet"], "the folder /nowhere does not exist"),
        (["--wdith", "3"], "--width"),
    ],
)
def test_wrong_calls_get_one_sentence(words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]):
    assert main(["simulate", *words]) == 2
    out, err = capsys.readouterr()
    assert out == "" and sentence in err and len(err.splitlines()) == 1
