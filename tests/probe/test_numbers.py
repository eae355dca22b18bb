"""The numbers of a layer against the public metrics, NumPy and autograd."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from tests.architectures import build, made
from torch import Tensor, nn
from torch.nn import functional as F

import leadline
from leadline import metrics
from leadline._core.profile import MATRIX
from leadline._core.randomness import seeded

# The Gram route agrees with singular values to 1e-8 below a condition of 1e4 of the rows; sums are float32 in runs.
CLOSE = 1e-6


def cross_entropy(output: Any, targets: Any) -> Tensor:
    output = output if isinstance(output, Tensor) else output.logits
    return F.cross_entropy(output, targets) if targets is not None else output.square().mean()


def plain_run(model: nn.Module, inputs: Any, targets: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Outputs and their gradients by module, of its first call, from hooks of this test's own; fills ``.grad``."""
    values: dict[str, Tensor] = {}
    grads: dict[str, Tensor] = {}

    def hook(name: str) -> Any:
        def keep(module: nn.Module, args: Any, output: Any) -> None:
            output = output[0] if isinstance(output, tuple) else output
            if isinstance(output, Tensor) and name not in values:
                values[name] = output.detach().clone()
                output.register_hook(lambda grad: grads.__setitem__(name, grad.clone()))

        return keep

    handles = [m.register_forward_hook(hook(name)) for name, m in model.named_modules()]
    with seeded(3):
        output = model(**inputs) if isinstance(inputs, dict) else model(inputs)
    cross_entropy(output, targets).backward()
    for handle in handles:
        handle.remove()
    return values, grads


@pytest.mark.parametrize("architecture", ["mlp", "mlp_bn", "resnet", "densenet", "gpt2", "bert", "vit", "swin", "lstm"])
def test_outputs_gradients_and_weights_are_those_of_a_plain_run(architecture: str):
    model, inputs, targets = build(architecture)
    run, _, _ = build(architecture)
    values, grads = plain_run(run, inputs, targets)
    layers = "leaves" if architecture == "resnet" else "blocks"
    with seeded(3):
        profile = leadline.profile(model, inputs, targets, loss=cross_entropy, layers=layers)
    for layer in profile.layers:
        if "#" in layer.name or layer.name not in values:
            continue
        value, grad = values[layer.name].double(), grads[layer.name].double()
        assert layer.rms == pytest.approx(float(value.square().mean().sqrt()), rel=CLOSE), layer.name
        assert layer.mean == pytest.approx(float(value.mean()), rel=1e-4, abs=CLOSE * layer.rms), layer.name
        assert layer.std == pytest.approx(float(value.std(correction=0)), rel=1e-4, abs=CLOSE * layer.rms), layer.name
        assert layer.max_abs == pytest.approx(float(value.abs().max()), rel=CLOSE), layer.name
        assert layer.grad_norm == pytest.approx(float(grad.norm()), rel=1e-4), layer.name
        assert layer.grad_rms == pytest.approx(float(grad.square().mean().sqrt()), rel=1e-4), layer.name
        assert layer.grad_max_abs == pytest.approx(float(grad.abs().max()), rel=1e-4), layer.name
    for name, parameter in run.named_parameters():
        if parameter.ndim >= 2 and parameter.grad is not None:
            assert profile.weights[name] == pytest.approx(float(parameter.grad.double().norm()), rel=1e-4), name
            assert profile.weight_norms[name] == pytest.approx(float(parameter.detach().double().norm()), rel=CLOSE)


@pytest.mark.parametrize("architecture", ["mlp", "mlp_blocks", "resnet", "transformer_encoder"])
def test_spectra_are_those_of_the_public_metrics(architecture: str):
    model, inputs, targets = build(architecture)
    profile = leadline.profile(model.eval(), inputs, targets, loss=cross_entropy)  # no dropout, so that two runs agree
    kept, grads = plain_run(model, inputs, targets)
    for layer in profile.layers:
        x, g = kept[layer.name].flatten(1), grads[layer.name].flatten(1)
        assert (layer.n, layer.d) == tuple(x.shape)
        for metric in MATRIX:
            for found, rows in ((getattr(layer, metric), x), (getattr(layer, f"grad_{metric}"), g)):
                expected = float(getattr(metrics, metric)(rows.double()))
                if metric == "numerical_rank":
                    expected = float(metrics.numerical_rank(rows))
                assert found == pytest.approx(expected, rel=CLOSE, abs=1e-9, nan_ok=True), (layer.name, metric)


