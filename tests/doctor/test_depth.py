import math
from dataclasses import replace

import pytest
import torch
from tests.doctor.faults import diagnosed, poison
from tests.doctor.models import CLASSES, conv_resnet, plain_mlp, tiny_gpt, vectors
from tests.doctor.synthetic import EMPTY, chain, geometric
from torch import Tensor, nn

import leadline
from leadline._core.diagnosis import Prediction
from leadline._core.randomness import seeded
from leadline.doctor.at_depth import course
from leadline.doctor.depth import depth_limit
from leadline.doctor.trainable import trainable

STILL = tuple(Prediction(metric=metric, rate=0.0, statement="") for metric in ("rms", "grad_norm"))


def designed(depth=31, *, signal=0.0, gradient=0.0, distinction=0.0, parts=("Linear", "ReLU"), start=1.0, **fields):
    """A chain that is healthy but for the rates given, in decades a layer in order of execution."""
    metrics = {
        "rms": geometric(depth, signal),
        "max_abs": geometric(depth, signal, start=start),
        "distinction": geometric(depth, distinction, start=0.5),
        "isometry_gap": geometric(depth, 0.0),
        "grad_norm": geometric(depth, gradient),
        "grad_participation_ratio": geometric(depth, 0.0, start=9.0),
        "weight_grad_norm": geometric(depth, signal + gradient),
    }
    return chain(metrics, parts=parts, **fields)


@pytest.mark.parametrize("rates", [{"gradient": -0.0832}, {"gradient": -0.2}, {"distinction": -0.3}, {"signal": -0.1}])
@pytest.mark.parametrize("depth", [12, 31, 70])
def test_a_network_as_deep_as_the_limit_is_as_likely_to_train_as_not(rates, depth):
    limit = depth_limit(designed(depth, **rates), ())
    assert limit.low < limit.estimate < limit.high
    assert trainable(designed(round(limit.estimate), **rates)).probability == pytest.approx(0.5, abs=0.2)
    assert trainable(designed(2 * round(limit.estimate), **rates)).probability < 0.2


def test_what_ends_it_is_named_with_its_figure():
    assert "between weights" in depth_limit(designed(gradient=-0.0832), ()).mechanism
    assert "tells samples apart" in depth_limit(designed(distinction=-0.3), ()).mechanism


def test_a_signal_that_grows_ends_where_the_rules_call_it_an_error_at_the_latest():
    limit = depth_limit(designed(signal=0.02), ())
    assert limit.estimate <= 3.5 / 0.02 * 1.01


@pytest.mark.parametrize(("dtype", "decades"), [("float16", 1.816), ("bfloat16", 35.5), ("float32", 35.5)])
def test_the_range_of_the_dtype_counts(dtype, decades):
    limit = depth_limit(designed(signal=0.5, start=1e3, dtype=dtype), ())
    assert limit.estimate == pytest.approx(min(decades, 3.5) / 0.5, rel=0.01) or limit.estimate < decades / 0.5
    assert ("float16" in limit.mechanism) == (dtype == "float16")


def test_the_depth_is_without_limit_only_where_theory_and_measurement_say_so():
    assert depth_limit(designed(), STILL).estimate == math.inf
    assert math.isfinite(depth_limit(designed(), ()).estimate)
    assert math.isfinite(depth_limit(designed(gradient=-0.05), STILL).estimate)


def test_theory_gives_the_rate_beyond_the_measured_depth_where_the_interval_contains_it():
    theory = (Prediction(metric="grad_norm", rate=-0.0500, statement=""),)
    near, far = designed(24, gradient=-0.0501), designed(24, gradient=-0.1)
    assert depth_limit(near, theory).estimate == pytest.approx(depth_limit(near, ()).estimate, rel=0.02)
    assert depth_limit(far, theory) == depth_limit(far, ())


def test_growth_where_theory_gives_none_is_that_of_the_finite_batch():
    profile = designed(parts=("Linear", "BatchNorm1d"), gradient=-0.01)
    limit = depth_limit(profile, ())
    assert limit.estimate > 100
    assert limit.mechanism.endswith("(finite-batch growth)")


def test_branches_of_one_size_add_up_and_do_not_multiply():
    depth = 24
    stream = [math.sqrt(1 + i) for i in range(depth)]
    metrics = {"stream_rms": stream, "branch_rms": [1.0] * depth, "rms": [math.sqrt(2 + i) for i in range(depth)]}
    layers = designed(depth).layers
    added = [
        replace(layer, residual=True, metrics={**layer.metrics, **{name: of[i] for name, of in metrics.items()}})
        for i, layer in enumerate(layers)
    ]
    found = course(replace(designed(depth), layers=tuple(added)))
    assert found.signal is not None
    assert found.change(found.signal, 10_000) == pytest.approx(math.log10(math.sqrt(10_002 / 2)), rel=1e-3)


