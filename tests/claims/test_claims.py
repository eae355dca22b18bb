"""The papers' claims: records, decisions, and those whose checks take seconds."""

import inspect
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.data.files import drawn, python_3

from leadline import studies
from leadline._core.claims import PAPERS, Part
from leadline._core.errors import UsageError
from leadline.studies.bjorck2018 import gradients, resnets, training as step_training
from leadline.studies.claims import _CLAIMS
from leadline.studies.daneshmand2020 import dense, laws, training as rank_training
from leadline.studies.daneshmand2021 import beyond, training as orthogonal_training
from leadline.studies.images import Images, labelled_images
from leadline.studies.meterez2023 import isometry, training as meterez_training

QUICK = [claim.id for claim in studies.claims() if claim.seconds <= 3]


def test_every_claim_says_what_it_states_where_and_how_it_is_decided():
    claims = studies.claims()
    assert len({claim.id for claim in claims}) == len(claims) > 50
    for claim in claims:
        assert claim.statement.endswith(".") and claim.rule.endswith(".") and claim.source.locator
        assert claim.source.key == PAPERS[claim.id[0]]
        assert 0 <= claim.seconds < 180


@pytest.mark.claims
@pytest.mark.parametrize("name", QUICK)
def test_quick_checks_do_not_fail(name):
    verdict = studies.check(name)
    assert verdict.verdict != "fails", verdict.deciding
    assert verdict.rows or verdict.reason


@pytest.mark.claims
def test_most_quick_checks_hold_on_another_seed():
    found = [studies.check(name, seed=1).verdict for name in QUICK]
    assert found.count("holds") > 0.8 * len(found) and "fails" not in found


def test_a_bound_that_says_nothing_decides_nothing():
    verdict = studies.check("B6")
    assert verdict.verdict == "undecided" and "where no gap exceeds" in verdict.reason
    assert all(part.outcome == "holds" for part in verdict.parts)


@pytest.mark.parametrize(
    ("low", "high", "outcome"),
    [(1.1, 1.2, "holds"), (0.9, 1.1, "undecided"), (0.5, 0.9, "fails"), (1.9, 2.1, "undecided"), (2.1, 3, "fails")],
)
def test_a_part_holds_only_with_all_of_its_interval(low, high, outcome):
    assert Part(name="", estimate=(low + high) / 2, low=low, high=high, least=1, most=2).outcome == outcome


def test_numbers_that_are_none_decide_nothing():
    assert studies.exact("", math.nan, most=1).outcome == "undecided"
    assert studies.mean("", [], most=1).outcome == "undecided"
    assert studies.mean("", [0.5], most=1).outcome == "undecided"


def test_intervals_of_means_have_their_level():
    rng = np.random.default_rng(0)
    parts = [studies.mean("", rng.standard_normal(8)) for _ in range(4000)]
    covered = np.mean([part.low <= 0 <= part.high for part in parts])
    assert abs(covered - 0.99) < 4 * math.sqrt(0.0099 / 4000)


@pytest.mark.claims
def test_the_plateau_of_gaussian_weights_is_not_found_with_orthogonal_ones(monkeypatch):
    gaps = beyond._squared_gaps
    monkeypatch.setattr(beyond, "_squared_gaps", lambda n, d, *, weights, seed: gaps(n, d, weights="haar", seed=seed))
    assert studies.check("B13").verdict == "fails"


@pytest.mark.parametrize("name", ["A1", "A2", "A3"])
def test_another_normalisation_does_not_have_its_laws(name, monkeypatch):
    monkeypatch.setattr(isometry, "batch_norm", lambda x: x / np.linalg.norm(x, axis=0, keepdims=True))
    assert studies.check(name).verdict == "fails"


@pytest.mark.parametrize("name", ["C3", "C15"])
def test_the_laws_of_dense_chains_are_not_those_of_other_chains(name, monkeypatch):
    def gaussian_weights(h, *, depth, generator, law=None, gamma=None, **settings):
        # Another gamma and another law of the weights.
        return dense.chain(h, depth=depth, generator=generator, gamma=None if gamma is None else 2 * gamma, **settings)

    monkeypatch.setattr(laws, "chain", gaussian_weights)
    assert studies.check(name).verdict == "fails"