def test_rows_beyond_the_limit_are_left_out_evenly(generator: torch.Generator):
    net, x = (
        made(lambda: nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))),
        torch.randn(50, 6, generator=generator),
    )
    profile = leadline.profile(net, x, rows=20)
    rows = net[0](x)[[i * 50 // 20 for i in range(20)]].detach()
    assert (profile["0"].n, profile["0"].d, profile.rows) == (20, 8, 20)
    assert profile["0"].effective_rank == pytest.approx(float(metrics.effective_rank(rows.double())), rel=CLOSE)
    assert profile["0"].rms == pytest.approx(float(net[0](x).detach().double().square().mean().sqrt()), rel=CLOSE)
    assert "20 of 50 samples" in profile.notes[0]


def test_many_layers_get_half_as_many_rows(generator: torch.Generator):
    net = made(lambda: nn.Sequential(*(nn.Linear(4, 4) for _ in range(41))))
    x = torch.randn(70, 4, generator=generator)
    assert leadline.profile(net, x).rows == 32
    assert leadline.profile(net[:40], x).rows == 64
    assert leadline.profile(net, x, rows=64)["0"].n == 64


def test_the_centred_participation_ratio_is_that_of_the_centred_rows(generator: torch.Generator):
    x = torch.randn(12, 6, generator=generator) + 5.0
    profile = leadline.profile(made(lambda: nn.Linear(6, 9)), x)
    rows = made(lambda: nn.Linear(6, 9))(x).detach().double()
    expected = float(metrics.participation_ratio(rows, center=True))
    assert profile.layers[0].centred_participation_ratio == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("spread", [1e-3, 1e-5, 1e-7])
def test_a_nearly_collapsed_batch_keeps_its_digits(spread: float, generator: torch.Generator):
    base = torch.randn(1, 6, generator=generator, dtype=torch.float64)
    x = base + spread * torch.randn(12, 6, generator=generator, dtype=torch.float64)
    model = made(lambda: nn.Linear(6, 9)).double()
    layer = leadline.profile(model, x).layers[0]
    rows = model(x).detach()
    assert layer.distinction == pytest.approx(float(metrics.distinction(rows)), rel=1e-6)
    assert layer.isometry_gap == pytest.approx(float(metrics.isometry_gap(rows)), rel=1e-6)
    expected = float(metrics.participation_ratio(rows, center=True))
    assert layer.centred_participation_ratio == pytest.approx(expected, rel=1e-6)


def test_a_dead_network_has_ranks_of_zero():
    net = made(lambda: nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2)))
    nn.init.zeros_(net[0].weight)
    nn.init.zeros_(net[0].bias)
    layer = leadline.profile(net, torch.eye(4))["0"]
    assert (layer.rms, layer.std, layer.participation_ratio, layer.effective_rank) == (0.0, 0.0, 0.0, 0.0)
    assert layer.isometry_gap == math.inf
    assert math.isnan(layer.mean_cosine)


@pytest.mark.parametrize("scale", [1e-30, 1e-12, 1e25, 1e36])
def test_numbers_whose_squares_leave_float32_are_measured(scale: float):
    net = made(lambda: nn.Linear(4, 8, bias=False))
    unit = leadline.profile(net, torch.eye(4)).layers[0]
    with torch.no_grad():
        net.weight.mul_(scale)
    layer = leadline.profile(net, torch.eye(4)).layers[0]
    assert layer.rms == pytest.approx(scale * unit.rms, rel=1e-5)
    assert layer.weight_norm == pytest.approx(scale * unit.weight_norm, rel=1e-5)
    assert layer.std == pytest.approx(scale * unit.std, rel=1e-4)
    assert layer.effective_rank == pytest.approx(unit.effective_rank, rel=1e-4)
    assert layer.finite_fraction == 1.0


def test_values_beyond_the_range_are_told_and_do_not_raise():
    net = made(lambda: nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 2)))
    with torch.no_grad():
        net[1].weight[0, 0] = math.inf
    profile = leadline.profile(net, torch.ones(3, 4))
    assert profile["1"].finite_fraction == pytest.approx(0.75)
    assert math.isinf(profile["1"].max_abs)
    assert math.isnan(profile["1"].effective_rank)
    assert profile.first_nonfinite == "1"
    assert profile.nonfinite_parameters == ("1.weight",)
    assert profile["0"].finite_fraction == 1.0


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_other_dtypes_are_measured_like_float32(dtype: torch.dtype, generator: torch.Generator):
    x = torch.randn(8, 12, generator=generator)
    single = leadline.profile(made(lambda: nn.Sequential(nn.Linear(12, 16), nn.Tanh(), nn.Linear(16, 4))), x)
    net = made(lambda: nn.Sequential(nn.Linear(12, 16), nn.Tanh(), nn.Linear(16, 4))).to(dtype)
    other = leadline.profile(net, x.to(dtype))
    assert other.dtype == other["0"].dtype == str(dtype).removeprefix("torch.")
    for metric in ("rms", "effective_rank", "mean_square_cosine", "grad_norm", "weight_grad_norm"):
        assert getattr(other["0"], metric) == pytest.approx(getattr(single["0"], metric), rel=0.03)


def test_the_batch_and_what_met_the_loss_are_measured_too(generator: torch.Generator):
    model, x = made(lambda: nn.Linear(6, 3)), torch.randn(5, 6, generator=generator)
    profile = leadline.profile(model, x, torch.tensor([0, 1, 2, 0, 1]))
    leaf = x.clone().requires_grad_()
    F.cross_entropy(model(leaf), torch.tensor([0, 1, 2, 0, 1])).backward()
    assert profile.inputs is not None and profile.outputs is not None and leaf.grad is not None
    assert profile.inputs.rms == pytest.approx(float(np.sqrt(np.mean(x.numpy().astype(float) ** 2))), rel=CLOSE)
    assert profile.inputs.grad_norm == pytest.approx(float(leaf.grad.norm()), rel=1e-5)
    assert (profile.inputs.role, profile.inputs.shape, profile.inputs.n) == ("input", (5, 6), 5)
    assert profile.outputs.shape == (5, 3)
    assert profile.outputs.grad_norm == profile.layers[0].grad_norm


def test_of_token_ids_only_the_shape_is_kept():
    model, inputs, _ = build("gpt2")
    profile = leadline.profile(model, inputs)
    assert profile.inputs is not None
    assert (profile.inputs.shape, profile.inputs.dtype, profile.inputs.metrics) == ((3, 8), "int64", {})


def test_repeated_samples_are_counted():
    x = torch.tensor([[1.0, 2.0], [1.0, 2.0], [3.0, 4.0], [1.0, 2.0]])
    assert leadline.profile(made(lambda: nn.Linear(2, 2)), x).repeated == 2


def test_a_profile_survives_being_saved(tmp_path: Any):
    profile = leadline.profile(*build("resnet"))
    assert str(leadline.Profile.load(profile.save(tmp_path / "profile.json"))) == str(profile)
