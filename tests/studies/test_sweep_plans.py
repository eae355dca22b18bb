"""Plans, cells, keys, and the file that a sweep is written in."""

import json
import math
import random
from collections import Counter
from pathlib import Path

import pytest

from leadline._core.errors import UsageError
from leadline.studies.sweeps import Cell, Range, Sweep, Training, as_sweep, read_sweep

GRID = {"depth": (2, 4), "activation": ("relu", "tanh"), "norm": ("batch", "none")}


def keys(**plan) -> list[str]:
    return [cell.key for cell in Sweep(design="mlp", **plan).cells()]


def test_a_key_stays_what_it_is():
    cell = Cell(
        design="mlp",
        options={"depth": 3, "gain": 0.1, "norm": "batch", "alpha": None},
        seed=7,
        batch=16,
        training=Training(steps=10, learning_rate=1e-3, optimiser="adam"),
    )
    assert cell.text == (
        '{"batch":16,"data":null,"design":"mlp","options":{"alpha":null,"depth":3,"gain":0.1,"norm":"batch"},'
        '"schema":1,"seed":7,"training":{"learning_rate":0.001,"optimiser":"adam","steps":10}}'
    )
    assert cell.key == "98914a80e70dfce3c60082f48b3e9ef0d8a5238272691261fe86492e196ee977"


def test_the_order_of_options_does_not_matter():
    shuffled = dict(random.sample(list(GRID.items()), len(GRID)))
    assert sorted(keys(grid=GRID, seeds=(0, 1))) == sorted(keys(grid=shuffled, seeds=(1, 0)))


def test_a_default_that_is_spelled_out_is_the_same_cell():
    (plain,) = keys()
    assert keys(grid={"depth": (10,), "norm": ("none",)}) == [plain]
    assert keys(grid={"depth": ("10",), "gain": (1,), "skip": (-0.0,)}) == [plain]
    assert [cell.key for cell in Sweep(design="mlp:width=128").cells()] == [plain]


def test_whatever_decides_a_result_changes_the_key():
    training = {"measure": "train", "learning_rates": (1e-3,)}
    variants = [
        keys(),
        keys(seeds=(1,)),
        keys(batch=32),
        keys(data="gaussian"),
        keys(grid={"depth": (11,)}),
        keys(grid={"gain": (1.0000001,)}),
        keys(**training),
        keys(**training, steps=151),
        keys(**training, optimiser="sgd"),
        keys(measure="train", learning_rates=(1e-2,)),
        [cell.key for cell in Sweep(design="resnet20").cells()],
    ]
    assert len({key for (key,) in variants}) == len(variants)


def test_a_cell_comes_back_out_of_its_text():
    plan = Sweep(design="mlp", measure="train", grid=GRID, seeds=(0, 3), steps=5)
    for cell in plan.cells():
        again = Cell.of(cell.text)
        assert again == cell and again.key == cell.key


def test_every_combination_is_there_once():
    plan = Sweep(design="mlp", measure="train", grid=GRID, seeds=(0, 1, 2), learning_rates=(0.1, 0.2))
    cells = list(plan.cells())
    assert len(cells) == len(plan) == 2**3 * 3 * 2
    assert len({cell.key for cell in cells}) == len(cells)
    assert set(Counter(cell.options["depth"] for cell in cells).values()) == {len(cells) // 2}


def test_draws_fill_their_range_evenly_in_the_logarithm():
    plan = Sweep(design="mlp", random={"gain": Range(low=0.01, high=100.0, log=True)}, draws=2000)
    logs = [math.log10(cell.options["gain"]) for cell in plan.cells()]
    assert -2 <= min(logs) < -1.9 and 1.9 < max(logs) <= 2
    # Standard error of the share .011; of a draw that is even in the value itself the share is .01.
    assert sum(log < 0 for log in logs) / len(logs) == pytest.approx(0.5, abs=0.06)


def test_draws_of_whole_numbers_and_of_lists_are_of_their_kind():
    plan = Sweep(design="mlp", random={"depth": Range(low=1, high=9), "norm": ("batch", "layer")}, draws=300)
    cells = list(plan.cells())
    assert {cell.options["depth"] for cell in cells} == set(range(1, 10))
    assert {cell.options["norm"] for cell in cells} == {"batch", "layer"}


def test_more_draws_and_more_options_keep_the_draws_that_are_there():
    gain = Range(low=0.5, high=2.0)
    few = Sweep(design="mlp", random={"gain": gain}, draws=3)
    more = Sweep(design="mlp", random={"skip": gain, "gain": gain}, draws=5)
    assert [c.options["gain"] for c in more.cells()][:3] == [c.options["gain"] for c in few.cells()]
    other = Sweep(design="mlp", random={"gain": gain}, draws=3, random_seed=1)
    assert [c.options["gain"] for c in other.cells()] != [c.options["gain"] for c in few.cells()]


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        ({"design": "mlp", "grid": {"dept": (1,)}}, "no option 'dept' .did you mean 'depth'"),
        ({"design": "mpl"}, "did you mean 'mlp'"),
        ({"design": "hf:gpt2"}, "built-in design"),
        ({"design": "mlp", "grid": {"norm": ("batch", "bach")}}, "norm must be one of .*got 'bach'"),
        ({"design": "mlp", "grid": {"depth": (1.5,)}}, "depth must be a whole number; got 1.5"),
        ({"design": "mlp", "grid": {"depth": ()}}, "depth in the grid needs at least one value"),
        ({"design": "mlp", "grid": {"depth": (3, "3")}}, "depth in the grid has a value twice"),
        ({"design": "mlp:depth=3", "grid": {"depth": (3,)}}, "depth is given twice"),
        ({"design": "mlp", "measure": "look"}, "measure must be one of profile, train"),
        ({"design": "mlp", "random": {"gain": Range(low=1, high=2)}}, "draws from 1"),
        ({"design": "mlp", "draws": 4}, "at least one option"),
        ({"design": "mlp", "random": {"norm": Range(low=1, high=2)}, "draws": 2}, "norm is no number"),
        ({"design": "mlp", "seeds": ()}, "seeds must be"),
        ({"design": "mlp", "seeds": (-1,)}, "seeds must be"),
        ({"design": "mlp", "batch": 0}, "batch must be"),
        ({"design": "mlp", "measure": "train", "learning_rates": (0.0,)}, "learning_rates must be positive"),
        ({"design": "mlp", "measure": "train", "steps": 0}, "steps must be"),
        ({"design": "mlp", "optimiser": "lion"}, "optimiser must be one of"),
    ],
)
def test_a_wrong_plan_is_refused_in_a_sentence(plan, said):
    with pytest.raises(UsageError, match=said):
        Sweep(**plan)


