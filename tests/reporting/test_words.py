"""The words: numbers as a reader writes them, and sentences that say no more than the record."""

import math
from dataclasses import replace

import pytest
from tests.reporting.records import explained, layer, vanishing

from leadline._core.diagnosis import DepthLimit
from leadline._core.rates import Rate
from leadline._core.sources import WORKS, Source
from leadline.reporting import words


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.0, "1.00"),
        (99.96, "100"),
        (0.001, "0.00100"),
        (0.00099, "9.90e−4"),
        (12345.6, "12346"),
        (99999.9, "1.00e5"),
        (-2.5e-12, "−2.50e−12"),
        (64, "64"),
        (-3, "−3"),
        (-math.inf, "−∞"),
    ],
)
def test_a_number_has_three_significant_digits(value, text):
    assert words.number(value) == text


@pytest.mark.parametrize(
    ("score", "sentence"),
    [
        (0.0, "This network will probably not train (below 0.01)."),
        (0.24, "This network will probably not train (0.24)."),
        (0.25, "This network may or may not train (0.25)."),
        (0.75, "This network may or may not train (0.75)."),
        (0.76, "This network will probably train (0.76)."),
        (1.0, "This network will probably train (above 0.99)."),
        (math.nan, "Whether this network will train could not be told."),
    ],
)
def test_the_verdict_takes_a_side_only_beyond_a_quarter(score, sentence):
    assert words.verdict(replace(explained(), trainable=score)) == sentence


def test_findings_are_counted_by_severity():
    assert words.tally(explained()) == "1 error, 1 warning"


@pytest.mark.parametrize(
    ("estimate", "start"),
    [
        (1.2, "The design carries about 1 block (1 to ∞); this network has 3."),
        (math.inf, "The design carries any number of blocks, as far as theory and measurement can tell;"),
        (math.nan, "How many blocks the design carries could not be told; this network has 3."),
    ],
)
def test_the_depth_limit_is_told_whatever_it_is(estimate, start):
    limit = DepthLimit(estimate=estimate, low=1.0, high=math.inf, mechanism="")
    assert words.depth_sentence(limit, 3).startswith(start)


def test_an_unbounded_interval_of_a_rate_is_not_shown():
    rate = Rate(estimate=0.5, low=-math.inf, high=math.inf, increments=1)
    assert words.rate_sentence(rate) == "Rate: 0.500 decades per block, a factor of 3.16 each."


def test_a_rate_that_was_not_measured_is_not_told():
    assert words.rate_sentence(Rate(estimate=math.nan, low=-math.inf, high=math.inf, increments=0)) == ""


def test_depth_is_counted_in_blocks_where_there_are_blocks():
    blocks = tuple(layer(k, role="block", rms=1.0) for k in range(3))
    assert vanishing().unit == "layer"
    assert replace(vanishing(), layers=blocks).unit == "block"


def test_long_evidence_is_shortened():
    assert words.plain(list(range(10))) == "0, 1, 2, 3, 4, 5, 6, 7 and 2 more"


def test_every_work_on_arxiv_gets_its_address():
    addresses = {key: words.arxiv_address(Source(key=key, locator="eq. 1")) for key in WORKS}
    assert addresses["meterez2023"] == "https://arxiv.org/abs/2310.02012"
    assert {key for key, address in addresses.items() if not address} == {"glorot2010", "leadline", "stewart1980"}


def test_an_error_beside_a_good_chance_is_not_passed_over():
    assert "no contradiction" in words.caveat(replace(explained(), trainable=0.9))
    assert words.caveat(replace(explained(), trainable=0.4)) == ""
    assert words.caveat(replace(explained(), trainable=0.9, findings=())) == ""


def test_a_limit_beyond_the_depth_does_not_speak_of_the_errors():
    limit = DepthLimit(estimate=400.0, low=300.0, high=500.0, mechanism="gradients explode")
    assert words.depth_sentence(limit, 10, faulty=True).startswith(
        "But for what is wrong, the design carries about 400"
    )
    assert words.depth_sentence(limit, 500, faulty=True).startswith("The design carries about 400")
