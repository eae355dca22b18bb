"""The plots: the profile's own numbers, theory through their median, and a place for what is not finite."""

import math
from dataclasses import replace

import plotly.graph_objects as go
import pytest
from tests.reporting.records import explained, layer, vanishing

from leadline._core.diagnosis import Finding, Prediction
from leadline._core.profile import METRICS, Profile
from leadline.reporting.plots import PANELS, figures
from leadline.reporting.words import MEANINGS


def trace(figure, name):
    (found,) = [t for t in figure["data"] if t.get("name") == name]
    return found


@pytest.mark.parametrize("metric", ["rms", "grad_norm", "weight_grad_norm", "isometry_gap"])
def test_a_line_holds_the_numbers_of_the_profile(metric):
    profile = vanishing()
    (panel,) = [p for p in PANELS if metric in p.metrics]
    line = trace(figures(profile)[panel.key], metric)
    assert line["x"] == [0, 1, 2, 3]
    assert line["y"] == [getattr(one, metric) for one in profile.layers]


def test_plotly_accepts_every_figure():
    diagnosis = explained(replace(vanishing(), draws=(vanishing(),), draws_over="draws"))
    drawn = figures(diagnosis.profile, findings=diagnosis.findings, predictions=diagnosis.predictions)
    assert list(drawn) == ["forward", "backward", "isometry"]
    for figure in drawn.values():
        go.Figure(figure)


def test_what_has_no_number_is_not_drawn():
    assert list(figures(Profile(layers=(layer(0, rms=1.0, grad_norm=math.nan),)))) == ["forward"]


def test_theory_runs_at_its_rate_through_the_median_of_the_measured():
    # log10 grad_norm is -3, -2, -1, 0; less 0.5 per layer that is -3, -2.5, -2, -1.5 with median -2.25.
    drawn = figures(vanishing(), predictions=[Prediction(metric="grad_norm", rate=0.5, statement="")])
    theory = trace(drawn["backward"], "theory for grad_norm")
    assert [math.log10(y) for y in theory["y"]] == pytest.approx([-2.25, -1.75, -1.25, -0.75], abs=1e-12)


def test_theory_runs_along_the_blocks_only():
    blocks = [layer(k, role="block", kind="Block", rms=1.0) for k in (1, 2, 3)]
    profile = Profile(layers=(layer(0, rms=5.0), *blocks, layer(4, rms=5.0)))
    drawn = figures(profile, predictions=[Prediction(metric="rms", rate=0.0, statement="")])
    theory = trace(drawn["forward"], "theory for rms")
    assert (theory["x"], theory["y"]) == ([1, 2, 3], [1.0, 1.0, 1.0])


def test_theory_beyond_any_float_is_left_out():
    drawn = figures(vanishing(), predictions=[Prediction(metric="rms", rate=200.0, statement="")])
    assert trace(drawn["forward"], "theory for rms")["y"][0] is None


@pytest.mark.parametrize(("value", "name", "edge"), [(math.inf, "rms is ∞", 1), (0.0, "rms is 0", 0)])
def test_what_has_no_place_on_a_logarithmic_axis_is_marked_at_its_edge(value, name, edge):
    profile = Profile(layers=(layer(0, rms=1.0), layer(1, rms=value), layer(2, rms=0.1)))
    figure = figures(profile)["forward"]
    marker = trace(figure, name)
    assert trace(figure, "rms")["y"] == [1.0, None, 0.1]
    assert marker["x"] == [1]
    assert math.log10(marker["y"][0]) == pytest.approx(figure["layout"]["yaxis"]["range"][edge], abs=1e-12)


def test_nan_leaves_a_gap_and_no_marker():
    profile = Profile(layers=(layer(0, rms=1.0), layer(1, rms=math.nan), layer(2, rms=0.1)))
    figure = figures(profile)["forward"]
    assert trace(figure, "rms")["y"] == [1.0, None, 0.1]
    assert len(figure["data"]) == 2


