"""The page: self-contained, whole or absent, words first, and names are data."""

import base64
import hashlib
import math
from dataclasses import replace

import pytest
from tests.reporting.reading import Reading
from tests.reporting.records import EVIL, explained, layer, vanishing

import leadline
from leadline._core.diagnosis import DepthLimit, Diagnosis, Finding, Remedy
from leadline._core.errors import UsageError
from leadline._core.profile import Profile
from leadline.reporting.html import page

EMPTY = Diagnosis(
    profile=Profile(layers=()),
    trainable=math.nan,
    depth_limit=DepthLimit(estimate=math.nan, low=-math.inf, high=math.inf, mechanism=""),
)
NOT_FINITE = Profile(
    layers=(
        layer(0, rms=math.nan, grad_norm=math.inf, isometry_gap=math.inf, mean_square_cosine=math.nan),
        layer(1, rms=math.inf, grad_norm=0.0, isometry_gap=-math.inf),
    )
)
EVIL_DIAGNOSIS = replace(
    explained(replace(vanishing(), layers=(layer(0, name=EVIL, kind=EVIL, rms=1.0, grad_norm=1.0),), model=EVIL)),
    trainable_rule=EVIL,
    trainable_evidence={EVIL: 1.0},
    findings=(
        Finding(
            code="gradient-explosion",
            layer=EVIL,
            severity="error",
            message=EVIL,
            evidence={EVIL: [EVIL]},
            expected=EVIL,
            remedies=(Remedy(text=EVIL, recipe=EVIL),),
        ),
    ),
)
RECORDS = {
    "diagnosis": explained(),
    "profile": vanishing(),
    "one layer": vanishing(1),
    "no layer": Profile(layers=()),
    "nothing told": EMPTY,
    "not finite": NOT_FINITE,
    "not finite, explained": explained(NOT_FINITE),
    "names like markup": EVIL_DIAGNOSIS,
}
EVERY_KIND = pytest.mark.parametrize("record", RECORDS.values(), ids=RECORDS.keys())


@EVERY_KIND
def test_every_tag_is_closed(record):
    reading = Reading(page(record))
    assert (reading.open, reading.strays) == ([], [])


@EVERY_KIND
def test_nothing_is_loaded_from_elsewhere(record):
    loading = [
        (tag, name, value)
        for tag, name, value in Reading(page(record)).attributes
        if name in {"src", "srcset", "href", "xlink:href", "action", "data", "poster"}
        and not (tag == "a" and value.startswith(("#", "https://arxiv.org/abs/")))
    ]
    assert loading == []


@EVERY_KIND
def test_the_policy_of_the_page_forbids_the_network_and_names_its_own_scripts(record):
    reading = Reading(page(record))
    (policy,) = [v for tag, name, v in reading.attributes if tag == "meta" and name == "content" and "-src" in v]
    scripts = [text for kind, text in reading.scripts if kind == ""]
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in scripts]
    assert policy.startswith("default-src 'none';")
    assert "unsafe-eval" not in policy and "http" not in policy and policy.count("'sha256-") == len(hashes)
    assert all(f"'sha256-{value}'" in policy for value in hashes)


@EVERY_KIND
def test_the_same_record_gives_the_same_bytes(record):
    assert page(record) == page(record)


def test_a_saved_and_reloaded_diagnosis_gives_the_same_bytes(tmp_path):
    diagnosis = explained(NOT_FINITE)
    again = Diagnosis.load(diagnosis.save(tmp_path / "diagnosis.json"))
    assert page(again) == page(diagnosis)


def test_the_words_come_in_order_and_before_any_script():
    whole = page(explained())
    told = [
        "This network will probably not train (0.03).",
        "But for what is wrong, the design carries about 12 layers (9 to 17); this network has 4.",
        "Adam, 300 steps on digits, accuracy above 0.9",
        "1 error",
        "1 warning",
        "Gradients shrink tenfold per layer.",
        "Theory gives 0.5 decades.",
        "Initialise for ReLU.",
        "eq. 10",
        "It gains 0.5 decades.",
        'id="layers"',
        "How it was measured",
        "cross entropy: 2.30",
    ]
    places = [whole.index(words) for words in told]
    assert places == sorted(places)
    assert places[-1] < whole.index("<script")


