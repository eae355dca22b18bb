import math
from dataclasses import replace

import pytest
from tests.doctor.synthetic import EMPTY, chain, geometric

from leadline._core.profile import LayerProfile, Profile
from leadline.doctor.trends import Trend, chain_steps, drift, onset, stand_apart, trend


def test_a_trend_without_faults_has_the_rate_of_the_profile():
    profile = chain({"rms": geometric(30, 0.1)})
    assert trend(profile, "rms").rate == profile.rate("rms")
    assert trend(profile, "rms").apart == ()


def test_one_jump_neither_counts_in_the_rate_nor_widens_it():
    values = [value * (1e3 if i >= 11 else 1.0) for i, value in enumerate(geometric(30, -0.2))]
    of = trend(chain({"rms": values}), "rms")
    assert [step.layer.name for step in of.apart] == ["fc11"]
    assert of.rate.estimate == pytest.approx(-0.2, abs=1e-3)
    assert of.rate.high - of.rate.low < 0.01


def test_a_single_fault_in_a_chain_of_two_stands_apart():
    assert [step.layer.name for step in trend(chain({"rms": [1.0, 1e3]}), "rms").apart] == ["fc1"]


def test_a_chain_that_falls_steeply_everywhere_has_no_step_apart():
    assert trend(chain({"rms": [10.0 ** (-2 * i) for i in range(9)]}), "rms").apart == ()


def test_steps_among_zeros_are_unknown_and_the_step_into_them_infinite():
    steps = trend(chain({"grad_norm": [0.0, 0.0, 1.0, 1.0]}), "grad_norm").steps
    assert math.isnan(steps[0].decades)
    assert steps[1].decades == math.inf
    assert steps[2].decades == 0.0


def test_values_below_the_floor_are_left_out():
    of = trend(chain({"distinction": [10.0 ** -min(2 * i, 15) for i in range(30)]}), "distinction", floor=1e-13)
    assert of.rate.estimate == pytest.approx(-2.0)
    assert len(of.steps) == 6


def test_the_onset_is_sought_from_the_loss_for_a_backward_metric():
    values = geometric(6, 0.0) + [10 ** (0.5 * i) for i in range(1, 7)]
    of = trend(chain({"grad_norm": values}), "grad_norm")
    assert onset(of).name == "fc6"
    assert onset(of, backward=True).name == "fc11"


def test_an_empty_profile_has_no_steps():
    of = trend(EMPTY, "rms")
    assert of.steps == ()
    assert math.isnan(of.rate.estimate)
    assert onset(of) is None


def test_among_leaves_of_many_names_the_chain_is_that_of_the_most_frequent_one():
    names = [f"h.{i}.{part}" for i in range(4) for part in ("attn.q", "attn.o", "mlp.fc")] + ["h.9.attn.q", "head"]
    layers = tuple(LayerProfile(name=name, kind="Linear", depth=i) for i, name in enumerate(names))
    assert [layer.name for layer in Profile(layers=layers).chain] == [f"h.{i}.attn.q" for i in (0, 1, 2, 3, 9)]


def test_a_fault_among_steps_of_several_kinds_is_held_against_its_like():
    names = [f"{i}.{part}" for i in range(6) for part in ("a", "b")]
    values = [1e-2 if name.endswith("b") else 1.0 for name in names]
    values[6:] = [30 * value for value in values[6:]]
    layers = [
        LayerProfile(name=name, kind="Linear", depth=i, metrics={"rms": value})
        for i, (name, value) in enumerate(zip(names, values, strict=True))
    ]
    assert [
        step.layer.name for step in stand_apart(chain_steps(Profile(layers=tuple(layers)), layers, "rms"), apart=1.0)
    ] == ["3.a"]


