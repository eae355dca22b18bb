"""Runs that are stopped go on to the bit."""

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from tests.train.running import STEPS, train
from torch import nn

from leadline._core.errors import UsageError
from leadline._core.randomness import seeded
from leadline.train import Checkpoint, fit

X = torch.linspace(-1, 1, 12).reshape(6, 2)


def net(outputs: int = 1) -> nn.Linear:
    with seeded(0):
        return nn.Linear(2, outputs)


@pytest.mark.slow
def test_a_run_killed_again_and_again_ends_as_one_that_was_not(tmp_path: Path):
    folder, log, whole = tmp_path / "run", tmp_path / "log.csv", tmp_path / "whole.csv"
    losses, tensors = train(None, log=str(whole))
    chance, command = random.Random(0), [sys.executable, "-m", "tests.train.running", str(folder), str(log)]
    for kill in range(4):
        process = subprocess.Popen(command)
        until = 3 * (12 * kill + chance.randrange(1, 12))  # rows, of which a step writes three
        while process.poll() is None and (not log.exists() or len(log.read_bytes().splitlines()) < until):
            time.sleep(0.002)
        assert process.poll() is None, "it ended before it could be killed"
        process.kill()
        process.wait()
    assert subprocess.run(command, check=True).returncode == 0
    again, others = train(str(folder))
    assert again == losses and len(losses) == STEPS
    assert all(torch.equal(a, b) for a, b in zip(tensors, others, strict=True))
    assert log.read_text() == whole.read_text()


def test_a_run_goes_on_from_the_last_checkpoint(tmp_path: Path):
    losses, tensors = train(None)

    def stop(done: int) -> None:
        if done == 40:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_until(tmp_path, stop)
    assert len(torch.tensor(Checkpoint(tmp_path)._read()[0]["losses"].tolist())) == 39
    again, others = train(str(tmp_path))
    assert again == losses
    assert all(torch.equal(a, b) for a, b in zip(tensors, others, strict=True))


def train_until(folder: Path, stop) -> None:
    import tests.train.running as running

    sleep = running.time.sleep
    seen = iter(range(1, STEPS + 1))
    running.time.sleep = lambda _: stop(next(seen))
    try:
        train(str(folder))
    finally:
        running.time.sleep = sleep


def test_a_finished_run_is_not_taken_again(tmp_path: Path):
    first = fit(net(), [(X, X[:, :1])], steps=5, checkpoint=tmp_path)
    steps: list[int] = []
    model = net()
    second = fit(model, [(X, X[:, :1])], steps=5, checkpoint=tmp_path, on_step=steps.append)
    assert first == second and steps == []
    longer = fit(net(), [(X, X[:, :1])], steps=8, checkpoint=tmp_path, on_step=steps.append)
    assert longer.losses[:5] == first.losses and steps == [6, 7, 8]


def test_a_run_that_diverged_stays_so(tmp_path: Path):
    first = fit(net(), [(X, X[:, :1])], steps=50, optimiser="sgd", learning_rate=1e20, checkpoint=tmp_path)
    assert first.diverged
    again = fit(net(), [(X, X[:, :1])], steps=50, optimiser="sgd", learning_rate=1e20, checkpoint=tmp_path)
    assert len(again.losses) == len(first.losses) and again.diverged


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"learning_rate": 0.1}, "another run: it has learning_rate 0.001, here 0.1"),
        ({"seed": 1}, "seed 0, here 1"),
        ({"model": net(2)}, "another model"),
        ({"about": {"data": "other"}}, "data 'digits', here 'other'"),
    ],
)
def test_another_run_is_refused(given, sentence, tmp_path: Path):
    fit(net(), [(X, X[:, :1])], steps=2, checkpoint=Checkpoint(tmp_path, about={"data": "digits"}))
    before = (tmp_path / "checkpoint.safetensors").read_bytes()
    kept = Checkpoint(tmp_path, about=given.pop("about", {"data": "digits"}))
    model = given.pop("model", net())
    with pytest.raises(UsageError, match=sentence):
        fit(model, [(X, X[:, :1])], steps=2, checkpoint=kept, **given)
    assert (tmp_path / "checkpoint.safetensors").read_bytes() == before


def test_what_is_no_checkpoint_is_told(tmp_path: Path):
    (tmp_path / "checkpoint.safetensors").write_bytes(b"no such thing")
    with pytest.raises(UsageError, match="no checkpoint to go on from"):
        fit(net(), [(X, X[:, :1])], steps=2, checkpoint=tmp_path)
    with pytest.raises(UsageError, match="which is a file"):
        fit(net(), [(X, X[:, :1])], steps=2, checkpoint=tmp_path / "checkpoint.safetensors")


def test_a_wrong_call_leaves_no_folder(tmp_path: Path):
    with pytest.raises(UsageError):
        fit(net(), [(X, X[:, :1])], steps=2, optimiser="adma", checkpoint=tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_tied_weights_and_frozen_layers_are_kept(tmp_path: Path):
    def tied() -> nn.Sequential:
        with seeded(0):
            model = nn.Sequential(nn.Linear(2, 2), nn.Tanh(), nn.Linear(2, 2), nn.Linear(2, 2))
        model[2].weight = model[0].weight
        model[3].requires_grad_(False)
        return model

    whole, part = tied(), tied()
    fit(whole, [(X, X)], steps=6)
    fit(part, [(X, X)], steps=3, checkpoint=tmp_path)
    part = tied()
    fit(part, [(X, X)], steps=6, checkpoint=tmp_path)
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), part.parameters(), strict=True))
    assert part[2].weight is part[0].weight