def test_a_name_that_looks_like_markup_is_shown_as_text():
    reading = Reading(page(EVIL_DIAGNOSIS))
    assert reading.text.count(EVIL) >= 9
    assert not any(name == "onclick" for _, name, _ in reading.attributes)
    assert [kind for kind, _ in reading.scripts] == ["application/json", "", ""]


def test_a_name_that_looks_like_markup_stays_text_in_the_hover_of_a_plot():
    name = "<b>&amp;</b>"
    profile = Profile(layers=(layer(0, name=name, kind="Linear", rms=1.0),))
    (text,) = Reading(page(profile)).figures["forward"]["data"][0]["text"]
    assert text == "&lt;b&gt;&amp;amp;&lt;/b&gt; (Linear)"


def test_a_profile_alone_is_shown_without_a_verdict():
    text = Reading(page(vanishing())).text
    assert "Net, measured" in text and "rms 1.00 at layers.0 to 0.125 at layers.3 ." in text
    assert "will probably" not in text and "What to do" not in text


def test_a_profile_alone_states_its_measured_rates():
    assert "Rate: 1.00 decades per layer (1.00 to 1.00), a factor of 10.0 each." in Reading(page(vanishing())).text


def test_a_network_without_findings_says_so():
    assert "No rule found anything" in Reading(page(replace(explained(), findings=(), trainable=0.9))).text


def test_a_network_that_will_not_train_is_not_spoken_for_by_a_lack_of_findings():
    text = Reading(page(replace(explained(), findings=(), trainable=0.1))).text
    assert "No rule says why this network would not train." in text
    assert "No rule found anything" not in text


def test_a_depth_limit_that_could_not_be_told_has_neither_scale_nor_interval():
    limit = DepthLimit(estimate=math.nan, low=math.nan, high=math.nan, mechanism="too few repeated layers to tell")
    text = Reading(page(replace(explained(), depth_limit=limit))).text
    assert "too few repeated layers to tell" in text
    assert "logarithmic" not in text
    assert "logarithmic" in Reading(page(explained())).text


def test_the_row_of_a_flagged_layer_leads_to_its_first_finding():
    attributes = Reading(page(explained())).attributes
    assert ("a", "href", "#finding-1") in attributes and ("article", "id", "finding-1") in attributes
    assert ("tr", "class", "error") in attributes


def test_only_metrics_that_apply_to_some_layer_get_a_column():
    text = Reading(page(vanishing())).text
    assert "weight_grad_norm" in text and "token_distinction" not in text


def test_a_prediction_of_what_is_not_drawn_is_still_told():
    diagnosis = explained()
    untold = replace(diagnosis.predictions[0], metric="condition_number", statement="It doubles.")
    assert "Theory of condition_number It doubles." in Reading(page(replace(diagnosis, predictions=(untold,)))).text


def test_plotly_is_written_once():
    whole = page(explained())
    assert whole.count("plotly.js v") == 1
    assert len(whole) < 5_200_000


def test_without_plots_there_is_no_script_at_all():
    assert "<script" not in page(Profile(layers=()))


def test_the_page_of_a_thousand_layers_stays_under_seven_megabytes():
    assert len(page(explained(vanishing(1000))).encode()) < 7_000_000


def test_the_report_is_written_to_the_given_path(tmp_path):
    path = leadline.report(explained(), tmp_path / "sounding.html")
    assert path == tmp_path / "sounding.html"
    assert path.read_text(encoding="utf-8") == page(explained())
    assert list(tmp_path.iterdir()) == [path]


def test_a_model_is_refused_with_the_call_that_was_meant(tmp_path):
    with pytest.raises(
        UsageError,
        match=r"a Repair, a Simulation, a figure or verdicts on claims, got list; .*leadline\.profile\(model, inputs\)",
    ):
        leadline.report([], tmp_path / "report.html")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(UsageError, match="nowhere does not exist"):
        leadline.report(vanishing(), tmp_path / "nowhere" / "report.html")


def test_a_page_that_fails_leaves_the_older_report_in_place(tmp_path):
    path = tmp_path / "report.html"
    path.write_text("older")
    unknown = replace(explained().findings[0], source=leadline._core.sources.Source(key="nobody1900"))
    with pytest.raises(KeyError):
        leadline.report(replace(explained(), findings=(unknown,)), path)
    assert path.read_text() == "older"
