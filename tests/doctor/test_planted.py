import pytest
import torch
from tests.doctor.faults import blames, diagnosed, kill, poison, rank_one, scale, told
from tests.doctor.models import conv_resnet, plain_mlp, tiny_gpt, tiny_vit, vectors
from torch import nn

from leadline._core.randomness import seeded

LARGE = {"activation-growth"}
CUT = {"constant-output", "dead-units"}

# Kind of network -> its builder and modules in it, early and late.
PLACES = {
    "mlp": (plain_mlp, ("blocks.2.linear", "blocks.7.linear")),
    "normalised mlp": (lambda: plain_mlp(norm="batch"), ("blocks.2.linear", "blocks.7.linear")),
    "resnet": (conv_resnet, ("stage1.1.conv1", "stage3.1.conv2")),
    "resnet without norm": (lambda: conv_resnet(norm="none"), ("stage1.1.conv1", "stage3.1.conv2")),
    "gpt": (tiny_gpt, ("transformer.h.1.attn.c_proj", "transformer.h.3.mlp.c_fc", "transformer.h.4.mlp.c_proj")),
    "vit": (tiny_vit, ("vit.layers.1.attention.v_proj", "vit.layers.2.mlp.fc2", "vit.layers.4.mlp.fc1")),
}


CASES = [(kind, path) for kind, (_, paths) in PLACES.items() for path in paths]


@pytest.mark.parametrize(("kind", "path"), CASES)
def test_a_weight_a_thousand_times_too_large_is_found_where_it_is(kind, path):
    case = PLACES[kind][0]()
    scale(case[0], path, 1000.0)
    diagnosis = diagnosed(case)
    assert blames(diagnosis, path, LARGE), told(diagnosis)


@pytest.mark.parametrize(("kind", "path"), CASES)
def test_a_weight_of_zero_is_found_where_it_is(kind, path):
    case = PLACES[kind][0]()
    scale(case[0], path, 0.0)
    diagnosis = diagnosed(case)
    assert blames(diagnosis, path, CUT), told(diagnosis)


@pytest.mark.parametrize(("kind", "path"), CASES)
def test_a_weight_of_rank_one_is_found_where_it_is(kind, path):
    case = PLACES[kind][0]()
    rank_one(case[0], path)
    diagnosis = diagnosed(case)
    assert blames(diagnosis, path, {"rank-collapse"}), told(diagnosis)


@pytest.mark.parametrize(("kind", "path"), [(kind, paths[-1]) for kind, (_, paths) in PLACES.items()])
def test_a_nan_in_a_weight_is_the_only_error_and_stands_where_it_is(kind, path):
    case = PLACES[kind][0]()
    poison(case[0], path)
    diagnosis = diagnosed(case)
    assert blames(diagnosis, path, {"nonfinite"}), told(diagnosis)
    assert [finding.code for finding in diagnosis.findings if finding.severity == "error"] == ["nonfinite"]
    assert f"{path}.weight" in diagnosis.findings[0].message


@pytest.mark.parametrize("index", [0, 4, 9])
def test_biases_that_turn_every_unit_off_are_found_where_they_are(index):
    case = plain_mlp()
    kill(case[0], f"blocks.{index}.linear")
    diagnosis = diagnosed(case)
    assert blames(diagnosis, f"blocks.{index}", {"dead-units"}), told(diagnosis)
    assert [f.code for f in diagnosis.findings if f.severity == "error"] == ["dead-units"]


def test_a_norm_whose_bias_turns_a_branch_off_is_found_in_a_residual_network():
    case = conv_resnet()
    kill(case[0], "stage2.1.norm1")
    diagnosis = diagnosed(case)
    assert blames(diagnosis, "stage2.1", {"dead-units"}), told(diagnosis)


@pytest.mark.parametrize("depth", [8, 20])
def test_a_stack_of_sigmoids_loses_its_gradient_and_its_samples(depth):
    diagnosis = diagnosed(plain_mlp(depth, init="default", activation="sigmoid"))
    found = {finding.code: finding for finding in diagnosis.findings if finding.severity != "note"}
    assert {"gradient-vanishing", "rank-collapse"} <= set(found), told(diagnosis)
    assert found["gradient-vanishing"].layer == f"blocks.{depth - 1}"


