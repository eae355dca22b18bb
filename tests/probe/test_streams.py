"""Residual streams: which units add to their input, what they add, and how large it is."""

import math

import pytest
import torch
from tests.architectures import ARCHITECTURES, build, made
from torch import Tensor, nn

import leadline

RESIDUAL = {
    "mlp_residual", "resnet", "preact_resnet", "mobilenet", "efficientnet", "transformer_encoder",
    "transformer_post_norm", "transformer", "mixer", "shared", "gpt2", "llama", "gemma", "mixtral", "bert", "roberta",
    "distilbert", "albert", "opt", "neox", "mamba", "t5", "vit", "deit", "swin", "convnext", "hf_resnet",
    "hf_resnet_bottleneck",
}  # fmt: skip
BRANCHES = {
    "resnet": ("layer1.0", ("layer1.0.bn2",)),
    "preact_resnet": ("0.1", ("0.1.conv2",)),
    "mobilenet": ("0.1", ("0.1.conv",)),
    "transformer_encoder": ("layers.0", ("layers.0.self_attn", "layers.0.linear2")),
    "mixer": ("blocks.0", ("blocks.0.tokens", "blocks.0.channels")),
    "gpt2": ("transformer.h.0", ("transformer.h.0.attn", "transformer.h.0.mlp")),
    "bert": (
        "bert.encoder.layer.0",
        ("bert.encoder.layer.0.attention.output.dense", "bert.encoder.layer.0.output.dense"),
    ),
    "swin": (
        "swin.encoder.layers.0.blocks.0",
        ("swin.encoder.layers.0.blocks.0.attention", "swin.encoder.layers.0.blocks.0.mlp"),
    ),
    "hf_resnet": ("resnet.encoder.stages.0.layers.0", ("resnet.encoder.stages.0.layers.0.layer",)),
}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_some_unit_is_residual_where_the_architecture_is(architecture: str):
    found = any(layer.residual for layer in leadline.profile(*build(architecture)).layers)
    assert found == (architecture in RESIDUAL)


@pytest.mark.parametrize("architecture", BRANCHES)
def test_the_modules_whose_outputs_are_added_are_named(architecture: str):
    name, branches = BRANCHES[architecture]
    assert leadline.profile(*build(architecture))[name].branches == branches


def test_an_inverted_residual_that_changes_the_width_is_none():
    profile = leadline.profile(*build("mobilenet"))
    assert [layer.residual for layer in profile.layers if layer.kind == "InvertedResidual"] == [True, False, True]


def test_a_projected_shortcut_counts_where_its_class_is_residual():
    model, x, y = build("resnet")
    layer = leadline.profile(model, x, y)["layer2.0"]
    assert layer.residual
    assert layer.branches == ("layer2.0.bn2",)
    assert layer.stream_rms == pytest.approx(1.0, abs=1e-3)  # batch norm on the shortcut


class Adds(nn.Module):
    def __init__(self, gain: float):
        super().__init__()
        self.linear, self.gain = nn.Linear(6, 6, bias=False), gain
        nn.init.orthogonal_(self.linear.weight, gain)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.linear(x)


class AddsInPlace(Adds):
    def forward(self, x: Tensor) -> Tensor:
        out = self.linear(x)
        out += x
        return torch.relu_(out)


class AddsFunction(Adds):
    def forward(self, x: Tensor) -> Tensor:
        return x + torch.sin(self.linear(x))


@pytest.mark.parametrize("unit", [Adds, AddsInPlace])
@pytest.mark.parametrize("gain", [0.25, 3.0])
def test_stream_and_branch_are_measured_where_they_meet(unit: type[Adds], gain: float, generator: torch.Generator):
    model = made(lambda: nn.Sequential(unit(gain), unit(gain), unit(gain)))
    profile = leadline.profile(model, torch.randn(8, 6, generator=generator))
    for layer in profile.layers:
        # An orthogonal branch is as long as its gain makes it.
        assert layer.branch_rms == pytest.approx(gain * layer.stream_rms, rel=1e-5)
    assert profile["1"].stream_rms == pytest.approx(profile["0"].rms, rel=1e-6)


def test_a_branch_that_is_no_module_is_what_the_unit_adds(generator: torch.Generator):
    model, x = made(lambda: nn.Sequential(AddsFunction(1.0), AddsFunction(1.0))), torch.randn(8, 6, generator=generator)
    layer = leadline.profile(model, x)["0"]
    assert layer.residual and layer.branches == ()
    expected = torch.sin(model[0].linear(x)).detach().double().square().mean().sqrt()
    assert layer.branch_rms == pytest.approx(float(expected), rel=1e-5)


def test_a_gated_mixture_of_input_and_branch_is_no_residual_stream(generator: torch.Generator):
    class Highway(nn.Module):
        def __init__(self):
            super().__init__()
            self.carry, self.body = nn.Linear(6, 6), nn.Linear(6, 6)

        def forward(self, x: Tensor) -> Tensor:
            gate = torch.sigmoid(self.carry(x))
            return gate * x + (1 - gate) * self.body(x)

    model = made(lambda: nn.Sequential(Highway(), Highway()))
    profile = leadline.profile(model, torch.randn(4, 6, generator=generator))
    assert not profile["0"].residual
    assert math.isnan(profile["0"].stream_rms)


def test_layers_chosen_by_name_have_their_streams_too():
    model, x, y = build("resnet")
    assert leadline.profile(model, x, y, layers="layer1.1")["layer1.1"].branches == ("layer1.1.bn2",)


def test_no_second_pass_is_needed_for_overwritten_branches():
    for architecture in ("resnet", "hf_resnet", "mobilenet", "vgg_bn"):
        assert not any("second forward" in note for note in leadline.profile(*build(architecture)).notes)