def test_published_sizes_are_arguments_of_the_checks():
    larger = [each for each in _CLAIMS.values() if each.claim.published]
    assert len(larger) > 25
    for each in larger:
        assert each.claim.published and each.claim.published.rule.endswith(".")
        assert not each.claim.published.data or each.claim.images
        inspect.signature(each.check).bind(0, **each.sizes, **({"images": None} if each.claim.images else {}))


@pytest.fixture
def cifar10(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Images:
    """A few random images where the data set would be."""
    place = tmp_path / "cifar-10-batches-py"
    place.mkdir()
    for k, name in enumerate((*(f"data_batch_{k}" for k in range(1, 6)), "test_batch")):
        images, labels = drawn(60, (3, 32, 32), 10, seed=k)
        (place / name).write_bytes(python_3(images, labels))
    monkeypatch.setenv("LEADLINE_DATA", str(tmp_path))
    return labelled_images("cifar10")


def test_another_data_set_takes_the_place_of_the_digits(cifar10: Images):
    assert cifar10.features == 3072 and cifar10.aside and len(cifar10.aside.labels) == 60
    found = studies.check("A23", data="cifar10")
    assert (found.data, found.scale, found.verdict) == ("cifar10", "desk", "holds")
    assert studies.check("A1", data="cifar10").data == ""


@pytest.mark.slow
def test_the_published_size_reads_the_data_set_of_the_paper(cifar10: Images):
    found = studies.check("A23", scale="paper")
    assert found.parts[-1].name == "share of full rank, n = 200"
    assert (found.verdict, found.scale, found.data) == ("holds", "paper", "")
    assert studies.check("A1", scale="paper").verdict == "holds"


def test_without_the_data_set_the_published_size_is_undecided(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LEADLINE_DATA", str(tmp_path))
    found = studies.check("A20", scale="paper")
    assert found.verdict == "undecided" and "leadline data fetch cifar10" in found.reason
    with pytest.raises(UsageError, match="data fetch cifar10"):
        studies.check("A20", data="cifar10")


@pytest.mark.slow
def test_studies_of_training_take_images_in_colour(cifar10: Images):
    parts = meterez_training.a22(0, images=cifar10, depth=8, epochs=2, draws=2).parts
    assert parts[0].name == "median gap of layers 2 to 6"
    assert meterez_training.quadrants(cifar10)[0].shape == (300, 3072)
    assert rank_training.c22(0, images=cifar10, steps=51, draws=2).parts[0].estimate > 0
    build = orthogonal_training._alexnet
    losses = orthogonal_training.conv_losses(cifar10, 5, "orthogonalised", 0, build=build, epochs=1)
    assert len(losses) == 1 and losses[0] > 1
    assert gradients.d16(0, images=cifar10, size=4).parts[0].outcome == "holds"
    accuracy = step_training.published_accuracy(cifar10, "batch", rate=0.1, epochs=0.5, seed=0)
    assert 0 <= accuracy <= 1


def test_images_are_shifted_and_mirrored_and_nothing_else(cifar10: Images):
    generator = torch.Generator().manual_seed(0)
    samples, labels = next(step_training.augmented(cifar10, size=20, generator=generator))
    assert samples.shape == (20, 3, 32, 32)
    padded = torch.nn.functional.pad(cifar10.standardised, (4, 4, 4, 4))
    for image, label in zip(samples, labels, strict=True):
        same = [
            bool((padded[:, :, y : y + 32, x : x + 32] == each).flatten(1).all(1)[cifar10.labels == label].any())
            for each in (image, image.flip(-1))
            for y in range(9)
            for x in range(9)
        ]
        assert any(same)


def test_classes_that_the_network_does_not_have_are_told():
    ten = labelled_images("digits")
    with pytest.raises(UsageError, match="tells 10 classes; cifar100 has 100"):
        resnets.batch_of(replace(ten, name="cifar100", classes=100), 0)
    samples, labels = resnets.batch_of(ten, 0, size=5)
    assert samples.shape == (5, 3, 8, 8) and len(labels) == 5


def test_seeds_decide_what_is_drawn():
    one, again, other = (studies.check("B3", seed=seed) for seed in (1, 1, 2))
    assert one.parts == again.parts != other.parts


def test_what_is_no_claim_is_refused():
    with pytest.raises(UsageError, match="no claim or paper 'B99'.*--list"):
        studies.selected(["B99"])
    with pytest.raises(UsageError, match="did you mean meterez2023"):
        studies.selected(["meteres2023"])
    assert {claim.id[0] for claim in studies.selected(["bjorck2018"])} == {"D"}
