"""A profile answers for its layers, its chain and its rates."""

import math

import pytest

from leadline._core.profile import LayerProfile, Profile


def _layer(name: str, kind: str = "Linear", role: str = "leaf", **metrics: float) -> LayerProfile:
    return LayerProfile(name=name, kind=kind, depth=0, role=role, metrics=metrics)


def test_a_metric_that_does_not_apply_is_nan() -> None:
    assert math.isnan(_layer("a").dead_fraction)


def test_an_unknown_metric_is_an_error_that_offers_the_nearest() -> None:
    with pytest.raises(AttributeError, match="did you mean `grad_norm`"):
        _ = _layer("a").gradnorm
    with pytest.raises(ValueError, match="unknown metrics colour"):
        _layer("a", colour=1.0)


def test_the_chain_is_the_blocks_where_there_are_blocks() -> None:
    layers = (_layer("stem"), _layer("b.0", "Block", "block"), _layer("b.1", "Block", "block"), _layer("head"))
    assert [layer.name for layer in Profile(layers=layers).chain] == ["b.0", "b.1"]


def test_the_chain_is_the_linear_maps_where_there_are_no_blocks() -> None:
    layers = (_layer("0"), _layer("1", "BatchNorm1d"), _layer("2"), _layer("3", "BatchNorm1d"))
    assert [layer.name for layer in Profile(layers=layers).chain] == ["0", "2"]


def test_the_rate_is_in_decades_per_layer() -> None:
    profile = Profile(layers=tuple(_layer(str(i), grad_norm=10.0 ** (-0.25 * i)) for i in range(9)))
    assert profile.rate("grad_norm").estimate == pytest.approx(-0.25, rel=1e-12)


def test_several_draws_give_an_interval_over_draws() -> None:
    def draw(step: float) -> Profile:
        return Profile(layers=tuple(_layer(str(i), rms=10.0 ** (step * i)) for i in range(5)))

    first = Profile(layers=draw(0.1).layers, draws=(draw(0.2), draw(0.3)), draws_over="draws")
    measured = first.rate("rms")
    assert measured.over == "draws"
    assert measured.estimate == pytest.approx(0.2)
    # Student's 97.5 % point with 2 degrees of freedom is 4.3027; the standard error is 0.1 / sqrt(3).
    assert measured.high - measured.estimate == pytest.approx(4.3027 * 0.1 / math.sqrt(3), rel=1e-4)


def test_a_layer_is_found_by_name_and_a_wrong_name_offers_the_nearest() -> None:
    profile = Profile(layers=(_layer("encoder.layer.0"),))
    assert profile["encoder.layer.0"].kind == "Linear"
    with pytest.raises(KeyError, match="did you mean 'encoder.layer.0'"):
        profile["encoder.layers.0"]


def test_the_frame_has_a_row_a_layer_and_only_columns_that_apply() -> None:
    frame = Profile(layers=(_layer("a", rms=1.0), _layer("b", rms=2.0))).to_frame()
    assert list(frame["name"]) == ["a", "b"]
    assert "rms" in frame and "dead_fraction" not in frame


def test_a_name_is_text_in_the_notebook_table() -> None:
    html = Profile(layers=(_layer("<script>alert(1)</script>", rms=1.0),))._repr_html_()
    assert "<script>" not in html and "&lt;script&gt;" in html