@pytest.mark.parametrize(("low", "high", "log"), [(2.0, 1.0, False), (0.0, 1.0, True), (1.0, math.inf, False)])
def test_a_range_that_is_none_is_refused(low, high, log):
    with pytest.raises(UsageError, match="range"):
        Range(low=low, high=high, log=log)


def written(folder: Path, text: str) -> Path:
    path = folder / "sweep.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_says_what_python_says(tmp_path: Path):
    path = written(
        tmp_path,
        """
        design: mlp:width=16
        measure: train
        grid: {depth: [2, 4], activation: [relu, tanh], norm: none}
        random: {draws: 3, gain: {low: 0.5, high: 2, log: true}, skip: [0.0, 1.0]}
        seeds: 5
        steps: 20
        learning_rates: [1e-3, 0.01]
        optimiser: sgd
        batch: 16
        """,
    )
    assert read_sweep(path) == Sweep(
        design="mlp:width=16",
        measure="train",
        grid={"depth": (2, 4), "activation": ("relu", "tanh"), "norm": ("none",)},
        random={"gain": Range(low=0.5, high=2.0, log=True), "skip": (0.0, 1.0)},
        draws=3,
        seeds=(0, 1, 2, 3, 4),
        steps=20,
        learning_rates=(1e-3, 0.01),
        optimiser="sgd",
        batch=16,
    )


def test_json_is_yaml(tmp_path: Path):
    plan = {"design": "mlp", "grid": {"depth": [1, 2]}, "seeds": [4, 6]}
    assert read_sweep(written(tmp_path, json.dumps(plan))) == as_sweep(plan)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{design: mlp", "holds no valid YAML"),
        ("design: mlp\ndesign: vit", "'design' is given twice"),
        ("grid: {depth: [1], depth: [2]}\ndesign: mlp", "'depth' is given twice"),
        ("!!python/object/apply:os.system ['true']", "holds no valid YAML"),
        ("", "written as keys with values"),
        ("- mlp", "written as keys with values"),
        ("{design: mlp, gird: {}}", "no key 'gird' .did you mean 'grid'"),
        ("{grid: {depth: [1]}}", "needs a design"),
        ("{design: mlp, steps: 10}", "steps is about training"),
        ("{design: mlp, seeds: 2.5}", "seeds.* must be a whole number; got 2.5"),
        ("{design: mlp, seeds: 0}", "one at least"),
        ("{design: mlp, grid: [depth]}", "grid is written as keys"),
        ("{design: mlp, grid: {depth: [[1]]}}", "depth takes a list of numbers or words"),
        ("{design: mlp, random: {gain: [1, 2]}}", "random needs draws"),
        ("{design: mlp, random: {draws: 2, gain: {low: 1}}}", "range of gain is written"),
        ("{design: mlp, random: {draws: 2, gain: {low: 1, high: two}}}", "high of gain must be a finite number"),
        ("{design: 3}", "design must be a word; got 3"),
    ],
)
def test_a_wrong_file_is_refused_with_its_name(tmp_path: Path, text, said):
    path = written(tmp_path, text)
    with pytest.raises(UsageError, match=said) as caught:
        read_sweep(path)
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


def test_a_missing_file_and_one_that_is_no_text_are_refused(tmp_path: Path):
    with pytest.raises(UsageError, match="Cannot read .*missing.yaml: No such file"):
        read_sweep(tmp_path / "missing.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00\xd8")
    with pytest.raises(UsageError, match="no text in UTF-8"):
        read_sweep(tmp_path / "binary.yaml")
