"""Theory beside measurement: what is expected of a design is what a network of that design shows."""

import math

import pytest
import torch
from tests.doctor.faults import diagnosed
from tests.doctor.models import conv_resnet, plain_mlp, stacked, tiny_gpt, vectors
from tests.doctor.synthetic import EMPTY, chain
from torch import nn

import leadline
from leadline._core.profile import Profile
from leadline._core.randomness import seeded
from leadline.doctor import predict, recognise

NATS = math.log(10)


def profiled(case, **options) -> Profile:
    model, inputs, targets = case
    return leadline.profile(model, inputs, targets, **options)


def expected(profile: Profile, metric: str) -> float:
    (rate,) = [prediction.rate for prediction in predict(profile) if prediction.metric == metric]
    return rate


def test_the_parts_between_two_linear_maps_belong_to_the_first():
    design = recognise(profiled(stacked(6, nn.Sigmoid)))
    assert str(design) == "Linear + Sigmoid"
    assert (design.activation, design.norm, design.width, design.pre_activation) == ("sigmoid", "none", 64, True)
    assert design.weight_std[0] == pytest.approx(3**-0.5, rel=0.05)
    assert design.bias_std == pytest.approx((3 * 64) ** -0.5)


@pytest.mark.parametrize(("gain", "default"), [(3**-0.5, True), (0.6, False)])
def test_biases_are_taken_for_torchs_default_only_where_the_weights_are(gain, default):
    model, inputs, targets = stacked(6, nn.Sigmoid)
    with torch.no_grad():
        for layer in model[:-1:2]:
            layer.weight.mul_(gain * 3**0.5)
    assert (recognise(leadline.profile(model, inputs, targets)).bias_std > 0) is default


def test_a_block_of_three_parts_is_recognised_with_its_batch():
    design = recognise(profiled(plain_mlp(6, norm="batch", batch=48)))
    assert str(design) == "Linear + BatchNorm1d + ReLU"
    assert (design.norm, design.order, design.values, design.orthogonal) == ("batch", "norm_act", 48, False)


@pytest.mark.parametrize(("init", "orthogonal"), [("orthogonal", True), ("gaussian", False), ("default", False)])
def test_orthogonal_weights_are_told_from_independent_entries(init, orthogonal):
    assert recognise(profiled(plain_mlp(4, init=init))).orthogonal is orthogonal


def test_a_norm_that_theory_has_no_law_of_is_not_left_out_of_the_design():
    plain, inputs, targets = stacked(6, nn.ReLU)
    layers = [(nn.GroupNorm(4, 64), each) if isinstance(each, nn.ReLU) else (each,) for each in plain]
    normed = nn.Sequential(*(each for pair in layers for each in pair))
    assert recognise(leadline.profile(plain, inputs, targets)) is not None
    assert recognise(leadline.profile(normed, inputs, targets)) is None
    assert predict(leadline.profile(normed, inputs, targets)) == ()


def test_nothing_is_expected_where_no_design_is_recognised():
    assert predict(EMPTY) == ()
    assert predict(chain({"rms": [1.0] * 4}, parts=("Tokenizer",))) == ()


def test_nothing_is_expected_of_blocks_that_hold_more_maps_than_activations():
    assert predict(chain({"rms": [1.0] * 4}, parts=("Linear", "ReLU", "Linear"))) == ()


def test_of_fractional_batch_normalisation_only_the_scale_is_expected():
    profile = profiled(plain_mlp(6, norm="fractional"))
    assert recognise(profile).norm == "fractional"
    assert [(prediction.metric, prediction.rate) for prediction in predict(profile)] == [("rms", 0.0)]


def test_batch_statistics_in_eval_mode_follow_no_law_of_the_batch():
    model, x, y = plain_mlp(6, norm="batch")
    assert predict(profiled((model.eval(), x, y))) == ()


class Normed(nn.Module):
    """A residual block with its norm behind the sum, or at the end of the branch."""

    def __init__(self, *, behind_the_sum: bool):
        super().__init__()
        self.up, self.act, self.down, self.norm = nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 32), nn.LayerNorm(32)
        self.behind_the_sum = behind_the_sum

    def forward(self, x):
        branch = self.down(self.act(self.up(x)))
        return self.norm(x + branch) if self.behind_the_sum else x + self.norm(branch)


