"""`leadline check`, called in this process: statuses, files, and one sentence for every wrong call."""

import json
import math
import os
import signal
import threading
from pathlib import Path

import pytest

from leadline._core.randomness import seeded
from leadline.cli import main

MODELS = Path(__file__).with_name("models.py")


def no_literals(text: str):
    def refuse(literal: str):
        raise AssertionError(f"{literal} is not JSON")

    return json.loads(text, parse_constant=refuse)


def test_a_healthy_network_gives_0_and_says_so_last(capsys: pytest.CaptureFixture[str]):
    assert main(["check", f"{MODELS}:healthy"]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[-1].startswith("✓ Healthy")
    assert err == ""


def test_an_error_level_finding_gives_1_and_is_named_last(capsys: pytest.CaptureFixture[str]):
    assert main(["check", f"{MODELS}:nan_weight"]) == 1
    last = capsys.readouterr().out.splitlines()[-1]
    assert "nonfinite at 0" in last


def test_every_line_fits_eighty_columns(capsys: pytest.CaptureFixture[str]):
    main(["check", f"{MODELS}:sick"])
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80


def test_json_to_stdout_is_all_of_stdout_and_has_the_promised_keys(capsys: pytest.CaptureFixture[str]):
    main(["check", f"{MODELS}:healthy", "--json", "-"])
    data = no_literals(capsys.readouterr().out)
    assert data["schema"] == 1
    assert [layer["name"] for layer in data["profile"]["layers"]] == ["0", "2"]
    assert {"trainable", "depth_limit", "findings", "rates", "predictions", "trainable_rule"} <= set(data["diagnosis"])
    assert {"estimate", "low", "high", "mechanism"} == set(data["diagnosis"]["depth_limit"])


def test_what_a_model_prints_stays_out_of_the_data(capsys: pytest.CaptureFixture[str]):
    main(["check", f"{MODELS}:talks", "--json", "-"])
    out, err = capsys.readouterr()
    assert json.loads(out)["schema"] == 1
    assert "talking" in err


def test_json_of_a_network_with_nan_is_strict(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["check", f"{MODELS}:nan_weight", "--json", str(tmp_path / "out.json")]) == 1
    data = no_literals((tmp_path / "out.json").read_text())
    assert "nonfinite" in [finding["code"] for finding in data["diagnosis"]["findings"]]
    assert data["profile"]["loss"] == "nan"


def test_the_report_is_written_and_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    main(["check", f"{MODELS}:healthy", "--html", str(tmp_path / "report.html")])
    page = (tmp_path / "report.html").read_text()
    assert page.startswith("<!doctype html>")
    assert "models.py:healthy on its own batch, seed 0." in page
    assert capsys.readouterr().out.splitlines()[-1] == f"Written: {tmp_path / 'report.html'}"


def test_only_data_goes_to_stdout(capsys: pytest.CaptureFixture[str]):
    assert main(["check", f"{MODELS}:healthy", "--html", "-"]) == 2
    assert "Only --json writes to stdout" in capsys.readouterr().err


def measured(capsys: pytest.CaptureFixture[str], *arguments: str):
    main(["check", "mlp:depth=3,width=16", "--batch", "16", "--json", "-", *arguments])
    return json.loads(capsys.readouterr().out)


def test_the_same_seed_gives_the_same_numbers(capsys: pytest.CaptureFixture[str]):
    assert measured(capsys, "--seed", "7") == measured(capsys, "--seed", "7")


@pytest.mark.parametrize("more", [(), ("--learning-rates",)])
def test_the_same_seed_gives_the_same_dropout_wherever_the_generator_stands(
    more: tuple[str, ...], capsys: pytest.CaptureFixture[str]
):
    found = []
    for start in (1, 2):
        with seeded(start):
            main(["check", f"{MODELS}:drops", "--json", "-", *more])
        data = json.loads(capsys.readouterr().out)
        found.append(data["learning_rates"] if more else data)
    assert found[0] == found[1]


def test_another_seed_gives_other_weights(capsys: pytest.CaptureFixture[str]):
    first, second = (measured(capsys, "--seed", s)["profile"]["layers"][0]["metrics"]["weight_norm"] for s in "01")
    assert not math.isclose(first, second, rel_tol=1e-6)


def test_draws_put_the_interval_over_draws(capsys: pytest.CaptureFixture[str]):
    profile = measured(capsys, "--draws", "3")["profile"]
    assert (len(profile["draws"]), profile["draws_over"]) == (2, "draws")


def test_weights_are_shown_and_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    main(["check", f"{MODELS}:healthy", "--weights", "--json", str(tmp_path / "out.json")])
    assert "16×8" in capsys.readouterr().out
    weights = json.loads((tmp_path / "out.json").read_text())["weights"]
    assert {name: spectrum["numerical_rank"] for name, spectrum in weights.items()} == {"0.weight": 8, "2.weight": 3}


def test_widths_add_the_coordinate_check_and_its_verdict(capsys: pytest.CaptureFixture[str]):
    main(["check", "mlp:depth=2", "--batch", "16", "--widths", "16,64,256"])
    assert "Coordinates: grows with width." in capsys.readouterr().out


WRONG = {
    "no such file": (["nowhere.py:build"], "nowhere.py"),
    "no such name in the file": ([f"{MODELS}:helthy"], "healthy"),
    "no such module": (["no_such_package.models:build"], "no_such_package"),
    "no such design": (["mpl:depth=3"], "mlp"),
    "wrong option of a design": (["mlp:dept=3"], "depth"),
    "wrong value of a design's option": (["mlp:activation=rleu"], "relu"),
    "wrong type of a design's option": (["mlp:depth=deep"], "depth"),
    "factory that raises": ([f"{MODELS}:raises"], "KeyError"),
    "factory that gives no module": ([f"{MODELS}:gives_nothing"], "NoneType"),
    "model that leaves": ([f"{MODELS}:leaves"], "The model raised SystemExit: 0"),
    "shapes that do not fit": ([f"{MODELS}:other_width"], "32, 16"),
    "no parameters": ([f"{MODELS}:without_parameters"], "no parameters"),
    "no gradient": ([f"{MODELS}:without_gradient"], "gradient"),
    "empty batch": ([f"{MODELS}:empty_batch"], "empty"),
    "targets that do not fit": ([f"{MODELS}:too_few_targets"], "31"),
    "batch of none": (["mlp", "--batch", "0"], "batch"),
    "unknown data": (["mlp", "--data", "digit"], "digits"),
    "unknown effort": (["mlp", "--effort", "ful"], "full"),
    "unknown dtype": (["mlp", "--dtype", "flaot32"], "float32"),
    "unknown device": (["mlp", "--device", "cudda"], "cudda"),
    "unknown layer": (["mlp:depth=2", "--layers", "blcks.*"], "blcks"),
    "shape that is none": ([f"{MODELS}:healthy", "--input-shape", "3x32"], "3,32,32"),
    "widths that are none": (["mlp", "--widths", "64,wide"], "64,wide"),
    "widths and depths": (["mlp", "--widths", "8,16", "--depths", "2,4"], "both"),
    "unknown option": (["mlp", "--bacth", "3"], "--batch"),
    "no target": ([], "TARGET"),
    "folder that does not exist": (["mlp", "--html", "nowhere/report.html"], "nowhere"),
    "one path for data and report": (["mlp", "--json", "out", "--html", "out"], "both"),
    "path that is a folder": (["mlp", "--json", "."], "folder"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_call_gives_2_and_one_sentence(case: str, tmp_path, monkeypatch, capsys: pytest.CaptureFixture[str]):
    arguments, hint = WRONG[case]
    monkeypatch.chdir(tmp_path)
    assert main(["check", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert hint in err
    assert "Traceback" not in err
    assert err.startswith("error: ")
    assert len(err.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_the_module_that_refuses_is_named_with_what_it_got(capsys: pytest.CaptureFixture[str]):
    main(["check", f"{MODELS}:other_width"])
    assert "2 (Linear) refused its input of shape (32, 16)" in capsys.readouterr().err


def test_a_missing_extra_gives_2_and_names_it(monkeypatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setitem(__import__("sys").modules, "timm", None)
    assert main(["check", "timm:resnet18"]) == 2
    assert "leadline[vision]" in capsys.readouterr().err


def test_a_path_is_checked_before_the_model_is_built(tmp_path, monkeypatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "noisy.py").write_text("def build():\n    open('built', 'w').close()\n")
    assert main(["check", "noisy.py:build", "--html", "nowhere/report.html"]) == 2
    assert not (tmp_path / "built").exists()


def test_an_error_of_our_own_gives_3_and_says_how_to_report_it(monkeypatch, capsys: pytest.CaptureFixture[str]):
    def broken(*_, **__):
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr("leadline.doctor.diagnose", broken)
    assert main(["check", f"{MODELS}:healthy"]) == 3
    err = capsys.readouterr().err
    assert "bug of leadline" in err
    assert "ZeroDivisionError" in err
    assert "--traceback" in err
    assert "Traceback (most" not in err


def test_an_interrupt_that_a_library_turns_into_another_error_gives_130(monkeypatch, capsys):
    def swallowing(*_, **__):
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            raise RecursionError from None

    monkeypatch.setattr("leadline.doctor.diagnose", swallowing)
    before = signal.getsignal(signal.SIGINT)
    assert main(["check", f"{MODELS}:healthy"]) == 130
    assert signal.getsignal(signal.SIGINT) is before
    assert capsys.readouterr().err.startswith("leadline: Interrupted")


def test_data_may_go_to_a_pipe(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    received: list[str] = []
    reader = threading.Thread(target=lambda: received.append(pipe.read_text()))
    reader.start()
    main(["check", f"{MODELS}:healthy", "--json", str(pipe)])
    reader.join(timeout=10)
    assert json.loads(received[0])["schema"] == 1
    assert pipe.is_fifo()


def test_traceback_shows_where_an_error_arose(capsys: pytest.CaptureFixture[str]):
    assert main(["check", f"{MODELS}:raises", "--traceback"]) == 2
    assert 'raise KeyError("width")' in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["check", "--help"]])
def test_help_and_version_give_0(arguments: list[str], capsys: pytest.CaptureFixture[str]):
    assert main(arguments) == 0
    assert "leadline" in capsys.readouterr().out


def test_an_unknown_command_is_refused_with_the_nearest(capsys: pytest.CaptureFixture[str]):
    assert main(["chek", "mlp"]) == 2
    assert "'check'" in capsys.readouterr().err


@pytest.mark.parametrize("command", [[], ["check"], ["train"], ["reproduce"], ["sweep", "run"]])
def test_an_option_that_takes_no_value_shows_none(command: list[str], capsys: pytest.CaptureFixture[str]):
    assert main([*command, "--help"]) == 0
    assert "<bool>" not in capsys.readouterr().out


def test_a_paragraph_of_the_help_wraps_as_a_whole(capsys: pytest.CaptureFixture[str], monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    main(["reproduce", "--help"])
    assert "that a run that was stopped goes on" in capsys.readouterr().out


def test_a_call_without_a_command_shows_the_help_and_gives_2(capsys: pytest.CaptureFixture[str]):
    assert main([]) == 2
    assert "check" in capsys.readouterr().out


def test_what_if_ranks_changes_of_a_design(capsys: pytest.CaptureFixture[str]):
    asked = ["check", "mlp:depth=20,width=16,norm=rms", "--batch", "16", "--what-if", "--depths", "5,20"]
    main([*asked, "--json", "-"])
    found = no_literals(capsys.readouterr().out)["what_if"]
    assert found["of"] == "mlp:depth=20,width=16,norm=rms" and found["depths"] == [5, 20]
    assert found["now"]["changes"] == {}
    first = found["alternatives"][0]
    assert {"5", "20"} == set(first["predicted"]) == set(first["measured"])
    assert first["limit"]["estimate"] > found["now"]["limit"]["estimate"]


def test_what_if_keeps_the_data_and_the_dtype_that_were_asked_for(capsys: pytest.CaptureFixture[str]):
    shape = ["--data", "gaussian", "--input-shape", "3,4,4", "--batch", "8", "--dtype", "bfloat16"]
    asked = ["check", "mlp:depth=6,width=8,norm=batch", "--what-if", "--depths", "6", *shape]
    main([*asked, "--json", "-"])
    found = no_literals(capsys.readouterr().out)["what_if"]
    assert {"batch": 32} in [each["changes"] for each in found["alternatives"]]


def test_what_if_of_a_users_model_is_asked_of_a_perceptron_of_its_parts(capsys: pytest.CaptureFixture[str]):
    main(["check", f"{MODELS}:sick", "--what-if", "--depths", "5"])
    out = capsys.readouterr().out
    assert "a perceptron of the same parts" in " ".join(out.split())
    assert "as it is" in out and max(map(len, out.splitlines())) <= 80


def test_learning_rates_are_told_where_there_is_a_loss(capsys: pytest.CaptureFixture[str]):
    main(["check", "mlp:depth=3,width=16", "--learning-rates", "--json", "-"])
    steps = no_literals(capsys.readouterr().out)["learning_rates"]
    assert [each["direction"] for each in steps] == ["gradient", "sign"]
    assert all(each["step"] > 0 for each in steps)


def test_what_was_asked_for_is_on_the_page_too(tmp_path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "report.html"
    asked = ["--what-if", "--depths", "4", "--learning-rates"]
    main(["check", "mlp:depth=4,width=8", "--batch", "8", *asked, "--html", str(path)])
    text = path.read_text(encoding="utf-8")
    assert "as it is" in text and "plain descent" in text
    assert text.index('id="findings"') < text.index('id="what-if"') < text.index('id="learning-rates"')


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["gpt:depth=1", "--what-if"], "gpt has no option that could be changed"),
        (["mlp", "--what-if", "--depths", "0,5"], "--depths"),
        ([f"{MODELS}:unlabelled", "--learning-rates"], "--learning-rates needs a loss"),
    ],
)
def test_what_cannot_be_asked_is_refused_in_a_sentence(arguments, sentence, capsys: pytest.CaptureFixture[str]):
    assert main(["check", *arguments]) == 2
    out, err = capsys.readouterr()
    assert sentence in err and err.count("\n") == 1 and not out
