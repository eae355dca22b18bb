"""The store: what goes in comes out, and what is no store is left alone."""

import math
import sqlite3
from pathlib import Path

import pytest

from leadline._core.errors import UsageError
from leadline.studies.sweeps import Cell, Store, Sweep, Training, frame, merge
from leadline.studies.sweeps.measuring import LAYER_METRICS, Outcome

CELLS = [Cell(design="mlp", options={"depth": depth}, seed=0) for depth in (1, 2, 3)]


def layer(name: str, **numbers: float) -> dict:
    return {"layer": name, "kind": "Linear", "in_chain": 1, **dict.fromkeys(LAYER_METRICS, 0.1), **numbers}


def done(cell: Cell, **summary) -> Outcome:
    return Outcome(key=cell.key, summary=summary, layers=(layer("a"), layer("b", rms=math.nan)), seconds=0.5)


@pytest.fixture
def store(tmp_path: Path):
    with Store(tmp_path / "store.sqlite", create=True) as opened:
        opened.add(CELLS)
        yield opened


def test_numbers_come_back_to_the_bit(store: Store):
    odd = {"third": 1 / 3, "tiny": 5e-324, "inf": math.inf, "minus": -math.inf, "nan": math.nan, "word": "a b"}
    store.save([done(CELLS[1], **odd)])
    (row,) = [row for row in store.cells() if row["status"] == "done"]
    assert row["cell"] == CELLS[1]
    assert math.isnan(row["summary"].pop("nan")) and math.isnan(odd.pop("nan"))
    assert row["summary"] == odd
    layers = frame(store, "layers")
    assert layers["depth"].tolist() == [2, 2] and layers["layer"].tolist() == ["a", "b"]
    assert layers["rms"][0] == 0.1 and math.isnan(layers["rms"][1])


def test_an_overflow_in_a_layer_stays_infinite(store: Store):
    store.save([Outcome(key=CELLS[0].key, layers=(layer("a", grad_norm=math.inf, rms=-math.inf),))])
    found = frame(store, "layers")
    assert found["grad_norm"][0] == math.inf and found["rms"][0] == -math.inf


def test_losses_are_a_row_a_step(store: Store):
    cell = Cell(design="mlp", options={}, seed=1, training=Training(steps=3, learning_rate=0.1, optimiser="sgd"))
    store.add([cell])
    store.save([Outcome(key=cell.key, summary={"learnt": 0}, losses=(2.0, 1.5, math.nan))])
    found = frame(store, "losses")
    assert found["step"].tolist() == [0, 1, 2] and found["loss"].tolist()[:2] == [2.0, 1.5]
    assert found["learning_rate"].tolist() == [0.1] * 3


def test_a_cell_that_is_done_is_not_done_again(store: Store):
    store.save([done(CELLS[0])])
    with pytest.raises(RuntimeError, match="was done before"):
        store.save([done(CELLS[1]), done(CELLS[0])])
    # All or none: the first of the two is not kept either.
    assert store.counts() == {"pending": 2, "done": 1, "failed": 0}
    assert len(frame(store, "layers")) == 2


def test_a_cell_that_failed_may_be_done_later(store: Store):
    store.save([Outcome(key=CELLS[0].key, error_type="UsageError", error="Too deep.")])
    assert store.errors() == [("UsageError", "Too deep.", 1)]
    store.save([done(CELLS[0], rms=1.0)])
    row = next(store.cells())
    assert (row["status"], row["error"], row["attempts"]) == ("done", None, 2)


def test_adding_cells_again_changes_nothing(store: Store):
    store.save([done(CELLS[0])])
    store.add(reversed(CELLS))
    assert [row["key"] for row in store.cells()] == [cell.key for cell in CELLS]
    assert store.counts()["done"] == 1


def test_another_process_reads_while_this_one_writes(store: Store):
    with store._transaction(), Store(store.path) as reader:
        assert reader.counts()["pending"] == 3


@pytest.mark.parametrize("content", [b"", b"no database at all, but long enough to be looked at" * 40, None])
def test_a_file_that_is_no_store_is_refused_and_left_as_it_is(tmp_path: Path, content: bytes | None):
    path = tmp_path / "other.sqlite"
    if content is None:
        database = sqlite3.connect(path)
        database.execute("CREATE TABLE theirs (a)")
        database.commit()
        database.close()
    else:
        path.write_bytes(content)
    before = path.read_bytes()
    for create in (False, True) if content != b"" else (False,):
        with pytest.raises(UsageError, match="is no store of a sweep"):
            Store(path, create=create)
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["other.sqlite"]


def test_an_empty_file_becomes_a_store(tmp_path: Path):
    (tmp_path / "empty").touch()
    with Store(tmp_path / "empty", create=True) as opened:
        assert opened.counts()["pending"] == 0


def test_a_store_of_another_version_is_refused(store: Store):
    store._database.execute("PRAGMA user_version = 99")
    with pytest.raises(UsageError, match="version 99; this leadline reads version 1"):
        Store(store.path)


def test_a_missing_store_and_a_folder_are_refused(tmp_path: Path):
    with pytest.raises(UsageError, match="There is no store"):
        Store(tmp_path / "missing")
    with pytest.raises(UsageError, match="folder"):
        Store(tmp_path)
    with pytest.raises(UsageError, match="does not exist"):
        Store(tmp_path / "missing" / "store", create=True)
    assert list(tmp_path.iterdir()) == []


def test_a_second_writer_is_refused(store: Store):
    refused = pytest.raises(UsageError, match="Another run writes to")
    with store.locked(), Store(store.path) as other, refused, other.locked():
        pass
    with store.locked():
        pass


def test_merged_stores_have_every_cell_once_and_the_best_of_each(tmp_path: Path):
    a, b = tmp_path / "a", tmp_path / "b"
    for path in (a, b):
        with Store(path, create=True) as opened:
            opened.add(CELLS if path == a else reversed(CELLS))
            opened.save([done(CELLS[0], rms=1.0)])
            if path == a:
                opened.save([Outcome(key=CELLS[1].key, error_type="E", error="e")])
            else:
                opened.save([done(CELLS[1], rms=2.0)])
    whole = tmp_path / "whole"
    for _ in range(2):  # Once more changes nothing.
        assert merge([a, b], whole) == {"pending": 1, "done": 2, "failed": 0}
    with Store(whole) as opened:
        assert [row["key"] for row in opened.cells()] == [cell.key for cell in CELLS]
        assert [row["summary"].get("rms") for row in opened.cells()] == [1.0, 2.0, None]
        assert next(row for row in opened.cells() if row["status"] == "pending")["attempts"] == 0
        assert frame(opened, "layers")["depth"].tolist() == [1, 1, 2, 2]


def test_a_store_is_not_merged_into_itself(store: Store):
    with pytest.raises(UsageError, match="into itself"):
        merge([store.path], store.path)


def test_a_part_that_is_no_store_stops_a_merge_before_it_begins(tmp_path: Path, store: Store):
    with pytest.raises(UsageError, match="There is no store"):
        merge([store.path, tmp_path / "missing"], tmp_path / "whole")
    assert not (tmp_path / "whole").exists()


def test_ten_thousand_cells_are_noted_in_a_second(tmp_path: Path):
    plan = Sweep(design="mlp", seeds=tuple(range(10_000)))
    with Store(tmp_path / "store", create=True) as opened:
        opened.add(plan.cells())
        assert opened.counts()["pending"] == 10_000
