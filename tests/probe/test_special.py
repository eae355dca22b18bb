"""Models whose passes are unlike others: checkpoints, compilers, frozen parts, overwritten outputs."""

import math
import sys
from collections.abc import Callable, Mapping

import pytest
import torch
from tests.architectures import build, made
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import leadline
from leadline._core.errors import UsageError


class Unit(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.linear, self.norm = nn.Linear(width, width), nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.tanh(self.norm(self.linear(x)))


class Checkpointed(nn.Module):
    def __init__(self, reentrant: bool | None):
        super().__init__()
        self.stem, self.units, self.head = nn.Linear(4, 8), nn.ModuleList(Unit(8) for _ in range(3)), nn.Linear(8, 2)
        self.reentrant = reentrant

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for unit in self.units:
            x = unit(x) if self.reentrant is None else checkpoint(unit, x, use_reentrant=self.reentrant)
        return self.head(x)


@pytest.mark.parametrize("reentrant", [False, True])
def test_a_checkpoint_changes_no_number_but_what_it_does_not_keep(reentrant: bool, generator: torch.Generator):
    x = torch.randn(6, 4, generator=generator)
    plain = leadline.profile(made(lambda: Checkpointed(None)), x)
    model = made(lambda: Checkpointed(reentrant))
    found = leadline.profile(model, x)
    assert [layer.name for layer in found.layers] == [layer.name for layer in plain.layers]
    assert found.weights == pytest.approx(plain.weights, rel=1e-6)
    for layer, twin in zip(found.layers, plain.layers, strict=True):
        assert layer.rms == pytest.approx(twin.rms, rel=1e-6)
        assert layer.grad_norm == pytest.approx(twin.grad_norm, rel=1e-6)
        assert layer.weight_grad_norm == pytest.approx(twin.weight_grad_norm, rel=1e-6)
    assert math.isnan(found["units.1"].saturated_fraction)
    assert any("behind checkpoints" in note for note in found.notes)
    assert all(p.grad is None for p in model.parameters())


def test_re_entrant_checkpoints_put_gradients_back(generator: torch.Generator):
    model = made(lambda: Checkpointed(True))
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    kept = {name: p.grad for name, p in model.named_parameters()}
    leadline.profile(model, torch.randn(6, 4, generator=generator))
    assert all(p.grad is kept[name] and bool((p.grad == 1).all()) for name, p in model.named_parameters())


def test_re_entrant_checkpoints_do_not_set_off_hooks_on_accumulated_gradients():
    model = made(lambda: Checkpointed(True))
    model.stem.weight.register_post_accumulate_grad_hook(lambda parameter: None)
    with pytest.raises(UsageError, match="use_reentrant=False"):
        leadline.profile(model, torch.ones(2, 4))


def test_optimisers_in_the_backward_pass_do_not_step():
    model = made(lambda: Checkpointed(False))
    before = model.stem.weight.detach().clone()
    model.stem.weight.register_post_accumulate_grad_hook(lambda p: p.data.mul_(2) and None)
    leadline.profile(model, torch.ones(2, 4))
    assert torch.equal(model.stem.weight, before)


def test_gradient_checkpointing_of_transformers_is_seen_through():
    model, inputs, _ = build("gpt2")
    model.activation_checkpointing_enable()
    profile = leadline.profile(model, inputs)
    assert profile["transformer.h.0"].residual
    assert profile["transformer.h.1"].grad_norm > 0
    assert any("behind checkpoints" in note for note in profile.notes)


class Writes(nn.Module):
    """Works on the outputs of its layers in place, without any module that says so."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(4, 6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = self.a(x)
        h.mul_(100.0)
        return self.b(h)


class Plain(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return torch.dropout(self.layer(x), 0.5, True)


class Stage(nn.Module):
    """Writes on what its units return, of which nobody knows then whether they will count."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.returned = Plain(), Plain(), []

    def forward(self, x: Tensor) -> Tensor:
        h = self.first(x)
        self.returned.append(h.detach().clone())
        return self.second(h.mul_(100.0))


def test_outputs_are_those_of_the_module_though_overwritten_later(generator: torch.Generator):
    model, x = made(Writes), torch.randn(5, 4, generator=generator)
    profile = leadline.profile(model, x)
    expected = model.a(x).detach().double().square().mean().sqrt()
    assert profile["a"].rms == pytest.approx(float(expected), rel=1e-6)
    assert profile.notes == ()


def _collapsed(weight: Tensor, bias: Tensor) -> None:
    weight.copy_(torch.outer(weight[:, 0], weight[0]))
    bias.zero_()


def _far_from_zero(weight: Tensor, bias: Tensor) -> None:
    bias.fill_(-50.0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("write", [_collapsed, _far_from_zero])
def test_numbers_that_are_worked_out_from_the_rows_are_of_the_rows_before_an_activation_in_place(
    write: Callable[[Tensor, Tensor], None], dtype: torch.dtype, generator: torch.Generator
):
    x = torch.randn(8, 16, generator=generator).to(dtype)

    def measured(in_place: bool) -> Mapping[str, float]:
        model = made(lambda: nn.Sequential(nn.Linear(16, 16), nn.ReLU(inplace=in_place), nn.Linear(16, 4))).to(dtype)
        with torch.no_grad():
            write(model[0].weight, model[0].bias)
        return leadline.profile(model, x, layers="leaves")["0"].metrics

    assert measured(True) == measured(False)


def test_a_second_pass_repeats_the_first_where_outputs_were_overwritten_too_early(generator: torch.Generator):
    model, x = made(lambda: nn.Sequential(Stage(), Stage())), torch.randn(5, 4, generator=generator)
    profile = leadline.profile(model, x)
    first, again = model[0].returned
    assert torch.equal(first, again)  # with the same dropout
    assert profile["0.first"].rms == pytest.approx(float(first.double().square().mean().sqrt()), rel=1e-6)
    assert any("second forward pass" in note for note in profile.notes)


def test_gradients_of_overwritten_outputs_are_those_before_the_write(generator: torch.Generator):
    model, x = made(Writes), torch.randn(5, 4, generator=generator)
    profile = leadline.profile(model, x, loss=lambda y, _: y.sum())
    expected = (100.0 * torch.ones(5, 3) @ model.b.weight.detach()).norm()
    assert profile["a"].grad_norm == pytest.approx(float(expected), rel=1e-5)


def test_frozen_models_have_gradients_of_their_layers():
    for name in ("resnet", "gpt2"):
        model, inputs, targets = build(name)
        trained = leadline.profile(model.eval(), inputs, targets)
        frozen = leadline.profile(model.requires_grad_(False), inputs, targets)
        for layer, twin in zip(frozen.layers, trained.layers, strict=True):
            if layer.name != "transformer.wpe":  # behind integers made inside the model
                assert layer.grad_norm == pytest.approx(twin.grad_norm, rel=1e-5), layer.name
            assert math.isnan(layer.weight_grad_norm)
        assert frozen.weights == {} and frozen.unused == ()


def test_a_part_under_no_grad_is_measured_forward_only(generator: torch.Generator):
    class Backbone(nn.Module):
        def __init__(self):
            super().__init__()
            self.backbone, self.head = nn.Linear(4, 6).requires_grad_(False), nn.Linear(6, 3)

        def forward(self, x: Tensor) -> Tensor:
            with torch.no_grad():
                h = self.backbone(x)
            return self.head(h)

    profile = leadline.profile(made(Backbone), torch.randn(5, 4, generator=generator))
    assert profile["backbone"].rms > 0
    assert math.isnan(profile["backbone"].grad_norm)
    assert profile["head"].grad_norm > 0
    assert profile.unused == ()


def test_an_exception_the_model_catches_itself_confuses_nothing(generator: torch.Generator):
    class Tries(nn.Module):
        def __init__(self):
            super().__init__()
            self.wide, self.narrow = nn.Linear(9, 3), nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            try:
                return self.wide(x)
            except RuntimeError:
                return self.narrow(x)

    profile = leadline.profile(made(Tries), torch.randn(5, 4, generator=generator))
    assert [layer.name for layer in profile.layers] == ["narrow"]
    assert profile.unused == ("wide",)


def test_a_module_that_returns_its_parameter_keeps_no_hook():
    class Table(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(4))

        def forward(self) -> Tensor:
            return self.weight

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.table, self.layer = Table(), nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(x + self.table())

    model = made(Net)
    profile = leadline.profile(model, torch.eye(4))
    assert profile["table"].grad_norm > 0
    assert not model.table.weight._backward_hooks


def test_masks_get_no_gradient():
    class Attends(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 4)

        def forward(self, x: Tensor, attn_mask: Tensor) -> Tensor:
            assert not attn_mask.requires_grad
            return nn.functional.scaled_dot_product_attention(self.layer(x), x, x, attn_mask=attn_mask)

    profile = leadline.profile(made(Attends), {"x": torch.ones(2, 3, 4), "attn_mask": torch.zeros(3, 3)})
    assert profile["layer"].grad_finite_fraction == 1.0


def test_nan_in_a_weight_is_found_where_it_begins():
    model, x, y = build("resnet")
    with torch.no_grad():
        model.layer2[1].conv1.weight[0, 0, 0, 0] = math.nan
    profile = leadline.profile(model, x, y)
    assert profile.first_nonfinite == "layer2.1.conv1"
    assert profile.nonfinite_parameters == ("layer2.1.conv1.weight",)
    assert profile["layer1.1"].finite_fraction == 1.0 > profile["layer2.1"].finite_fraction
    assert not math.isfinite(profile.loss)


def test_nan_that_no_parameter_holds_is_found_too():
    class Roots(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.b(torch.sqrt(self.a(x) - 100.0))

    profile = leadline.profile(made(Roots), torch.eye(4))
    assert (profile.first_nonfinite, profile.nonfinite_parameters) == ("b", ())


@pytest.mark.slow
def test_compiled_models_and_parts_are_profiled_as_written(generator: torch.Generator):
    x = torch.randn(6, 4, generator=generator)
    plain = leadline.profile(made(lambda: Checkpointed(None)), x)
    whole = torch.compile(made(lambda: Checkpointed(None)), backend="eager")
    part = made(lambda: Checkpointed(None))
    part.units[1] = torch.compile(part.units[1], backend="eager")
    for model in (whole, part):
        with torch.no_grad():
            model(x)
        found = leadline.profile(model, x)
        assert [layer.name for layer in found.layers] == [layer.name for layer in plain.layers]
        assert found["units.1"].grad_norm == pytest.approx(plain["units.1"].grad_norm, rel=1e-6)
        assert found["units.1"].parts == plain["units.1"].parts


def test_channels_last_gives_the_same_numbers():
    model, x, y = build("resnet")
    plain = leadline.profile(model, x, y)
    other = leadline.profile(model.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last), y)
    for layer, twin in zip(other.layers, plain.layers, strict=True):
        assert layer.effective_rank == pytest.approx(twin.effective_rank, rel=1e-4)
        assert layer.grad_norm == pytest.approx(twin.grad_norm, rel=1e-3)


def test_modules_may_be_nested_as_deep_as_the_model_itself_runs(generator: torch.Generator):
    x = torch.randn(3, 4, generator=generator)
    model: nn.Module = made(lambda: nn.Linear(4, 4))
    for _ in range(200):
        model = nn.Sequential(model)
    limit = sys.getrecursionlimit()
    profile = leadline.profile(model, x)
    assert [layer.kind for layer in profile.layers] == ["Linear"]
    assert sys.getrecursionlimit() == limit


class Recurs(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x: Tensor, depth: int) -> Tensor:
        return torch.tanh(self.layer(self(x, depth - 1))) if depth else x


def test_a_module_may_call_itself_as_often_as_it_can(generator: torch.Generator):
    model, x = made(Recurs), torch.randn(3, 4, generator=generator)
    profile = leadline.profile(model, (x, 150))
    assert len([layer for layer in profile.layers if layer.kind == "Linear"]) == 150
