"""Checks do not hold for the opposite design."""

import numpy as np
import pytest

from leadline import studies
from leadline.nn.designs import mlp
from leadline.studies.bjorck2018 import resnets, steps
from leadline.studies.daneshmand2020 import training as ranked
from leadline.studies.daneshmand2021 import training as orthogonalised

pytestmark = pytest.mark.claims


def test_without_its_last_norm_a_network_diverges(monkeypatch):
    monkeypatch.setattr(steps, "_DRAWS", 1)
    monkeypatch.setattr(steps, "network", lambda norm, seed: resnets.network("none", seed))
    assert studies.check("D13").verdict == "fails"


def test_with_batch_normalisation_the_gap_does_not_grow(monkeypatch):
    monkeypatch.setattr(
        orthogonalised,
        "network",
        lambda images, depth, width, seed: mlp(64, 10, depth=depth - 1, width=width // 8, norm="batch", seed=seed),
    )
    assert studies.check("B17").verdict == "fails"


def test_without_its_steps_pre_training_raises_no_rank(monkeypatch):
    real = ranked.maximise_rank
    monkeypatch.setattr(
        ranked, "maximise_rank", lambda net, x, **given: real(net, x, **given | {"rounds": 1, "steps": 1})
    )
    assert studies.check("C21").verdict == "fails"


def test_images_have_the_spectrum_of_photographs():
    samples, labels = resnets.generated(0, size=256)
    power = np.abs(np.fft.fft2(samples.numpy())).mean((0, 1))
    slope = np.polyfit(np.log(np.arange(1, 12)), np.log(power[0, 1:12]), 1)[0]
    assert -1.15 < slope < -0.85
    assert np.allclose(samples.mean((0, 2, 3)), 0, atol=1e-5) and np.allclose(samples.std((0, 2, 3)), 1, atol=1e-5)
    assert set(labels.tolist()) == set(range(10))
    assert not np.allclose(samples, resnets.generated(1, size=256)[0])


def test_a_network_has_one_norm_where_one_is_asked_for():
    norms = {
        norm: sum("BatchNorm" in type(part).__name__ for part in resnets.network(norm, 0, depth=8).modules())
        for norm in ("batch", "none", "last")
    }
    assert norms == {"batch": 7, "none": 0, "last": 1}
