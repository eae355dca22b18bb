"""Residual streams: which units add to their input, what they add, and how large it is."""

import math
from collections.abc import Callable

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


class Scaled(nn.Module):
    """Adds two linear maps, each behind something; notes what was really added."""

    def __init__(self, behind: Callable[["Scaled", Tensor, Tensor], Tensor]):
        super().__init__()
        self.first, self.second, self.behind = nn.Linear(6, 6), nn.Linear(6, 6), behind
        self.gain, self.share = nn.Parameter(torch.tensor(0.05)), nn.Parameter(torch.linspace(0, 1, 6))
        self.mask = nn.Buffer(torch.linspace(0, 2, 6))
        self.added: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        self.added = [self.behind(self, x, self.first(x))]
        x = x + self.added[0]
        self.added.append(self.behind(self, x, self.second(x)))
        return x + self.added[1]


BEHIND: dict[str, Callable[[Scaled, Tensor, Tensor], Tensor]] = {
    "number": lambda unit, x, branch: 0.1 * branch,
    "divisor": lambda unit, x, branch: branch / 4,
    "rezero": lambda unit, x, branch: unit.gain * branch,
    "closed": lambda unit, x, branch: branch * (unit.gain * 0),
    "layer scale": lambda unit, x, branch: unit.share * branch,
    "fixed mask": lambda unit, x, branch: branch * unit.mask,
    "dropout": lambda unit, x, branch: torch.dropout(branch, 0.3, True),
    "in place": lambda unit, x, branch: branch.mul_(unit.share),
    "gate": lambda unit, x, branch: torch.sigmoid(x) * branch,
    "another dtype": lambda unit, x, branch: (branch.bfloat16() * 0.5).float(),
}


@pytest.mark.parametrize("behind", BEHIND)
def test_what_is_added_is_measured_and_not_what_the_module_returned(behind: str, generator: torch.Generator):
    model = made(lambda: nn.Sequential(*(Scaled(BEHIND[behind]) for _ in range(3))))
    profile = leadline.profile(model, torch.randn(16, 6, generator=generator))
    for unit, layer in zip(model, profile.layers, strict=True):
        sizes = [float(added.detach().double().square().mean().sqrt()) for added in unit.added]
        precision = 1e-2 if behind == "another dtype" else 1e-5
        assert layer.branch_rms == pytest.approx(math.hypot(*sizes), rel=precision)
        assert layer.branches == (f"{layer.name}.first", f"{layer.name}.second")


def test_the_factor_that_a_sum_itself_gives_counts(generator: torch.Generator):
    class Alpha(Adds):
        def forward(self, x: Tensor) -> Tensor:
            return torch.add(x, self.linear(x), alpha=0.5)

    model = made(lambda: nn.Sequential(Alpha(1.0), Alpha(1.0)))
    for layer in leadline.profile(model, torch.randn(8, 6, generator=generator)).layers:
        assert layer.branch_rms == pytest.approx(0.5 * layer.stream_rms, rel=1e-5)


class Conditioned(nn.Module):
    """A block of a diffusion transformer: its gates come from a condition and start at zero."""

    def __init__(self, gate: float):
        super().__init__()
        self.norm, self.mlp = nn.LayerNorm(6, elementwise_affine=False), nn.Linear(6, 6)
        self.modulation = nn.Sequential(nn.SiLU(), nn.Linear(6, 18))
        nn.init.zeros_(self.modulation[1].weight)
        nn.init.constant_(self.modulation[1].bias, gate)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        shift, scale, gate = self.modulation(condition).chunk(3, dim=1)
        h = self.norm(x) * (1 + scale.unsqueeze(1)) + shift.unsqueeze(1)
        return x + gate.unsqueeze(1) * self.mlp(h)


class Diffusion(nn.Module):
    def __init__(self, gate: float):
        super().__init__()
        self.blocks = nn.ModuleList(Conditioned(gate) for _ in range(3))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x, condition)
        return x


@pytest.mark.parametrize("gate", [0.0, 0.1])
def test_branches_behind_gates_that_start_at_zero_add_nothing(gate: float, generator: torch.Generator):
    x, condition = torch.randn(4, 5, 6, generator=generator), torch.randn(4, 6, generator=generator)
    model = made(lambda: Diffusion(gate))
    layer = leadline.profile(model, (x, condition))["blocks.0"]
    assert layer.residual and layer.branches == ("blocks.0.mlp",)
    added = (model.blocks[0](x, condition) - x).detach().double().square().mean().sqrt()
    assert layer.branch_rms == pytest.approx(float(added), rel=1e-4, abs=1e-12)
    assert (layer.branch_rms == 0) == (gate == 0)


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
