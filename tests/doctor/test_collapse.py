import math
from dataclasses import replace

import pytest
from tests.doctor.synthetic import chain, found, geometric

from leadline._core.profile import LayerProfile, Profile


@pytest.mark.parametrize(
    ("metric", "code", "warns"), [("distinction", "rank-collapse", 1e-4), ("token_distinction", "token-collapse", 1e-3)]
)
def test_samples_or_positions_that_become_alike_are_judged_by_what_is_left(metric, code, warns):
    for end, severity in ((2 * warns, None), (warns / 2, "warning"), (2e-10, "warning"), (5e-11, "error")):
        values = geometric(21, math.log10(end / 0.5) / 20, start=0.5)
        findings = found(chain({metric: values}), code)
        assert [finding.severity for finding in findings] == ([severity] if severity else [])


def test_one_block_that_runs_many_times_collapses_with_a_warning_at_most():
    profile = chain({"token_distinction": geometric(21, -0.55, start=0.5)})
    repeats = [replace(layer, name=f"block#{i + 1}" if i else "block") for i, layer in enumerate(profile.layers)]
    (finding,) = found(replace(profile, layers=tuple(repeats)), "token-collapse")
    assert finding.severity == "warning"
    assert [each.severity for each in found(profile, "token-collapse")] == ["error"]


def test_a_collapse_tells_its_rate_and_its_end():
    (finding,) = found(chain({"distinction": [0.5 * 10 ** (-i / 2) for i in range(21)]}), "rank-collapse")
    assert finding.layer == "fc1"
    assert "falls by 0.5 decades a layer" in finding.message
    assert "a share of 5e−11" in finding.message


def test_the_rounding_behind_a_collapse_is_not_taken_for_its_rate():
    values = [0.5 * 10.0**-i for i in range(13)] + [1e-15] * 40
    (finding,) = found(chain({"distinction": values}), "rank-collapse")
    assert "falls by 1 decade a layer" in finding.message


def test_the_slow_loss_of_a_relu_network_at_its_right_gain_does_not_alarm():
    values = [min(0.9, 44 / (i + 7) ** 2) for i in range(100)]
    profile = chain({"distinction": values, "participation_ratio": [1.01] * 100, "mean_cosine": [0.99] * 100})
    assert found(profile, "rank-collapse") == []


@pytest.mark.parametrize(("ratio", "count"), [(1.0, 1), (1.05, 1), (1.06, 0)])
def test_a_layer_that_leaves_one_direction_is_named(ratio, count):
    profile = chain({"centred_participation_ratio": [9.0, 8.0, ratio, ratio]})
    findings = found(profile, "rank-collapse")
    assert [(finding.layer, finding.severity) for finding in findings] == [("fc2", "warning")] * count
    assert all("8 in front of it" in finding.message for finding in findings)


def test_a_gradual_loss_of_all_but_one_direction_is_a_warning():
    profile = chain({"centred_participation_ratio": [9.0, 4.0, 2.0, 1.5, 1.2, 1.04, 1.01]})
    (finding,) = found(profile, "rank-collapse")
    assert (finding.layer, finding.severity) == ("fc5", "warning")


def test_data_of_one_direction_is_no_fault_of_the_network():
    inputs = LayerProfile(
        name="input", kind="input", depth=0, role="input", n=32, d=16, metrics={"centred_participation_ratio": 1.0}
    )
    profile = chain({"centred_participation_ratio": [1.0, 1.0, 1.0]}, inputs=inputs)
    assert found(profile, "rank-collapse") == []


@pytest.mark.parametrize(("rank", "count"), [(0.0, 0), (1.0, 1), (1.05, 1), (1.06, 0), (12.0, 0)])
def test_a_weight_of_rank_one_is_named_with_its_module(rank, count):
    profile = chain(
        {"rms": [1.0, 1.0]}, weight_ranks={"fc1.inner.weight": rank}, weight_shapes={"fc1.inner.weight": (16, 32)}
    )
    findings = found(profile, "rank-collapse")
    assert [(finding.layer, finding.evidence["module"]) for finding in findings] == [("fc1", "fc1.inner")] * count


