"""Running a sweep in this process: right numbers, resumed where it stopped, failures kept."""

import math
from pathlib import Path

import pandas as pd
import pytest
import torch

import leadline
from leadline._core.errors import UsageError
from leadline._core.randomness import seeded
from leadline.studies.sweeps import Cell, Store, Sweep, export, frame, merge, run, sweep
from leadline.studies.sweeps.measuring import measure
from leadline.targets import designs, load
from leadline.train import fit, task

PLAN = Sweep(design="mlp:width=16", grid={"depth": (2, 3), "norm": ("batch", "none")}, seeds=(0, 1), batch=16)
OF_THE_RUN = ["seconds", "versions", "attempts"]


def table(store: Path, rows: str = "cells") -> pd.DataFrame:
    with Store(store) as opened:
        return frame(opened, rows).drop(columns=OF_THE_RUN, errors="ignore")


def test_a_profile_cell_has_the_numbers_of_a_profile(tmp_path: Path):
    plan = Sweep(design="mlp:width=16", grid={"depth": (6,)}, seeds=(5,), batch=16)
    run(plan, tmp_path / "store", jobs=1)
    target = load("mlp:width=16,depth=6", batch=16, seed=5)
    profile = leadline.profile(target.model, target.inputs, target.targets, seed=5)
    (row,) = table(tmp_path / "store").to_dict("records")
    assert row["log10_grad_norm_rate"] == profile.rate("grad_norm").estimate
    assert row["log10_rms_rate"] == profile.rate("rms").estimate
    assert row["participation_ratio"] == profile.chain[-1].participation_ratio
    assert row["mean_square_cosine"] == profile.chain[-1].mean_square_cosine
    assert row["max_abs_log10_grad_norm"] == max(abs(math.log10(each.grad_norm)) for each in profile.chain)
    assert row["trainable"] == leadline.diagnose(profile).trainable
    layers = table(tmp_path / "store", "layers")
    assert layers["layer"].tolist() == [each.name for each in profile.layers]
    assert layers["grad_norm"].tolist() == [each.grad_norm for each in profile.layers]
    assert layers["in_chain"].sum() == len(profile.chain) == 6


def test_dropout_of_a_cell_comes_from_its_seed():
    cell = Cell(design="gpt", options={"depth": 1, "width": 16, "dropout": 0.5}, seed=3, batch=2)
    found = []
    for start in (1, 2):
        with seeded(start):
            found.append(measure(cell).summary)
    assert found[0] == found[1]


def test_a_train_cell_has_the_losses_of_fit(tmp_path: Path):
    plan = Sweep(design="mlp:width=16,depth=2", measure="train", steps=30, learning_rates=(1e-2, 1e4), seeds=(3,))
    run(plan, tmp_path / "store", jobs=1)
    cells, losses = table(tmp_path / "store"), table(tmp_path / "store", "losses")
    for rate, row in zip((1e-2, 1e4), cells.to_dict("records"), strict=True):
        target = load("mlp:width=16,depth=2", seed=3)
        assert target.pool is not None
        goal = task(*target.pool, drawn=True)
        expected = fit(target.model, goal.batches(seed=3), steps=30, learning_rate=rate, seed=3)
        assert losses[losses["learning_rate"] == rate]["loss"].tolist() == list(expected.losses)
        assert row["final_loss"] == expected.final and row["limit"] == goal.limit(expected.losses[:1])
        assert row["learnt"] == (expected.final < row["limit"]) and row["steps_taken"] == len(expected.losses)


@pytest.mark.parametrize("design", [each.name for each in designs()])
def test_every_built_in_design_can_be_swept(tmp_path: Path, design: str):
    if design in ("vit", "gpt"):
        pytest.importorskip("transformers")
    assert run(Sweep(design=design, batch=4), tmp_path / "store", jobs=1).done == 1
    (row,) = table(tmp_path / "store").to_dict("records")
    assert math.isfinite(row["log10_grad_norm_rate"]) and math.isfinite(row["loss"])


def test_the_threads_of_the_caller_are_put_back():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        measure(Cell(design="mlp", options={"depth": 1, "width": 4}, seed=0))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_an_interrupted_sweep_goes_on_where_it_was(tmp_path: Path):
    """Ctrl-C after every cell in turn: the rows are those of a run without any."""
    seen: list[int] = []

    def interrupt_after_one(done: int, total: int) -> None:
        seen.append(total)
        if done == 1:
            raise KeyboardInterrupt

    for number in range(len(PLAN)):
        with pytest.raises(KeyboardInterrupt):
            run(PLAN, tmp_path / "resumed", jobs=1, on_progress=interrupt_after_one)
        with Store(tmp_path / "resumed") as opened:
            assert opened.counts()["done"] == number + 1
    assert seen[::2] == list(range(len(PLAN), 0, -1))
    assert run(PLAN, tmp_path / "resumed", jobs=1).found == len(PLAN)
    run(PLAN, tmp_path / "whole", jobs=1, cells_per_task=3)
    for rows in ("cells", "layers"):
        pd.testing.assert_frame_equal(table(tmp_path / "resumed", rows), table(tmp_path / "whole", rows))


