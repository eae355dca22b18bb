"""The grid of learning rates, depths and normalisers: what is trained, and what is read off it."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from leadline.studies.bjorck2018.rates import DEPTHS, NORMS, RATES, largest_rates, losses_of, trained_grid

DRAWN = json.loads(Path(__file__).parents[2].joinpath("docs/figures/D.grid.json").read_text(encoding="utf-8"))["figure"]


def _curve(panel: int, name: str) -> dict:
    (found,) = [curve for curve in DRAWN["panels"][panel]["curves"] if curve["name"] == name]
    return found


def test_a_corner_of_the_grid_comes_out_as_drawn():
    rates = RATES[1:4]
    rows = trained_grid(range(3), norms=["none"], depths=[2], rates=rates, jobs=1)
    drawn = _curve(1, "depth 2")
    found = losses_of(rows, "none", 2)
    assert np.median(found, 0) == pytest.approx(drawn["y"][1:4], rel=0.05)
    assert found.max(0) == pytest.approx(drawn["high"][1:4], rel=0.05)
    assert largest_rates(rows, "none").tolist() == [[rates[-1]]] * 3


def test_every_depth_rate_and_normaliser_is_drawn():
    assert [curve["name"] for curve in DRAWN["panels"][0]["curves"]] == list(NORMS.values())
    assert all(curve["x"] == list(DEPTHS) for curve in DRAWN["panels"][0]["curves"])
    assert all(curve["x"] == list(RATES) for panel in DRAWN["panels"][1:] for curve in panel["curves"])
    assert [len(panel["curves"]) for panel in DRAWN["panels"][1:]] == [len(DEPTHS)] * len(NORMS)


def test_what_diverges_has_no_rate_and_is_drawn_as_guessing():
    rows = trained_grid([0, 1], norms=["none"], depths=[8], rates=[100.0], steps=30, jobs=1)
    assert rows["diverged"].tolist() == [1, 1] and np.isinf(losses_of(rows, "none", 8)).all()
    assert losses_of(rows, "none", 8, most=math.log(10)).tolist() == [[math.log(10)]] * 2
    assert largest_rates(rows, "none").tolist() == [[0.0]] * 2


def test_the_drawn_losses_have_an_end_and_their_ranges_hold_the_medians():
    for panel in DRAWN["panels"]:
        for curve in panel["curves"]:
            assert np.isfinite([curve["low"], curve["y"], curve["high"]]).all()
            assert (np.diff([curve["low"], curve["y"], curve["high"]], axis=0) >= 0).all()


def test_the_drawn_rates_fall_without_normalisation_and_stay_with_it():
    none, batch = (dict(zip(DEPTHS, _curve(0, name)["y"], strict=True)) for name in ("no norm", "batch norm"))
    assert none[16] < none[2] / 10 and batch[16] == batch[2]
    assert none[64] == batch[64] == 0