def test_a_kind_that_never_has_the_metric_does_not_break_the_line():
    profile = Profile(
        layers=(
            layer(0, weight_grad_norm=1.0, finite_fraction=1.0),
            layer(1, kind="ReLU", finite_fraction=1.0),
            layer(2, weight_grad_norm=2.0, finite_fraction=1.0),
        )
    )
    assert trace(figures(profile)["backward"], "weight_grad_norm")["x"] == [0, 2]


def test_a_layer_with_broken_values_breaks_the_line_whatever_its_kind():
    profile = Profile(layers=(layer(0, rms=1.0), layer(1, kind="ReLU", finite_fraction=0.5), layer(2, rms=2.0)))
    assert trace(figures(profile)["forward"], "rms")["y"] == [1.0, None, 2.0]


def test_a_finding_is_marked_at_its_layer_in_its_panel():
    finding = Finding(code="gradient-vanishing", layer="layers.2", severity="error", message="")
    drawn = figures(vanishing(), findings=[finding])
    ring = drawn["backward"]["data"][-1]
    assert (ring["x"], ring["y"]) == ([2], [0.1])
    assert ring["hovertemplate"].startswith("error: gradient-vanishing")
    assert drawn["forward"]["layout"]["shapes"] == [] and len(drawn["backward"]["layout"]["shapes"]) == 1


def test_every_code_has_one_panel():
    from leadline._core.diagnosis import CODES

    assert sorted(code for panel in PANELS for code in panel.codes) == sorted(CODES)


def test_other_draws_are_thin_lines_of_their_own_numbers():
    other = Profile(layers=(layer(0, rms=2.0), layer(1, rms=4.0)))
    profile = Profile(layers=(layer(0, rms=1.0), layer(1, rms=1.0)), draws=(other,), draws_over="draws")
    (thin,) = [t for t in figures(profile)["forward"]["data"] if t.get("hoverinfo") == "skip"]
    assert thin["y"] == [2.0, 4.0] and thin["line"]["width"] == 1


def test_the_axis_holds_every_number_of_every_draw():
    other = Profile(layers=(layer(0, rms=1e-5), layer(1, rms=1e7)))
    profile = Profile(layers=(layer(0, rms=1.0), layer(1, rms=1.0)), draws=(other,), draws_over="draws")
    low, high = figures(profile)["forward"]["layout"]["yaxis"]["range"]
    assert low < -5 and high > 7


def test_the_hover_names_every_layer_and_keeps_the_end_of_a_long_name():
    profile = Profile(layers=(layer(0, rms=1.0), layer(1, name="encoder." * 10 + "attention", rms=1.0)))
    first, second = figures(profile)["forward"]["data"][0]["text"]
    assert first == "layers.0 (Linear)"
    assert second.startswith("…") and second.endswith("encoder.attention (Linear)") and len(second) == 40 + 9


def test_every_drawn_metric_exists_and_is_explained():
    drawn = {metric for panel in PANELS for metric in panel.metrics}
    assert drawn <= set(MEANINGS) <= set(METRICS)


def test_between_powers_of_ten_the_labels_are_whole_numbers_as_a_reader_writes_them():
    profile = Profile(layers=tuple(layer(i, rms=rms) for i, rms in enumerate((0.4, 1.0, 3.0))))
    axis = figures(profile)["forward"]["layout"]["yaxis"]
    assert axis["tickvals"] == pytest.approx([0.5, 1.0, 2.0, 5.0])
    assert axis["ticktext"] == ["0.500", "1.00", "2.00", "5.00"]


def test_every_logarithmic_axis_has_a_label():
    for rms in (0.011, 0.3, 1.0, 7e5):
        axis = figures(Profile(layers=(layer(0, rms=rms),)))["forward"]["layout"]["yaxis"]
        assert axis["tickvals"]


@pytest.mark.parametrize(("layers", "step"), [(2, 1), (6, 1), (7, None)])
def test_there_is_nothing_between_two_layers_to_label(layers, step):
    axis = figures(vanishing(layers))["forward"]["layout"]["xaxis"]
    assert axis.get("dtick") == step
