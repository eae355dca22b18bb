"""`leadline train`, called in this process."""

import json
from pathlib import Path

import pytest
from safetensors.torch import load_file

from leadline.cli import main


def test_it_trains_and_tests_on_digits(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out, weights, log = tmp_path / "run.json", tmp_path / "w.safetensors", tmp_path / "log.csv"
    words = ["mlp:depth=3,norm=batch", "--epochs", "5", "--json", out, "--save", weights, "--log", log]
    assert main(["train", *map(str, words)]) == 0
    text = capsys.readouterr().out
    *lines, first, second, third = text.splitlines()
    assert max(map(len, lines)) <= 80
    assert [first, second, third] == [f"Written: {path}" for path in (log, weights, out)]
    assert "1437 digits, batches of 64, seed 0" in text and "360 test samples" in text and "recalibrated" in text
    data = json.loads(out.read_text())
    assert data["schema"] == 1 and len(data["run"]["losses"]) == 110 and not data["diverged"]
    assert data["test"]["accuracy"] > 0.85 and data["train"]["samples"] == 1437
    assert "blocks.0.linear.weight" in load_file(weights)
    assert len(log.read_text().splitlines()) == 1 + 3 * 110


def test_the_same_call_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    words = ["train", "mlp:depth=2", "--checkpoint", str(tmp_path / "run"), "--json", "-"]
    assert main([*words, "--steps", "4"]) == 0
    first = json.loads(capsys.readouterr().out)["run"]["losses"]
    assert main([*words, "--steps", "7"]) == 0
    assert json.loads(capsys.readouterr().out)["run"]["losses"][:4] == first
    assert main(["train", "mlp:depth=3", "--checkpoint", str(tmp_path / "run"), "--steps", "7"]) == 2
    assert "target 'mlp:depth=2 on" in capsys.readouterr().err


def test_a_run_that_diverges_gives_1(capsys: pytest.CaptureFixture[str]):
    assert main(["train", "mlp:depth=3", "--optimiser", "sgd", "--lr", "1e20", "--steps", "9"]) == 1
    assert "Diverged: the loss of step" in capsys.readouterr().out


def test_a_batch_of_no_data_set_is_trained_on_as_a_whole(capsys: pytest.CaptureFixture[str]):
    words = ["mlp:depth=2", "--data", "gaussian", "--batch", "16", "--steps", "3", "--watch", "1"]
    assert main(["train", *words]) == 0
    text = capsys.readouterr().out
    assert "16 Gaussian samples" in text and "the same at every step" in text and "test" not in text


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--steps", "3", "--epochs", "1"], "give one of them"),
        (["--optimiser", "adma"], "did you mean 'adam'"),
        (["--batch", "1500"], "at most 1437 samples"),
        (["--momentum", "0.9"], "optimiser='sgd'"),
        (["--log", "losses.txt"], ".csv or .jsonl"),
    ],
)
def test_wrong_calls_get_one_sentence(words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]):
    assert main(["train", "mlp:depth=2", *words]) == 2
    out, err = capsys.readouterr()
    assert out == "" and sentence in err