def test_a_larger_sweep_measures_only_what_is_new(tmp_path: Path):
    run(PLAN, tmp_path / "store", jobs=1)
    larger = Sweep(design="mlp:width=16", grid={"depth": (2, 3, 4), "norm": ("batch",)}, seeds=(0, 1, 2), batch=16)
    tally = run(larger, tmp_path / "store", jobs=1)
    assert (tally.cells, tally.found, tally.done) == (9, 4, 5)
    assert len(table(tmp_path / "store")) == len(PLAN) + 5


def test_what_fails_keeps_its_error_and_the_others_go_on(tmp_path: Path):
    plan = Sweep(design="mlp:width=16,depth=2", grid={"alpha": (0.5, 2.0), "norm": ("fractional",)}, batch=16)
    tally = run(plan, tmp_path / "store", jobs=1)
    assert (tally.done, tally.failed) == (1, 1)
    cells = table(tmp_path / "store").set_index("alpha")
    assert cells["status"].to_dict() == {0.5: "done", 2.0: "failed"}
    assert cells.loc[2.0, "error_type"] == "UsageError" and "2.0" in str(cells.loc[2.0, "error"])
    again = run(plan, tmp_path / "store", jobs=1)
    assert (again.found, again.done, again.failed) == (1, 0, 1)


def test_what_failed_is_tried_again_where_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with monkeypatch.context() as broken:
        broken.setattr("leadline.probe.profile", lambda *a, **k: 1 / 0)
        assert run(PLAN, tmp_path / "store", jobs=1).failed == len(PLAN)
    with Store(tmp_path / "store") as opened:
        assert opened.errors() == [("ZeroDivisionError", "division by zero", len(PLAN))]
    tally = run(PLAN, tmp_path / "store", jobs=1, retry_failed=True)
    assert (tally.done, tally.failed) == (len(PLAN), 0)
    with Store(tmp_path / "store") as opened:
        assert set(frame(opened)["attempts"]) == {2}


def test_networks_that_overflow_are_results_and_no_failures(tmp_path: Path):
    plan = Sweep(design="mlp:width=8,depth=60", grid={"gain": (1e3,)}, batch=8)
    assert run(plan, tmp_path / "store", jobs=1).done == 1
    (row,) = table(tmp_path / "store").to_dict("records")
    assert row["trainable"] == 0 and "nonfinite" in row["findings"]


def test_shards_are_the_sweep_once(tmp_path: Path):
    parts = [tmp_path / str(number) for number in (1, 2, 3)]
    tallies = [run(PLAN, part, jobs=1, shard=(number, 3)) for number, part in enumerate(parts, 1)]
    assert sum(tally.done for tally in tallies) == len(PLAN)
    merge(parts, tmp_path / "merged")
    run(PLAN, tmp_path / "whole", jobs=1)
    for rows, by in (("cells", ["key"]), ("layers", ["key", "position"])):
        merged, whole = (
            table(tmp_path / name, rows).sort_values(by, ignore_index=True) for name in ("merged", "whole")
        )
        pd.testing.assert_frame_equal(merged, whole)


def test_one_call_plans_runs_and_reads(tmp_path: Path):
    run(PLAN, tmp_path / "store", jobs=1)
    found = sweep("mlp:width=16", tmp_path / "store", grid={"depth": [3]}, seeds=[1, 2], batch=16, jobs=1)
    assert found["depth"].tolist() == [3, 3] and found["seed"].tolist() == [1, 2]
    assert found["norm"].unique().tolist() == ["none"]


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"engine": "slurm"}, "engine must be one of local, ray"),
        ({"address": "auto"}, "address is one of a Ray cluster"),
        ({"jobs": 0}, "jobs must be"),
        ({"cells_per_task": 0}, "cells_per_task must be"),
        ({"shard": (4, 3)}, "such as 3/64; got 4/3"),
    ],
)
def test_a_wrong_call_is_refused_before_a_store_is_made(tmp_path: Path, how, said):
    with pytest.raises(UsageError, match=said):
        run(PLAN, tmp_path / "store", **how)
    assert list(tmp_path.iterdir()) == []


def test_a_table_goes_to_csv_and_parquet_and_comes_back(tmp_path: Path):
    run(PLAN, tmp_path / "store", jobs=1)
    with Store(tmp_path / "store") as opened:
        csv = pd.read_csv(export(opened, tmp_path / "cells.csv"))
        assert csv["trainable"].tolist() == pytest.approx(frame(opened)["trainable"].tolist(), rel=1e-14)
        assert csv["norm"].tolist() == frame(opened)["norm"].tolist()
        layers = pd.read_csv(export(opened, tmp_path / "layers.csv", "layers"))
        assert len(layers) == len(frame(opened, "layers")) == 2 * 2 * (3 + 4)
        with pytest.raises(UsageError, match="ends in .parquet or .csv"):
            export(opened, tmp_path / "cells.xlsx")
        with pytest.raises(UsageError, match="no losses to write"):
            export(opened, tmp_path / "losses.csv", "losses")
        with pytest.raises(UsageError, match="rows must be one of"):
            frame(opened, "rows")
        pytest.importorskip("pyarrow")
        parquet = pd.read_parquet(export(opened, tmp_path / "cells.parquet"))
        assert parquet["isometry_gap"].tolist() == frame(opened)["isometry_gap"].tolist()
    assert not [path.name for path in tmp_path.iterdir() if "partial" in path.name]