def test_a_fault_of_one_layer_is_not_the_designs():
    healthy = designed(31, gradient=-0.05)
    layers = [
        replace(layer, metrics={**layer.metrics, "grad_norm": layer.grad_norm * (1e4 if i < 12 else 1.0)})
        for i, layer in enumerate(healthy.layers)
    ]
    faulty = replace(healthy, layers=tuple(layers))
    assert depth_limit(faulty, ()).estimate == pytest.approx(depth_limit(healthy, ()).estimate, rel=0.1)


def test_a_way_around_part_of_the_chain_is_no_growth_of_the_gradient():
    # fc1 is read by layers in which the gradient vanishes, and by the one that joins both.
    plain = designed(40, gradient=0.4)
    reads = {plain.layers[i].name: (plain.layers[i - 1].name,) for i in range(1, 40)} | {"fc0": ("inputs",)}
    joined = reads | {"fc15": ("fc14", "fc1")}
    stem = plain.layers[15].metrics["grad_norm"]
    layers = tuple(
        replace(
            layer, reads=joined[layer.name], metrics=layer.metrics | ({"grad_norm": stem} if layer.depth < 2 else {})
        )
        for layer in plain.layers
    )
    limit = depth_limit(replace(plain, layers=layers), ())
    assert limit.estimate > 5
    assert "explode" not in limit.mechanism


def test_where_a_shorter_way_goes_around_most_layers_their_depth_is_not_what_ends_it():
    plain = designed(40, gradient=0.4)
    reads = {plain.layers[i].name: (plain.layers[i - 1].name,) for i in range(1, 40)} | {"fc0": ("inputs",)}
    layers = tuple(replace(layer, reads=reads[layer.name]) for layer in plain.layers)
    skipped = tuple(replace(each, reads=("fc36", "fc1")) if each.name == "fc37" else each for each in layers)
    assert math.isfinite(depth_limit(replace(plain, layers=layers), ()).estimate)
    untold = depth_limit(replace(plain, layers=skipped), ())
    assert math.isnan(untold.estimate)
    assert untold.mechanism == "a shorter way goes around most of the layers"


def test_too_few_layers_tell_nothing():
    assert math.isnan(depth_limit(EMPTY, ()).estimate)
    assert depth_limit(designed(2, signal=0.1), ()).mechanism == "too few repeated layers to tell"


def test_numbers_that_are_not_finite_leave_no_limit():
    model, inputs, targets = plain_mlp(12)
    poison(model, "blocks.4.linear")
    limit = leadline.diagnose(leadline.profile(model, inputs, targets)).depth_limit
    assert math.isnan(limit.estimate) and limit.mechanism == "numbers that are not finite"


def test_an_overflow_that_no_rate_leads_to_leaves_no_limit():
    profile = designed()
    layers = list(profile.layers)
    layers[9] = replace(layers[9], metrics={**layers[9].metrics, "finite_fraction": 0.5})
    assert math.isfinite(depth_limit(profile, ()).estimate)
    assert math.isnan(depth_limit(replace(profile, layers=tuple(layers)), ()).estimate)


def test_a_network_that_gives_the_same_for_all_samples_from_the_start_has_no_limit():
    limit = diagnosed(plain_mlp(10, gain=0.0)).depth_limit
    assert math.isnan(limit.estimate) and limit.mechanism == "samples alike from the start"


class Equilibrium(nn.Module):
    """One map run a dozen times, the input added each time: early runs have small gradients, their one weight not."""

    def __init__(self):
        super().__init__()
        with seeded(0):
            self.read, self.step, self.norm = nn.Linear(64, 64), nn.Linear(64, 64), nn.LayerNorm(64)
            self.head = nn.Linear(64, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        read = self.read(x)
        z = torch.zeros_like(read)
        for _ in range(12):
            z = torch.tanh(self.norm(self.step(z) + read))
        return self.head(z)


@pytest.mark.parametrize(
    "case",
    [
        lambda: plain_mlp(60, init="default"),
        lambda: plain_mlp(60, norm="batch", init="default"),
        lambda: plain_mlp(60, gain=1.3),
        lambda: plain_mlp(40, skip=1.0),
        lambda: plain_mlp(40, activation="tanh"),
        lambda: plain_mlp(20, activation="sigmoid", init="default"),
        lambda: plain_mlp(30, gain=0.5),
        lambda: plain_mlp(200, activation="identity", init="gaussian"),
        lambda: conv_resnet(110, norm="none"),
        lambda: conv_resnet(56, norm="none"),
        lambda: conv_resnet(20, norm="none"),
        tiny_gpt,
        lambda: (Equilibrium(), *vectors(32)),
    ],
)
def test_a_drift_that_is_an_error_and_the_limit_agree(case):
    diagnosis = diagnosed(case())
    own = len(diagnosis.profile.chain)
    if any(f.severity == "error" and "rate" in f.evidence for f in diagnosis.findings):
        assert diagnosis.depth_limit.estimate <= own
        assert diagnosis.trainable <= 2 / 61 + 1e-9
    if diagnosis.depth_limit.estimate < own:
        assert any(f.severity != "note" for f in diagnosis.findings)
