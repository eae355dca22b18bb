"""Figures of sweeps against SciPy."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from leadline._core.errors import UsageError
from leadline.studies.sweeps import figures


def cells(generator: np.random.Generator, *, seeds: int = 6) -> pd.DataFrame:
    rows = [
        {"key": f"{depth}{norm}{seed}", "design": "mlp", "depth": depth, "norm": norm, "width": 64, "seed": seed}
        | {"status": "done", "log10_grad_norm_rate": depth / 10 + generator.normal()}
        | {"participation_ratio": 3.0 * depth**-0.5 * math.exp(0.1 * generator.normal())}
        | {"trainable": float(generator.random()), "findings": "dead-units", "error": None, "attempts": 1}
        for depth in (10, 20, 40)
        for norm in ("batch", "none")
        for seed in range(seeds)
    ]
    return pd.DataFrame(rows)


@pytest.fixture
def rng(generator) -> np.random.Generator:
    return np.random.default_rng(generator.initial_seed())


def test_axes_are_what_varies(rng):
    assert figures.axes(cells(rng)) == ["depth", "norm"]


def test_a_line_is_the_mean_over_seeds_with_students_interval(rng):
    table = cells(rng)
    drawn = figures.figure(table)
    assert [trace.name for trace in drawn.data] == ["norm batch", "norm none"]
    for trace, norm in zip(drawn.data, ("batch", "none"), strict=True):
        assert list(trace.x) == [10, 20, 40]
        for i, depth in enumerate(trace.x):
            values = table[(table["depth"] == depth) & (table["norm"] == norm)]["log10_grad_norm_rate"]
            low, high = stats.t.interval(0.95, len(values) - 1, loc=values.mean(), scale=stats.sem(values))
            assert trace.y[i] == pytest.approx(values.mean())
            assert trace.y[i] + trace.error_y.array[i] == pytest.approx(high)
            assert trace.y[i] - trace.error_y.arrayminus[i] == pytest.approx(low)


def test_one_seed_has_no_interval(rng):
    drawn = figures.figure(cells(rng, seeds=1))
    assert list(drawn.data[0].error_y.array) == [None] * 3


def test_a_phase_diagram_is_the_mean_of_every_pair(rng):
    table = cells(rng)
    table.loc[0, "trainable"] = math.nan
    drawn = figures.figure(table, kind="phase", x="norm", y="depth")
    (trace,) = drawn.data
    assert list(trace.x) == ["batch", "none"] and list(trace.y) == ["10", "20", "40"]
    for i, depth in enumerate((10, 20, 40)):
        for j, norm in enumerate(("batch", "none")):
            values = table[(table["depth"] == depth) & (table["norm"] == norm)]["trainable"]
            assert trace.z[i][j] == pytest.approx(np.nanmean(values))


def test_numbers_of_a_map_stand_side_by_side(rng):
    drawn = figures.figure(cells(rng), kind="phase")
    assert drawn.layout.xaxis.type == drawn.layout.yaxis.type == "category"


def searched(rng) -> pd.DataFrame:
    """A random search: no value comes twice."""
    table = cells(rng, seeds=30).drop(columns=["norm"])
    count = len(table)
    return table.assign(depth=np.arange(count), width=10 ** rng.uniform(0, 4, size=count))


def test_a_random_search_is_drawn_as_points(rng):
    table = searched(rng)
    (trace,) = figures.figure(table, kind="phase", x="width", y="depth", metric="trainable").data
    assert trace.type == "scatter" and len(trace.x) == len(table)
    expected = table.set_index("width")["trainable"]
    assert list(trace.marker.color) == expected.loc[list(trace.x)].tolist()
    layout = figures.figure(table, kind="phase", x="width", y="depth").layout
    assert (layout.xaxis.type, layout.yaxis.type) == ("log", "linear")


def test_more_lines_than_can_be_told_apart_are_refused(rng):
    with pytest.raises(UsageError, match="180 combinations, a line each, and at most 24"):
        figures.figure(searched(rng), x="width")


def test_a_slope_is_that_of_scipy_with_its_interval(rng):
    x, y = rng.normal(size=12), rng.normal(size=12)
    found, expected = figures.slope([*x, math.nan], [*y, 1.0]), stats.linregress(x, y)
    half = stats.t.ppf(0.975, 10) * expected.stderr
    assert found.estimate == pytest.approx(expected.slope)
    assert (found.low, found.high) == pytest.approx((expected.slope - half, expected.slope + half))


def test_a_power_law_is_found_and_said(rng):
    drawn = figures.figure(cells(rng, seeds=40), kind="scaling", x="depth")
    assert drawn.layout.xaxis.type == drawn.layout.yaxis.type == "log"
    assert list(drawn.layout.xaxis.ticktext) == ["10", "20", "40"]
    points = [trace for trace in drawn.data if trace.mode == "markers"]
    for trace in points:
        expected = stats.linregress(np.log10(trace.x), np.log10(trace.y)).slope
        assert float(trace.name.split("slope ")[1].split()[0].replace("−", "-")) == pytest.approx(expected, abs=0.006)
        assert expected == pytest.approx(-0.5, abs=0.15)


def test_a_law_through_one_place_or_of_negative_values_is_not_drawn(rng):
    table = cells(rng).assign(participation_ratio=-1.0)
    with pytest.raises(UsageError, match="no power law to draw"):
        figures.figure(table, kind="scaling")
    assert math.isnan(figures.slope([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]).estimate)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"kind": "pie"}, "kind must be one of rates, phase, scaling"),
        ({"metric": "los"}, "metric must be one of log10_grad_norm_rate"),
        ({"metric": "findings"}, "metric must be one of"),
        ({"x": "dept"}, "x must be one of depth, norm.*did you mean 'depth'"),
        ({"kind": "phase", "x": "depth", "y": "depth"}, "two different axes"),
        ({"kind": "rates", "y": "depth"}, "Only a phase diagram"),
    ],
)
def test_a_wrong_wish_is_refused(rng, how, said):
    with pytest.raises(UsageError, match=said):
        figures.figure(cells(rng), **how)


def test_a_figure_without_an_axis_or_without_cells_says_so(rng):
    table = cells(rng)
    with pytest.raises(UsageError, match="only norm vary|needs another axis"):
        figures.figure(table[table["depth"] == 10])
    with pytest.raises(UsageError, match="No cell of this store is done"):
        figures.figure(table.assign(status="pending"))


def test_the_page_needs_no_network_and_is_the_same_again(rng, tmp_path):
    table = cells(rng)
    one = figures.plot(table, tmp_path / "a.html").read_bytes()
    assert one == figures.plot(table, tmp_path / "b.html").read_bytes()
    assert b"<script src=" not in one and b"norm batch" in one
