"""The page of a repair, and what the terminal shows of it, out of records with round numbers."""

import math
from dataclasses import replace

import pytest
from rich.console import Console
from tests.reporting.reading import Reading
from tests.reporting.records import EVIL, layer, vanishing

import leadline
from leadline._core.repair import Attempt, Curve, Proof, Repair, Step
from leadline.reporting import repair_words
from leadline.reporting.comparison import Comparison, folded
from leadline.reporting.html import page
from leadline.reporting.repair_plots import repair_figures
from leadline.reporting.terminal_repair import repair_summary


def steady(depth: int = 40):
    layers = [layer(k, rms=1.0, grad_norm=1.0, weight_grad_norm=0.25, isometry_gap=1.0) for k in range(depth)]
    return replace(vanishing(depth), layers=tuple(layers))


def scaled(depth: int = 40) -> tuple[Step, ...]:
    return tuple(
        Step(action="scale", layer=f"layers.{k}", text=f"layers.{k}: weights times {1 + k / 8:.4g}.")
        for k in range(depth)
    )


PROOF = Proof(
    rule="Adam at 0.01, 3 steps.",
    curves=(
        Curve(model="before", learning_rate=0.01, losses=(2.5, 3.5, math.inf)),
        Curve(model="after", learning_rate=0.01, losses=(2.5, 0.5, 0.25), learnt=True),
    ),
    learnt_before=False,
    learnt_after=True,
)
REPAIRED = Repair(
    model="Net",
    asked="auto",
    recipe="unit-variance",
    outcome="repaired",
    before=vanishing(40),
    after=steady(),
    steps=scaled(),
    attempts=(
        Attempt(recipe="", findings=("error: gradient-vanishing",), trainable=0.03),
        Attempt(recipe="unit-variance", trainable=0.97, kept=True),
    ),
    function_change=0.5,
    proof=PROOF,
)
PLANNED = replace(REPAIRED, outcome="planned", proof=None)
UNCHANGED = replace(REPAIRED, recipe="", outcome="unchanged", after=vanishing(40), steps=(), proof=None)
HEALTHY = replace(UNCHANGED, outcome="healthy", before=steady(), after=steady(), attempts=())
WORSE = replace(REPAIRED, outcome="improved", before=steady(), after=vanishing(40), proof=None)
EVIL_REPAIR = replace(
    REPAIRED,
    model=EVIL,
    recipe=EVIL,
    notes=(EVIL,),
    steps=(Step(action="scale", layer=EVIL, text=EVIL),),
    after=replace(steady(), layers=(layer(0, name=EVIL, rms=1.0), layer(1, name="x", rms=math.inf))),
    attempts=(Attempt(recipe=EVIL, note=EVIL), Attempt(recipe=EVIL, findings=(EVIL,))),
)
RECORDS = {
    "repaired": REPAIRED,
    "planned": PLANNED,
    "unchanged": UNCHANGED,
    "healthy": HEALTHY,
    "worse": WORSE,
    "names like markup": EVIL_REPAIR,
}
EVERY_KIND = pytest.mark.parametrize("record", RECORDS.values(), ids=RECORDS.keys())


def printed(record: Repair, width: int = 80) -> str:
    console = Console(width=width, highlight=False, markup=False, emoji=False)
    with console.capture() as capture:
        console.print(repair_summary(Comparison.of(record), width=width))
    return capture.get()


@EVERY_KIND
def test_every_tag_is_closed_and_nothing_is_loaded_from_elsewhere(record):
    reading = Reading(page(record))
    assert (reading.open, reading.strays) == ([], [])
    assert [
        v
        for tag, n, v in reading.attributes
        if n == "src" or (n == "href" and not v.startswith(("#", "https://arxiv")))
    ] == []


@EVERY_KIND
def test_every_line_fits_the_terminal(record):
    assert max(map(len, printed(record).splitlines())) <= 80


@EVERY_KIND
def test_every_plot_has_its_place_and_is_strict_json(record):
    reading = Reading(page(record))
    places = {v for tag, name, v in reading.attributes if name == "id" and v.startswith("plot-")}
    assert {f"plot-{key}" for key in reading.figures} == places


def test_a_name_that_looks_like_markup_is_shown_as_text():
    reading = Reading(page(EVIL_REPAIR))
    assert reading.text.count(EVIL) >= 7
    assert not any(name == "onclick" for _, name, _ in reading.attributes)
    assert [kind for kind, _ in reading.scripts] == ["application/json", "", ""]