@pytest.mark.parametrize(("repeats", "severity"), [(2, "error"), (64, "error")])
def test_repeated_samples_are_found_in_the_batch(repeats, severity):
    model, x, y = plain_mlp()
    x = x[: len(x) // repeats].repeat(repeats, 1)
    diagnosis = diagnosed((model, x, y))
    finding = next(f for f in diagnosis.findings if f.code == "degenerate-batch")
    assert (finding.layer, finding.severity) == ("", severity)
    assert f"{64 - 64 // repeats} of the 64 samples" in finding.message


def test_repeated_sequences_of_tokens_are_found_in_the_batch():
    model, batch, _ = tiny_gpt()
    batch = {name: ids[:4].repeat(2, 1) for name, ids in batch.items()}
    diagnosis = diagnosed((model, batch, None))
    assert any(f.code == "degenerate-batch" and "4 of the 8 samples" in f.message for f in diagnosis.findings)


def test_a_batch_of_two_is_too_small_for_batch_norm():
    model, _, _ = plain_mlp(norm="batch")
    diagnosis = diagnosed((model, *vectors(2)))
    finding = next(f for f in diagnosis.findings if f.code == "small-batch-norm")
    assert (finding.layer, finding.severity) == ("blocks.0", "error")
    assert "over 2 values per channel, as in 9 more layers" in finding.message


@pytest.mark.parametrize("build", [plain_mlp, conv_resnet, tiny_gpt, tiny_vit])
def test_a_submodule_that_never_runs_is_found(build):
    model, inputs, targets = build()
    with seeded(0):
        model.add_module("spare", torch.nn.Linear(4, 4))
    diagnosis = diagnosed((model, inputs, targets))
    assert [f.layer for f in diagnosis.findings if f.code == "unused-layer"] == ["spare"], told(diagnosis)


@pytest.mark.parametrize("name", ["attn.c_proj", "mlp.c_proj"])
def test_branches_that_double_from_block_to_block_are_found(name):
    case = tiny_gpt(10)
    for i in range(10):
        scale(case[0], f"transformer.h.{i}.{name}", 2.0**i)
    diagnosis = diagnosed(case)
    assert any(f.code == "activation-growth" and f.severity != "note" for f in diagnosis.findings), told(diagnosis)


def test_residual_branches_that_double_from_block_to_block_are_found():
    case = conv_resnet(56)
    for i, name in enumerate(name for name, _ in case[0].named_modules() if name.endswith("norm2")):
        scale(case[0], name, 1.3**i)
    diagnosis = diagnosed(case)
    assert any(f.code == "activation-growth" and f.severity != "note" for f in diagnosis.findings), told(diagnosis)


@pytest.mark.parametrize("fault", [lambda m, p: scale(m, p, 1000.0), lambda m, p: scale(m, p, 0.0), rank_one, poison])
@pytest.mark.parametrize("path", ["transformer.h.2.attn.c_attn", "transformer.h.3.mlp.c_proj"])
def test_a_fault_is_put_at_its_leaf_where_leaves_are_the_layers(fault, path):
    case = tiny_gpt()
    fault(case[0], path)
    diagnosis = diagnosed(case, layers="leaves")
    assert path in [f.layer for f in diagnosis.findings if f.severity != "note"], told(diagnosis)


def test_float16_near_its_end_is_a_risk_of_overflow():
    model, x, y = plain_mlp(3)
    scale(model, "blocks.1.linear", 6000.0)
    diagnosis = diagnosed((model.half(), x.half(), y))
    assert blames(diagnosis, "blocks.1", {"activation-growth"}), told(diagnosis)
    (risk,) = [f for f in diagnosis.findings if f.code == "overflow-risk" and "output" in f.message]
    assert risk.layer == "blocks.1"
    assert "float16 ends at 65504" in risk.message


@pytest.mark.parametrize("path", ["stem", "mix"])
def test_a_large_weight_that_a_norm_hides_is_found_where_no_other_is_like_it(path):
    names = ("stem", "proj", "mix")
    with seeded(0):
        model = nn.Sequential()
        for name in names:
            model.add_module(name, nn.Linear(64, 64))
            model.add_module(f"{name}_norm", nn.LayerNorm(64))
            model.add_module(f"{name}_act", nn.ReLU())
        model.add_module("head", nn.Linear(64, 10))
    case = (model, *vectors())
    assert not any(finding.severity != "note" for finding in diagnosed(case).findings)
    scale(model, path, 1000.0)
    diagnosis = diagnosed(case)
    assert blames(diagnosis, path, LARGE), told(diagnosis)
    assert any("most weights do" in finding.message for finding in diagnosis.findings)
