from dataclasses import replace

import pytest
from tests.doctor.synthetic import chain, found, geometric

from leadline._core.profile import LayerProfile, Profile
from leadline.doctor.trends import trend

DEPTH = 21


@pytest.mark.parametrize(
    ("code", "rate", "severity"),
    [
        ("activation-growth", 0.09, None),
        ("activation-growth", 0.11, "warning"),
        ("activation-growth", 0.17, "warning"),
        ("activation-growth", 0.18, "error"),
        ("activation-decay", -0.09, None),
        ("activation-decay", -0.11, "warning"),
        ("activation-decay", -0.31, "error"),
    ],
)
def test_a_geometric_drift_is_judged_by_its_decades_over_the_depth(code, rate, severity):
    findings = found(chain({"rms": geometric(DEPTH, rate)}), code)
    assert [finding.severity for finding in findings] == ([severity] if severity else [])
    assert all(f"{abs(rate):.3g} decades a layer" in finding.message for finding in findings)


@pytest.mark.parametrize(("code", "sign"), [("activation-growth", 1), ("activation-decay", -1)])
def test_a_drift_at_the_limit_is_let_pass(code, sign):
    profile = chain({"rms": geometric(DEPTH, sign * 0.15)})
    assert found(profile, code, limit=abs(trend(profile, "rms").decades)) == []


def test_a_drift_of_activations_is_put_at_the_layer_where_it_starts():
    (finding,) = found(chain({"rms": geometric(8, 0.0) + geometric(14, 0.4)}), "activation-growth")
    assert finding.layer == "fc9"


@pytest.mark.parametrize(("factor", "code"), [(1e3, "activation-growth"), (1e-3, "activation-decay")])
def test_one_layer_that_multiplies_is_named(factor, code):
    (finding,) = found(chain({"rms": [1.0] * 5 + [factor] * 5}), code)
    assert (finding.layer, finding.severity) == ("fc5", "error")
    assert "1000 times" in finding.message


@pytest.mark.parametrize(("factor", "count"), [(28.0, 0), (34.0, 1)])
def test_the_limit_for_one_layer_is_a_factor_of_thirty(factor, count):
    assert len(found(chain({"rms": [1.0] * 5 + [factor] * 5}), "activation-growth")) == count


def test_the_first_layer_is_held_against_the_input():
    inputs = LayerProfile(name="input", kind="input", depth=0, role="input", metrics={"rms": 1.0})
    (finding,) = found(chain({"rms": [500.0] * 6}, inputs=inputs), "activation-growth")
    assert finding.layer == "fc0"
    assert "makes its input 500 times larger (root mean square 1 in front, 500 behind)" in finding.message


def test_one_fault_in_a_decaying_chain_is_found_against_the_usual_decay():
    values = [10 ** (-0.39 * i) * (1e3 if i >= 7 else 1.0) for i in range(12)]
    (finding,) = found(chain({"rms": values}), "activation-growth")
    assert finding.layer == "fc7"
    assert "makes its input 1000 times larger than its like do (" in finding.message


@pytest.mark.parametrize(("rate", "count"), [(0.04, 0), (0.06, 1)])
def test_branches_that_grow_tenfold_over_the_depth_are_named(rate, count):
    profile = chain({"branch_rms": geometric(DEPTH, rate), "rms": [1.0] * DEPTH})
    assert len(found(profile, "activation-growth")) == count


def test_branches_that_grow_are_told_by_their_rate():
    profile = chain({"branch_rms": [2.0**i for i in range(9)], "rms": [1.0] * 9})
    (finding,) = found(profile, "activation-growth")
    assert finding.layer == "fc1"
    assert "branches grow by 0.301 decades a block (0.301 to 0.301), 2.41 decades over 8 blocks" in finding.message


def test_a_stream_that_grows_like_the_root_of_the_depth_is_healthy():
    profile = chain({"rms": [(1 + i) ** 0.5 for i in range(48)], "branch_rms": [1.0] * 48})
    assert found(profile, "activation-growth") == []


