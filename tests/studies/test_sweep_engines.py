"""The engines: the same rows to the bit, whatever is killed."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pandas as pd
import pytest
from tests.studies.killing import command, environment, run_killed, stored

from leadline._core.errors import UsageError
from leadline.studies.sweeps import Cell, Store, Sweep, engines, frame, run
from leadline.studies.sweeps.measuring import measure

PLAN = Sweep(design="mlp:width=16", grid={"depth": (2, 12), "norm": ("batch", "none")}, seeds=(0, 1, 2), batch=16)
FILE = "{design: 'mlp:width=32', grid: {depth: [10, 30], norm: [batch, none]}, seeds: 10}"


def assert_same(one: Path, other: Path) -> None:
    for rows in ("cells", "layers", "losses"):
        with Store(one) as a, Store(other) as b:
            tables = [frame(store, rows).drop(columns=["seconds", "versions"], errors="ignore") for store in (a, b)]
        pd.testing.assert_frame_equal(*tables, check_exact=True)


@pytest.mark.engines
def test_processes_give_the_rows_of_this_process_to_the_bit(tmp_path: Path):
    run(PLAN, tmp_path / "here", jobs=1)
    seen = []
    run(PLAN, tmp_path / "there", jobs=2, on_progress=lambda done, total: seen.append(done))
    assert seen == list(range(len(PLAN) + 1))
    assert_same(tmp_path / "here", tmp_path / "there")


@pytest.mark.engines
def test_processes_train_to_the_bit_of_this_process(tmp_path: Path):
    plan = Sweep(design="mlp:width=16,depth=3", measure="train", steps=20, learning_rates=(1e-2,), seeds=(0, 1, 2))
    run(plan, tmp_path / "here", jobs=1)
    run(plan, tmp_path / "there", jobs=2, cells_per_task=2)
    assert_same(tmp_path / "here", tmp_path / "there")


@pytest.mark.engines
def test_a_failure_in_a_worker_is_told(tmp_path: Path):
    plan = Sweep(design="mlp:width=16,depth=2", grid={"alpha": (0.5, 2.0), "norm": ("fractional",)}, batch=16)
    tally = run(plan, tmp_path / "store", jobs=2)
    assert (tally.done, tally.failed) == (1, 1)


@pytest.mark.engines
def test_a_worker_that_is_killed_ends_the_run_in_a_sentence_and_the_next_goes_on(tmp_path: Path):
    from joblib.externals.loky import get_reusable_executor

    def kill_one(done: int, total: int) -> None:
        if done == 1:
            os.kill(next(iter(get_reusable_executor(reuse=True)._processes)), signal.SIGKILL)

    with pytest.raises(UsageError, match="A worker process died.*what was measured is stored"):
        run(PLAN, tmp_path / "store", jobs=2, on_progress=kill_one)
    assert 1 <= stored(tmp_path / "store") < len(PLAN)
    assert run(PLAN, tmp_path / "store", jobs=2).failed == 0
    run(PLAN, tmp_path / "whole", jobs=1)
    assert_same(tmp_path / "store", tmp_path / "whole")


@pytest.mark.slow
def test_a_sweep_that_is_killed_again_and_again_loses_nothing_and_doubles_nothing(tmp_path: Path):
    _kill_and_compare(tmp_path, "local", kills=3)


@pytest.mark.engines
def test_a_sweep_on_ray_that_is_killed_loses_nothing_and_doubles_nothing(tmp_path: Path):
    pytest.importorskip("ray")
    _kill_and_compare(tmp_path, "ray", kills=2)


def _kill_and_compare(folder: Path, engine: str, *, kills: int) -> None:
    (folder / "sweep.yaml").write_text(FILE, encoding="utf-8")
    words = ["run", str(folder / "sweep.yaml"), "--engine", engine, "--jobs", "2", "--store", str(folder / "killed")]
    moments = random.Random(str(folder))  # Other moments in every run of this test.
    seen = run_killed(words, folder / "killed", cells=40, kills=kills, rng=moments)
    # Else the kills came too late to show anything.
    assert seen[-1] < 40 and seen == sorted(seen)
    words[-1], words[words.index("--engine") + 1], words[words.index("--jobs") + 1] = (
        str(folder / "whole"),
        "local",
        "1",
    )
    subprocess.run(command(*words), env=environment(), check=True, capture_output=True)
    # Attempts are compared too: one of each cell was stored.
    assert_same(folder / "killed", folder / "whole")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no process groups")
def test_ctrl_c_ends_with_130_and_leaves_a_store_that_goes_on_and_no_worker(tmp_path: Path):
    (tmp_path / "sweep.yaml").write_text(FILE, encoding="utf-8")
    words = ["run", str(tmp_path / "sweep.yaml"), "--jobs", "2", "--store", str(tmp_path / "store")]
    running = subprocess.Popen(command(*words), env=environment(), stderr=subprocess.PIPE, start_new_session=True)
    while stored(tmp_path / "store") < 3 and running.poll() is None:
        time.sleep(0.01)
    os.killpg(running.pid, signal.SIGINT)  # As a terminal does: to the parent and all workers.
    said = running.communicate(timeout=60)[1].decode()
    assert running.returncode == 130
    assert said.strip() == "leadline: Interrupted; nothing was left half-written."
    with pytest.raises(ProcessLookupError):  # None of the group is left.
        for _ in range(50):
            os.killpg(running.pid, 0)
            time.sleep(0.1)
    done = stored(tmp_path / "store")
    assert 3 <= done < 40
    finished = subprocess.run(command(*words), env=environment(), check=True, capture_output=True, text=True)
    assert f"40 cells: {40 - done} measured, {done} found" in " ".join(finished.stdout.split())


# What Ray leaves open in this process is Ray's.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.engines
def test_ray_gives_the_rows_of_this_process_to_the_bit(tmp_path: Path):
    pytest.importorskip("ray")
    run(PLAN, tmp_path / "here", jobs=1)
    run(PLAN, tmp_path / "there", engine="ray", jobs=2)
    assert_same(tmp_path / "here", tmp_path / "there")


class _Died(Exception):
    """Stands for what Ray raises where a worker died."""


@contextmanager
def _ray_in_words(flights: list[int], *, loses: int = -1, answers: bool = True) -> Iterator[ModuleType]:
    """What the engine asks of Ray, done in this process: it shows the order of calls, and nothing of Ray itself."""
    flying: dict[int, object] = {}
    number = iter(range(10_000))

    def init(**how):
        if not answers:
            raise ConnectionError("Nobody\nanswers.")

    def submit(task):
        flying[ready := next(number)] = task
        flights.append(len(flying))
        return ready

    def get(ready):
        task = flying.pop(ready)
        if ready == loses:
            raise _Died("The worker died.")
        return [measure(cell) for cell in task]

    stand_in = ModuleType("ray")
    vars(stand_in).update(
        init=init,
        is_initialized=lambda: False,
        cluster_resources=lambda: {"CPU": 2.0},
        shutdown=lambda: flights.append(-1),
        remote=lambda **how: lambda function: SimpleNamespace(remote=submit),
        wait=lambda ready, num_returns: (ready[-num_returns:], ready[:-num_returns]),
        get=get,
        exceptions=SimpleNamespace(RayError=_Died),
    )
    yield stand_in


def test_tasks_of_ray_are_handed_over_a_few_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    flights: list[int] = []
    with _ray_in_words(flights) as stand_in:
        monkeypatch.setitem(sys.modules, "ray", stand_in)
        tally = run(PLAN, tmp_path / "there", engine="ray")
    assert tally.done == len(PLAN) == 12
    assert max(flights) == 4 and flights[-1] == -1
    run(PLAN, tmp_path / "here", jobs=1)
    assert_same(tmp_path / "here", tmp_path / "there")


def test_on_a_running_cluster_no_more_than_the_jobs_are_in_flight(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    flights: list[int] = []
    with _ray_in_words(flights) as stand_in:
        monkeypatch.setitem(sys.modules, "ray", stand_in)
        tally = run(PLAN, tmp_path / "store", engine="ray", address="auto", jobs=3, cells_per_task=2)
    assert tally.done == len(PLAN) and max(flights) == 3


def test_a_cluster_that_does_not_answer_is_told_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with _ray_in_words([], answers=False) as stand_in:
        monkeypatch.setitem(sys.modules, "ray", stand_in)
        with pytest.raises(UsageError, match="Cannot reach a Ray cluster at 10.0.0.1:6379: Nobody answers.$"):
            run(PLAN, tmp_path / "store", engine="ray", address="10.0.0.1:6379")


def test_cells_of_a_worker_of_ray_that_died_have_failed_and_the_others_go_on(tmp_path, monkeypatch):
    with _ray_in_words([], loses=5) as stand_in:
        monkeypatch.setitem(sys.modules, "ray", stand_in)
        tally = run(PLAN, tmp_path / "store", engine="ray")
    assert (tally.done, tally.failed) == (len(PLAN) - 1, 1)
    with Store(tmp_path / "store") as opened:
        assert opened.errors() == [("_Died", "The worker died.", 1)]


def test_one_process_measures_lazily():
    """The store is written between cells, and not at the end."""
    taken: list[int] = []

    def tasks():
        for seed in range(3):
            taken.append(seed)
            yield [Cell(design="mlp", options={"depth": 1, "width": 4}, seed=seed)]

    with engines.local(tasks(), jobs=1) as outcomes:
        next(outcomes)
        assert taken == [0]