@pytest.mark.parametrize(("behind_the_sum", "metrics"), [(True, []), (False, ["rms"])])
def test_a_norm_behind_the_sum_ends_the_growth_of_the_stream(behind_the_sum, metrics):
    with seeded(0):
        model = nn.Sequential(*(Normed(behind_the_sum=behind_the_sum) for _ in range(4)))
    profile = profiled((model, vectors(features=32)[0], None))
    assert [prediction.metric for prediction in predict(profile)] == metrics


def test_torchs_default_loses_half_a_decimal_logarithm_of_six_a_layer():
    profile = profiled(plain_mlp(40, init="default"))
    assert expected(profile, "grad_norm") == pytest.approx(0.5 * math.log10(6), abs=0.01)
    assert profile.rate("grad_norm").estimate == pytest.approx(expected(profile, "grad_norm"), rel=0.06)


def test_the_right_gain_neither_gains_nor_loses():
    profile = profiled(plain_mlp(30))
    for metric in ("rms", "grad_norm"):
        assert expected(profile, metric) == pytest.approx(0.0, abs=0.005)
        assert not profile.rate(metric).excludes(expected(profile, metric))


def test_twice_the_right_gain_doubles_signal_and_gradient():
    profile = profiled(plain_mlp(20, gain=2.0))
    assert expected(profile, "rms") == pytest.approx(math.log10(2), abs=0.01)
    assert profile.rate("rms").estimate == pytest.approx(math.log10(2), abs=0.04)
    assert profile.rate("grad_norm").estimate == pytest.approx(expected(profile, "grad_norm"), abs=0.04)


def test_tanh_below_its_gain_decays_at_the_rate_of_its_length_map():
    profile = profiled(plain_mlp(40, activation="tanh", init="xavier"))
    assert -0.03 < expected(profile, "rms") < -0.01
    assert not profile.rate("rms").excludes(expected(profile, "rms"))


@pytest.mark.parametrize("batch", [32, 128])
def test_relu_behind_batch_norm_explodes_at_the_rate_of_its_law(batch):
    profile = profiled(plain_mlp(40, norm="batch", init="default", batch=batch))
    law = -expected(profile, "grad_norm") * NATS
    measured = -profile.rate("grad_norm").estimate * NATS
    assert 0.18 < law < 0.22
    assert measured == pytest.approx(law, abs=0.03)
    (prediction,) = [p for p in predict(profile) if p.metric == "grad_norm"]
    assert "½·log(π/(π−1)) = 0.1916 nats" in prediction.statement


def test_orthogonal_linear_maps_keep_everything_at_any_depth():
    diagnosis = diagnosed(plain_mlp(100, activation="identity", init="orthogonal"))
    assert all(abs(prediction.rate) < 1e-6 for prediction in diagnosis.predictions)
    assert diagnosis.depth_limit.estimate == math.inf


def test_gaussian_linear_maps_have_a_depth_limit():
    limit = diagnosed(plain_mlp(100, activation="identity", init="gaussian")).depth_limit
    assert math.isfinite(limit.estimate)


def test_a_stream_without_norm_grows_by_the_variance_that_its_branches_add():
    profile = profiled(conv_resnet(56, norm="none"))
    assert expected(profile, "rms") > 0.08
    assert profile.rate("rms").estimate == pytest.approx(expected(profile, "rms"), rel=0.5)


def test_the_stream_of_a_transformer_grows_by_the_variance_that_its_branches_add():
    profile = profiled(tiny_gpt(12))
    assert profile.rate("rms").estimate == pytest.approx(expected(profile, "rms"), rel=0.3)


def test_a_drift_is_told_beside_what_theory_expects():
    diagnosis = diagnosed(plain_mlp(60, norm="batch", init="default"))
    (finding,) = [f for f in diagnosis.findings if f.code == "gradient-explosion"]
    assert finding.layer == "blocks.59"
    assert "0.1916 nats" in finding.expected
    assert finding.expected in finding.message
    assert finding.evidence["expected_rate"] == pytest.approx(-0.2 / NATS, rel=0.1)