def test_the_words_come_in_order():
    told = [
        "Repaired by unit-variance: no error or warning remains.",
        "The outputs on the batch changed by 50 % of their norm",
        "Proven: the repaired model learns at 0.01; the model as it was did not learn.",
        "gradient-vanishing",
        "rms before",
        "rms after",
        "Adam at 0.01, 3 steps.",
        "diverged at step 3",
        "layers.0: weights times 1.",
        "39 more like this",
        "What was tried",
        "Repair.load",
        "How it was measured",
    ]
    text = Reading(page(REPAIRED)).text
    places = [text.index(words) for words in told]
    assert places == sorted(places)


def test_each_direction_has_both_curves_in_one_plot():
    drawn = repair_figures(Comparison.of(REPAIRED))
    for key, metric in (("forward", "rms"), ("backward", "grad_norm"), ("weights", "weight_grad_norm")):
        lines = {trace["name"]: trace["y"] for trace in drawn[key]["data"] if trace.get("name") in ("before", "after")}
        assert lines == {
            "before": [getattr(each, metric) for each in REPAIRED.before.layers],
            "after": [getattr(each, metric) for each in REPAIRED.after.layers],
        }
    assert "rank" not in drawn


def test_a_run_that_diverged_has_a_gap_and_a_mark():
    data = repair_figures(Comparison.of(REPAIRED))["training"]["data"]
    assert data[0]["y"] == [2.5, 3.5, None] and data[1]["name"].endswith("diverged") and data[1]["x"] == [3]
    assert data[2]["y"] == [2.5, 0.5, 0.25] and len(data) == 3


def test_findings_are_sorted_into_gone_remaining_and_new():
    found = Comparison.of(REPAIRED)
    assert "gradient-vanishing" in [f.code for f in found.gone] and found.remaining == ()
    worse = Comparison.of(WORSE)
    assert worse.gone == () and all(map(worse.is_new, worse.remaining)) and worse.remaining
    same = Comparison.of(UNCHANGED)
    assert same.gone == () and not any(map(same.is_new, same.remaining)) and same.remaining


def test_layers_of_one_name_stand_side_by_side_and_new_ones_in_their_place():
    after = replace(
        steady(3), layers=tuple(layer(k, name=n, rms=1.0) for k, n in enumerate(["layers.0", "norm", "layers.2"]))
    )
    found = Comparison.of(replace(REPAIRED, before=vanishing(3), after=after))
    names = [(a.name if a else None, b.name if b else None) for a, b in found.layers]
    assert names == [("layers.0",) * 2, ("layers.1", None), (None, "norm"), ("layers.2",) * 2]
    assert "before only" in Reading(page(found.repair)).text


def test_layers_called_by_numbers_fold_too():
    steps = [Step(action="b", layer=str(k), text=f"{k}.bias set so that the mean is 0.") for k in range(5)]
    assert folded(steps) == [tuple(steps)]


@pytest.mark.parametrize(
    ("record", "sentence"),
    [
        (REPAIRED, "Repaired by unit-variance: no error or warning remains."),
        (PLANNED, "Nothing was changed. With unit-variance, no error or warning would remain."),
        (UNCHANGED, "Not repaired: no recipe made it better, and the model is as it was; 2 errors remain."),
        (HEALTHY, "Healthy: there is nothing to repair, and the model is as it was."),
        (
            replace(REPAIRED, asked="unit-variance", before=steady()),
            "Changed by unit-variance, as asked; no error or warning was there before, and none is now.",
        ),
        (
            replace(PLANNED, asked="unit-variance", before=steady()),
            "Nothing was changed. With unit-variance there would be no error or warning, as there is none now.",
        ),
        (
            replace(REPAIRED, before=steady()),
            "Changed by unit-variance, since it was hard to train; there was no error or warning, and is none now.",
        ),
        (WORSE, "Better by unit-variance, but not cured: 2 errors remain."),
        (replace(HEALTHY, before=vanishing(40), after=vanishing(40)), "Nothing that a recipe cures, and the model is"),
    ],
)
def test_the_verdict_says_what_remains(record, sentence):
    assert repair_words.verdict(Comparison.of(record)).startswith(sentence)
    assert " ".join(printed(record).split()).endswith(repair_words.verdict(Comparison.of(record)))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (0.0, "the same to the bit"),
        (0.25, "changed by 25 % of their norm"),
        (15.0, "changed by 15 times their norm"),
        (math.inf, "they were all 0"),
        (math.nan, "some are not finite"),
    ],
)
def test_how_much_the_function_changed_is_said(change, sentence):
    assert sentence in repair_words.change(replace(REPAIRED, function_change=change))


def test_a_saved_and_reloaded_repair_gives_the_same_bytes(tmp_path):
    again = Repair.load(REPAIRED.save(tmp_path / "repair.json"))
    assert page(again) == page(REPAIRED)


def test_a_repair_is_reported_to_the_given_path(tmp_path):
    path = leadline.report(REPAIRED, tmp_path / "report.html")
    assert path.read_text(encoding="utf-8") == page(REPAIRED)