def test_a_norm_between_two_blocks_sets_the_scale_and_no_block_is_blamed_for_it():
    sizes = [("blocks.0", 1.0), ("blocks.1", 1e-4), ("norm", 1.0), ("blocks.2", 1.2), ("blocks.3", 1.1)]
    kinds = {"norm": ("LayerNorm", "leaf")}
    layers = tuple(
        LayerProfile(
            name=name,
            kind=kinds.get(name, ("Block", "block"))[0],
            role=kinds.get(name, ("Block", "block"))[1],
            depth=i,
            metrics={"rms": rms},
        )
        for i, (name, rms) in enumerate(sizes)
    )
    assert found(Profile(layers=layers), "activation-growth") == []
    louder = (*layers[:3], replace(layers[3], metrics={"rms": 1000.0}), *layers[4:])
    (finding,) = found(Profile(layers=louder), "activation-growth")
    assert finding.layer == "blocks.2" and "1000 times larger" in finding.message


@pytest.mark.parametrize("place", [0, 4, 9])
def test_one_branch_much_larger_than_the_others_is_named(place):
    sizes = [40.0 if i == place else 1.0 for i in range(10)]
    (finding,) = found(chain({"branch_rms": sizes}), "activation-growth")
    assert (finding.layer, finding.severity) == (f"fc{place}", "warning")
    assert "a root mean square of 40" in finding.message


@pytest.mark.parametrize("sizes", [[1.0] * 5 + [40.0] * 5, [1e-6, 0.0, 0.0, 0.0, 0.0], [1.0, 40.0]])
def test_branches_that_are_large_together_or_zero_otherwise_are_not(sizes):
    assert found(chain({"branch_rms": sizes}), "activation-growth") == []


def test_branches_that_grow_in_a_part_of_the_chain_are_found_where_they_begin():
    sizes = geometric(10, 0.0) + [10 ** (0.8 * i) for i in range(1, 6)]
    (finding,) = found(chain({"branch_rms": sizes}), "activation-growth")
    assert finding.layer == "fc10"
    assert "grow by 0.8 decades" in finding.message


def stem(kind: str, rms: float) -> Profile:
    sizes = {"stem": 1.0, "norm": rms, "blocks.0": 1.5 * rms, "blocks.1": 2.0 * rms, "blocks.2": 2.3 * rms}
    kinds = {"stem": "Conv2d", "norm": kind}
    return Profile(
        layers=tuple(
            LayerProfile(
                name=name,
                kind=kinds.get(name, "Block"),
                role="block" if name not in kinds else "leaf",
                depth=i,
                metrics={"rms": size},
            )
            for i, (name, size) in enumerate(sizes.items())
        )
    )


def test_a_norm_that_multiplies_what_it_evens_out_is_named():
    (finding,) = found(stem("LayerNorm", 100.0), "activation-growth")
    assert finding.layer == "norm" and "the norm has a root mean square of 100" in finding.message
    assert found(stem("LayerNorm", 1.0), "activation-growth") == []
    assert found(replace(stem("BatchNorm2d", 100.0), mode="eval"), "activation-growth") == []


def test_a_map_right_in_front_of_a_norm_may_have_any_size():
    layers = stem("LayerNorm", 1.0).layers
    loud = replace(layers[0], metrics={"rms": 1000.0})
    inputs = LayerProfile(name="", kind="Tensor", role="input", depth=0, metrics={"rms": 1.0})
    assert found(Profile(layers=(loud, *layers[1:]), inputs=inputs), "activation-growth") == []


@pytest.mark.parametrize(("loud", "layers"), [(1000.0, ["0"]), (1.0, [])])
def test_a_stem_that_is_too_large_is_named_where_the_blocks_behind_it_have_numbers_for_names_too(loud, layers):
    stages = tuple(
        LayerProfile(name=str(i), kind="Block", role="block", depth=i, metrics={"rms": loud * (1 + 0.1 * i)})
        for i in range(1, 5)
    )
    first = LayerProfile(name="0", kind="Conv1d", depth=0, metrics={"rms": loud})
    inputs = LayerProfile(name="", kind="Tensor", role="input", depth=0, metrics={"rms": 1.0})
    findings = found(Profile(layers=(first, *stages), inputs=inputs), "activation-growth")
    assert [finding.layer for finding in findings] == layers
