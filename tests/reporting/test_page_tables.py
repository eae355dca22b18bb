"""What a check was asked for beside the diagnosis: tables on its page, without JavaScript, and names are data."""

from dataclasses import replace

import pytest
from tests.reporting.reading import Reading
from tests.reporting.records import EVIL, explained, vanishing

import leadline
from leadline._core.diagnosis import DepthLimit
from leadline._core.errors import UsageError
from leadline.doctor.changes import Alternative, WhatIf
from leadline.metrics import LargestStep
from leadline.reporting.html import page
from leadline.reporting.page_tables import step_rows, what_if_rows


def _goes(blocks: float, **changes: object) -> Alternative:
    limit = DepthLimit(estimate=blocks, low=blocks, high=blocks, mechanism="")
    return Alternative(changes=changes, limit=limit, predicted={10: 0.9, 100: 0.001}, measured={10: 0.8})


FOUND = WhatIf(depths=(10, 100), now=_goes(30), alternatives=(_goes(200, skip=1.0), _goes(20, norm="none")))
MANY = replace(FOUND, alternatives=tuple(_goes(100 - k, gain=1 + k) for k in range(15)))
STEPS = step_rows([LargestStep(direction="gradient", step=0.5, quadratic=0.25, curvature=1.0, slope=1.0)])


def _words(*tables) -> Reading:
    return Reading(page(explained(), also=tables))


def test_the_alternatives_stand_below_the_findings_as_in_the_terminal():
    text = _words(what_if_rows(FOUND)).text
    assert "design blocks at 10 at 100 as it is 30 0.80 ~< 0.01 skip 200 0.80 ~< 0.01 no norm 20 0.80 ~< 0.01" in text
    assert text.index("Two samples are the same.") < text.index("What if") < text.index("Against depth")


def test_only_what_goes_deeper_is_marked():
    rows = [(name, value) for tag, name, value in _words(what_if_rows(FOUND)).attributes if tag == "tr"]
    assert rows.count(("class", "better")) == 1 and what_if_rows(FOUND).better == {1}


def test_what_the_terminal_leaves_out_unfolds():
    text = _words(what_if_rows(MANY)).text
    assert "3 more" in text and text.index("gain 12 ") < text.index("3 more") < text.index("gain 13 ")
    assert all(f"gain {k}" in text for k in range(1, 16))


def test_the_design_that_stood_for_the_model_is_named_as_text():
    reading = _words(what_if_rows(FOUND, stand_in=EVIL))
    assert f"Of {EVIL}, a perceptron of the same parts." in reading.text
    assert (reading.open, reading.strays) == ([], [])
    assert not any(name == "onclick" for _, name, _ in reading.attributes)


def test_learning_rates_are_a_table():
    reading = _words(what_if_rows(FOUND), STEPS)
    assert "trainer first step by curvature plain descent 0.500 0.250" in reading.text
    assert (reading.open, reading.strays) == ([], [])


def test_a_page_without_further_tables_is_as_it_was():
    assert page(explained(), also=()) == page(explained())
    assert "What if" not in page(explained())


def test_only_a_diagnosis_has_a_place_for_them(tmp_path):
    with pytest.raises(UsageError, match="below the findings of a Diagnosis; got Profile"):
        leadline.report(vanishing(), tmp_path / "report.html", also=[STEPS])
    assert list(tmp_path.iterdir()) == []