def test_a_weight_with_a_single_column_cannot_have_more_than_rank_one():
    profile = chain({"rms": [1.0, 1.0]}, weight_ranks={"fc1.weight": 1.0}, weight_shapes={"fc1.weight": (16, 1)})
    assert found(profile, "rank-collapse") == []


def test_the_first_layer_with_the_same_output_for_every_sample_is_an_error():
    (finding,) = found(chain({"rms": [1.0] * 4, "distinction": [0.9, 0.5, 1e-16, 1e-16]}), "constant-output")
    assert (finding.layer, finding.severity) == ("fc2", "error")
    assert "tells samples apart; a share of 0.5 of what it reads does" in finding.message


@pytest.mark.parametrize(("distinction", "layer"), [(1e-13, "fc2"), (5e-14, "fc1")])
def test_an_output_is_constant_below_the_rounding_of_its_dtype(distinction, layer):
    profile = chain({"rms": [1.0] * 3, "distinction": [0.9, distinction, 1e-16]})
    assert [finding.layer for finding in found(profile, "constant-output")] == [layer]


@pytest.mark.parametrize(
    ("end", "alike", "constant"), [(2.5e-4, [], []), (1.7e-4, ["fc3"], []), (7e-5, [], ["fc3"]), (0.0, [], ["fc3"])]
)
def test_samples_that_bfloat16_rounds_away_by_degrees_are_alike_and_no_constant_output(end, alike, constant):
    profile = chain({"rms": [1.0] * 4, "distinction": [0.03, 0.02, 8e-4, end]})
    coarse = replace(profile, layers=tuple(replace(layer, dtype="bfloat16") for layer in profile.layers))
    assert [finding.layer for finding in found(coarse, "constant-output")] == constant
    findings = found(coarse, "rank-collapse")
    assert [(finding.layer, finding.severity) for finding in findings] == [(layer, "warning") for layer in alike]
    if alike:
        assert "a share of 1.7e−4 of the squared length behind it and 8e−4 in front" in findings[0].message


def test_a_constant_branch_that_samples_find_a_way_around_is_no_cut():
    profile = chain({"rms": [1.0] * 4, "distinction": [0.9, 1e-16, 0.9, 0.8]})
    assert found(profile, "constant-output") == []


def test_a_head_that_starts_at_zero_is_a_note():
    profile = chain({"rms": [1.0, 1.0, 0.0], "distinction": [0.9, 0.9, float("nan")]})
    (finding,) = found(profile, "constant-output")
    assert (finding.layer, finding.severity) == ("fc2", "note")


@pytest.mark.parametrize(("reads", "layer", "severity"), [("fc1", "fc3", "note"), ("fc2", "fc2", "error")])
def test_a_gate_at_zero_that_ran_before_a_head_at_zero_is_no_cut_where_samples_reach_the_head(reads, layer, severity):
    profile = chain({"rms": [1.0, 1.0, 0.0, 0.0], "distinction": [0.9, 0.9, float("nan"), float("nan")]})
    paths = [("inputs",), ("fc0",), ("fc1",), (reads, "fc2")]
    layers = tuple(replace(each, reads=path) for each, path in zip(profile.layers, paths, strict=True))
    (finding,) = found(replace(profile, layers=layers), "constant-output")
    assert (finding.layer, finding.severity) == (layer, severity)


def test_one_zero_weight_among_its_like_is_named():
    profile = chain({"rms": [1.0] * 4})
    norms = {f"h.{i}.fc.weight": 0.0 if i == 2 else 4.0 for i in range(4)}
    (finding,) = found(replace(profile, weight_norms=norms), "constant-output")
    assert finding.layer == "h.2.fc.weight"
    assert "3 like it are not" in finding.message


def test_weights_that_all_start_at_zero_are_meant_to():
    norms = {f"h.{i}.out.weight": 0.0 for i in range(4)}
    assert found(replace(chain({"rms": [1.0] * 4}), weight_norms=norms), "constant-output") == []


