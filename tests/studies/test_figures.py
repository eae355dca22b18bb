"""Figures of the papers: the registry, how curves are made, and how they are compared and drawn."""

import math
from dataclasses import replace

import numpy as np
import pytest

from leadline import studies
from leadline._core.claims import PAPERS
from leadline._core.errors import UsageError
from leadline._core.figures import Curve, FigurePanel, StudyFigure
from leadline._core.sources import Source
from leadline.reporting.html import page
from leadline.reporting.study_plots import panel_figure
from leadline.reporting.study_words import comparison, legend
from leadline.studies.figures import middle

QUICK = [figure.id for figure, seconds in studies.figures() if seconds <= 5]
SOURCE = Source(key="meterez2023", locator="fig. 1")


def test_every_figure_says_what_it_shows_and_where_it_stands():
    found = studies.figures()
    assert len({figure.id for figure, _ in found}) == len(found) >= 20
    for figure, seconds in found:
        assert figure.title.endswith(".") and figure.source.key == PAPERS[figure.id[0]] and 0 < seconds <= 300


@pytest.mark.claims
@pytest.mark.parametrize("name", QUICK)
def test_quick_figures_have_numbers_and_published_points_have_partners(name):
    figure = studies.draw(name)
    assert figure.panels
    for panel in figure.panels:
        ours = {curve.name for curve in panel.curves if not curve.published}
        for curve in panel.curves:
            assert len(curve.x) == len(curve.y) > 0 and np.isfinite(curve.y).any()
            assert not curve.published or curve.name in ours
        assert panel.curves or len({len(row) for row in panel.cells}) == 1


@pytest.mark.claims
def test_ours_lie_near_published_points():
    (panel,) = studies.draw("B.fig1", seed=1).panels
    (gaps,) = [curve for curve in panel.curves if curve.name == "batch norm" and not curve.published]
    (seen,) = [curve for curve in panel.curves if curve.name == "batch norm" and curve.published]
    off = [abs(gaps.y[gaps.x.index(x)] - y) for x, y in zip(seen.x, seen.y, strict=True)]
    assert max(off) < 0.15


def test_an_unknown_figure_is_told_with_its_neighbour():
    with pytest.raises(UsageError, match="did you mean A.fig1"):
        studies.draw("A.fig11")


def test_a_curve_is_the_mean_of_draws_with_its_band():
    found = studies.curve("gap", [0, 1], np.array([[1.0, 2.0], [3.0, 2.0], [2.0, 2.0]]))
    half = 4.302652729911275 / math.sqrt(3)  # Student's 97.5 % point of 2 degrees times the error
    assert found.y == (2.0, 2.0) and found.low == pytest.approx((2 - half, 2)) and found.high[1] == 2.0
    assert studies.curve("gap", [0, 1], [1.0, 2.0]).low == ()


def test_what_may_be_nothing_is_told_by_its_median_between_its_ends():
    found = middle("rate", [2, 4], [[1.0, 0.0], [3.0, 0.0], [2.0, math.inf]])
    assert (found.y, found.low, found.high) == ((2.0, 0.0), (1.0, 0.0), (3.0, math.inf))


def test_figures_without_a_number_come_behind_those_with_one_and_before_tables():
    assert [figure.id for figure, _ in studies.figures() if figure.id[0] == "D"][-2:] == ["D.grid", "D.tab1"]


def test_a_few_depths_on_a_logarithmic_axis_are_told_one_by_one():
    depths, rates = (2.0, 4.0, 64.0), (0.003, 0.03, 3.0)
    axes = [
        panel_figure(FigurePanel(title="", x="", y="", x_scale="log", curves=(Curve(name="", x=x, y=x),)))["layout"]
        for x in (depths, rates)
    ]
    assert axes[0]["xaxis"]["ticktext"] == ["2", "4", "64"]
    assert "ticktext" not in axes[1]["xaxis"]


def _figure(*curves: Curve, scale: str = "linear") -> StudyFigure:
    panel = FigurePanel(title="Gap", x="layer", y="gap", curves=curves, x_scale="linear", y_scale=scale)
    return StudyFigure(id="A.fig1", title="Falls.", source=SOURCE, panels=(panel,))


def test_published_points_meet_ours_on_the_line_between_them():
    ours = Curve(name="gap", x=(0.0, 10.0), y=(1.0, 0.01))
    seen = Curve(name="gap", x=(0.0, 5.0, 20.0), y=(0.9, 0.2, 0.1), published=True)
    assert [row["ours"] for row in comparison(_figure(ours, seen, scale="log"))] == ["1.00", "0.100", ""]
    assert [row["ours"] for row in comparison(_figure(ours, seen))] == ["1.00", "0.505", ""]


@pytest.mark.parametrize(("last", "shown"), [(30.0, ["2", "30"]), (2.5, ["2.00", "2.50"])])
def test_places_are_whole_numbers_where_all_are(last: float, shown: list[str]):
    seen = Curve(name="gap", x=(2.0, last), y=(0.5, 0.25), published=True)
    assert [row["layer"] for row in comparison(_figure(seen))] == shown


def test_without_published_points_the_ends_are_told():
    (row,) = comparison(_figure(Curve(name="gap", x=(0.0, 10.0), y=(1.0, 0.01))))
    assert (row["first"], row["last"], row["at"]) == ("1.00", "0.0100", "10")


def test_what_has_no_place_on_a_logarithmic_axis_is_a_gap():
    bare = Curve(name="gap", x=(0.0, 1.0, 2.0), y=(1.0, 0.0, math.inf), low=(0.5, -1.0, 1.0), high=(2.0, 1.0, 3.0))
    band, line = panel_figure(FigurePanel(title="", x="", y="", y_scale="log", curves=(bare,)))["data"]
    assert line["y"] == [1.0, None, None]
    assert band["x"] == [0.0, 2.0, 2.0, 0.0]


def test_bands_of_another_kind_are_told_as_what_they_are():
    figure = _figure(Curve(name="gap", x=(0.0,), y=(1.0,), low=(0.5,), high=(2.0,)))
    assert "Bands are 95\u00a0% intervals of the mean over draws." in legend(figure)
    assert "Bands are the range." in legend(replace(figure, bands="the range"))


def test_the_page_tells_what_lines_and_marks_are_and_escapes_names():
    ours = Curve(name="<b>gap", x=(0.0,), y=(1.0,), low=(0.5,), high=(2.0,))
    seen = Curve(name="<b>gap", x=(0.0,), y=(1.0,), published=True)
    figure = _figure(ours, seen)
    assert legend(figure).count(".") == 3
    text = page(figure)
    assert "&lt;b&gt;gap" in text and "arXiv:2310.02012" in text
    cells = StudyFigure(
        id="D.fig6", title="Map.", source=SOURCE, panels=(FigurePanel(title="", x="", y="", cells=((1.0,),)),)
    )
    assert legend(cells) == "" and "heatmap" in page(cells)