def test_a_part_that_drifts_between_parts_that_stand_still_is_a_drift_of_its_own():
    values = geometric(14, 0.0) + [10 ** (0.8 * i) for i in range(1, 6)]
    values += [values[-1]] * 12
    of = trend(chain({"rms": values}), "rms", apart=1.5)
    assert not of.geometric
    part = drift(of)
    assert part.part and [step.layer.name for step in part.steps] == [f"fc{i}" for i in range(14, 19)]
    assert part.rate.estimate == pytest.approx(0.8, abs=1e-3) and part.decades == pytest.approx(4.0, abs=1e-2)
    assert onset(part).name == "fc14"
    assert onset(part, backward=True).name == "fc18"


def test_what_wanders_without_a_drift_has_no_part_that_drifts():
    values = [10 ** (0.3 * math.cos(2.4 * i)) for i in range(40)]
    of = trend(chain({"rms": values}), "rms")
    assert drift(of) is of and drift(trend(EMPTY, "rms")).steps == ()


def wired(metric: str, values: dict[str, float], reads: dict[str, tuple[str, ...]]) -> Profile:
    layers = [
        LayerProfile(name=name, kind="Linear", depth=i, reads=reads.get(name, ()), metrics={metric: value})
        for i, (name, value) in enumerate(values.items())
    ]
    return Profile(layers=tuple(layers))


def pairs(of: Trend) -> list[tuple[str, str]]:
    return [(step.before.name, step.layer.name) for step in of.steps]


def test_a_layer_is_held_against_what_it_reads_and_not_against_what_ran_before():
    reads = {"stem": ("inputs",), "left": ("stem",), "right": ("stem",), "side": ("inputs",), "left2": ("left",)}
    values = {"stem": 1.0, "left": 1.0, "right": 1e4, "side": 1.0, "left2": 1.0}
    of = trend(wired("rms", values, reads), "rms")
    assert pairs(of) == [("stem", "left"), ("stem", "right"), ("left", "left2")]
    assert [step.layer.name for step in of.apart] == ["right"]


def test_layers_outside_of_the_chain_are_looked_through():
    reads = {"0": ("inputs",), "norm": ("0",), "1": ("norm",)}
    profile = wired("rms", {"0": 1.0, "norm": 5.0, "1": 2.0}, reads)
    steps = chain_steps(profile, [profile["0"], profile["1"]], "rms")
    assert [(step.before.name, step.layer.name) for step in steps] == [("0", "1")]


def test_where_branches_join_the_nearest_value_counts_forward_and_backward():
    reads = {"a": ("inputs",), "b": ("a",), "sum": ("a", "b")}
    assert pairs(trend(wired("rms", {"a": 1.0, "b": 1e-6, "sum": 1.0}, reads), "rms")) == [("a", "b"), ("a", "sum")]
    # The gradient of a is that which comes past b, and what reaches b is told by the sum alone.
    backward = trend(wired("grad_norm", {"a": 1.0, "b": 1e-6, "sum": 1.0}, reads), "grad_norm")
    assert pairs(backward) == [("a", "sum"), ("b", "sum")]


def test_where_the_graph_does_not_tell_it_is_the_layer_in_front():
    assert pairs(trend(wired("rms", {"a": 1.0, "b": 1.0, "c": 1.0}, {"a": ("inputs",)}), "rms")) == [
        ("a", "b"),
        ("b", "c"),
    ]


def test_layers_side_by_side_are_one_step_of_the_depth():
    profile = chain({"grad_norm": geometric(9, -0.5)})
    ways = [("inputs",), ("inputs",), ("inputs",), *[("fc0", "fc1", "fc2")] * 3, *[("fc3", "fc4", "fc5")] * 3]
    layers = tuple(replace(layer, reads=way) for layer, way in zip(profile.layers, ways, strict=True))
    beside, behind = trend(replace(profile, layers=layers), "grad_norm"), trend(profile, "grad_norm")
    assert (beside.length, behind.length) == (2, 8)
    assert beside.decades == pytest.approx(2 * beside.rate.estimate)