@pytest.mark.parametrize(("factor", "count"), [(29.0, 0), (31.0, 1), (1000.0, 1)])
def test_a_weight_far_larger_than_its_like_is_named(factor, count):
    norms = {f"h.{i}.fc.weight": 4.0 * (factor if i == 1 else 1.0) for i in range(5)}
    shapes = dict.fromkeys(norms, (16, 16))
    profile = replace(chain({"rms": [1.0] * 4}), weight_norms=norms, weight_shapes=shapes)
    findings = found(profile, "activation-growth")
    assert len(findings) == count
    assert all(f"{factor:.4g} times as much" in finding.message for finding in findings)


def test_positions_that_one_layer_makes_alike_to_the_end_are_named_there():
    (finding,) = found(chain({"token_distinction": [0.8, 0.6, 1e-6, 1e-6, 2e-6]}), "token-collapse")
    assert (finding.layer, finding.severity) == ("fc2", "warning")
    assert "a share of 1e−6" in finding.message and "of what it reads 0.6" in finding.message


@pytest.mark.parametrize(
    "values",
    [
        [0.8, 0.6, 1e-6, 0.5, 0.5],  # a skip brings them back
        [0.8, 0.6, 2e-3, 2e-3, 2e-3],  # not as alike as that
        [0.9, 2e-3, 2e-3, 2e-3, 0.9e-3],  # hardly over the limit, by a small step
    ],
)
def test_positions_that_stay_apart_are_no_collapse(values):
    assert found(chain({"token_distinction": values}), "token-collapse") == []


@pytest.mark.parametrize(("rate", "joined", "count"), [(-0.5, True, 1), (-0.5, False, 0), (-0.15, True, 0)])
def test_samples_that_a_long_way_brings_past_a_collapse_are_a_warning_where_it_is(rate, joined, count):
    profile = chain({"distinction": [*[0.8] * 5, *geometric(20, rate, start=0.4), 0.3, 0.5, 0.4]})  # at -0.15 to 6e-4
    reads = [("inputs",), *((layer.name,) for layer in profile.layers)]
    layers = [
        replace(layer, reads=(*read, "fc1") if joined and layer.name == "fc25" else read)
        for layer, read in zip(profile.layers, reads, strict=False)
    ]
    findings = found(replace(profile, layers=tuple(layers)), "rank-collapse")
    assert [(finding.layer, finding.severity) for finding in findings] == [("fc5", "warning")] * count
    assert all("at fc24, and later layers tell them apart" in finding.message for finding in findings)


def blocks(depth, **fields):
    layers = tuple(
        LayerProfile(name=f"stage{i}.0", kind="Block", role="block", depth=i, metrics={"rms": 1.0})
        for i in range(1, depth + 1)
    )
    return Profile(layers=layers, **fields)


def weights(depth, gain):
    names = [f"stage{i}.0.conv2.weight" for i in range(1, depth + 1)]
    norms = dict.fromkeys(names, 4.0) | {names[-1]: 4.0 * gain}
    return {"weight_norms": norms, "weight_shapes": dict.fromkeys(names, (16, 16))}


@pytest.mark.parametrize("depth", [2, 3])
def test_a_zero_among_the_same_weights_of_a_few_stages_is_named(depth):
    (finding,) = found(blocks(depth, **weights(depth, 0.0)), "constant-output")
    assert finding.layer == f"stage{depth}.0"


@pytest.mark.parametrize(("gain", "count"), [(40.0, 1), (20.0, 0)])
@pytest.mark.parametrize("depth", [2, 3])
def test_the_larger_of_two_weights_of_one_place_is_held_against_the_other(depth, gain, count):
    assert len(found(blocks(depth, **weights(depth, gain)), "activation-growth")) == count


def test_a_last_map_at_zero_in_every_block_is_meant_where_its_neighbour_has_the_same_name():
    names = [f"stage{i}.0.{j}.weight" for i in (1, 2) for j in (0, 2)]
    norms = {name: 0.0 if ".2." in name else 4.0 for name in names}
    assert found(blocks(2, weight_norms=norms, weight_shapes=dict.fromkeys(names, (16, 16))), "constant-output") == []
