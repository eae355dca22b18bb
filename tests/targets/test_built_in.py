import inspect

import pytest
import torch

from leadline import nn as nets
from leadline._core.errors import UsageError
from leadline.targets import designs, load

NAMES = ["mlp", "resnet20", "resnet56", "resnet110", "vgg19", "vit", "gpt"]
SMALL = {
    "mlp": "mlp:depth=2,width=8",
    "resnet20": "resnet20:width=2",
    "resnet56": "resnet56:width=2",
    "resnet110": "resnet110:width=2",
    "vgg19": "vgg19:width=2",
    "vit": "vit:depth=1,width=8,heads=2",
    "gpt": "gpt:depth=1,width=8,heads=2",
}


def output(target):
    with torch.no_grad():
        made = target.model(target.inputs)
    return getattr(made, "logits", made)


def test_the_registry_lists_every_design():
    assert [design.name for design in designs()] == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_defaults_of_the_registry_are_the_builders_own(name):
    design = next(design for design in designs() if design.name == name)
    builder = nets.resnet if name.startswith("resnet") else getattr(nets, name)
    own = {n: p.default for n, p in inspect.signature(builder).parameters.items() if p.kind is p.KEYWORD_ONLY}
    shown = {option.name: option.default for option in design.options}
    depth = {"depth": int(name.removeprefix("resnet"))} if name.startswith("resnet") else {}
    others = {"weights": "dense"} if name == "mlp" else {}
    assert shown == {**{n: d for n, d in own.items() if n not in ("seed", "linear")}, **depth, **others}


@pytest.mark.parametrize("name", [name for name in NAMES if name != "gpt"])
def test_designs_for_images_take_digits_by_default(name):
    target = load(SMALL[name], batch=4)
    assert target.inputs.shape == (4, 1, 8, 8)
    assert output(target).shape == (4, 10)
    assert target.targets.shape == (4,)
    assert target.description == f"{SMALL[name]} on 4 digits of 1×8×8, seed 0"


@pytest.mark.parametrize("name", ["resnet20", "vgg19", "vit"])
def test_gaussian_images_have_the_shape_of_cifar(name):
    target = load(SMALL[name], data="gaussian", batch=2)
    assert target.inputs.shape == (2, 3, 32, 32)
    assert output(target).shape == (2, 10)
    assert target.description.endswith("on 2 Gaussian samples of 3×32×32, seed 0")


def test_an_input_shape_alone_means_gaussian_samples():
    assert load("mlp:depth=1", input_shape=(7,)).model.blocks[0].linear.in_features == 7


def test_gpt_takes_random_tokens():
    target = load(SMALL["gpt"], batch=3, input_shape=(5,))
    assert target.inputs.shape == target.targets.shape == (3, 5)
    assert output(target).shape == (3, 5, 1024)


def test_the_default_batch_is_64_samples_or_16_sequences():
    assert len(load(SMALL["mlp"]).inputs) == 64
    assert len(load(SMALL["gpt"]).inputs) == 16


def test_options_reach_the_design():
    net = load("mlp:depth=4,width=16,activation=tanh,norm=layer,skip=1").model
    assert len(net.blocks) == 4
    assert [type(part).__name__ for part in net.blocks[1].children()] == ["Linear", "LayerNorm", "Tanh"]
    assert net.blocks[1].skip == 1.0


def test_fractional_batch_norm_is_an_option_with_its_exponent():
    assert load("mlp:depth=40,width=8,norm=fractional").model.blocks[0].norm.alpha == 0.5
    assert load("vgg19:width=2,norm=fractional,alpha=0.2").model.features[0].norm.alpha == 0.2


@pytest.mark.parametrize(
    ("target", "options", "message"),
    [
        ("mlp:norm=batch,alpha=0.1", {}, "alpha is the exponent of norm='fractional'"),
        ("mlp:norm=fractional,alpha=2", {}, r"alpha must be in \[0, 1\]; got 2.0"),
        ("mlp:activaton=relu", {}, r"mlp has no option 'activaton' \(did you mean 'activation'\?\)"),
        ("mlp:activation=rellu", {}, r"mlp option activation must be one of .*\(did you mean 'relu'\?\)"),
        ("mlp:depth=0", {}, r"depth must be at least 1; got 0\."),
        ("gpt", {"data": "digits"}, "data for gpt must be one of tokens; got 'digits'"),
        ("mlp", {"data": "tokens"}, "data for mlp must be one of digits, .*gaussian; got 'tokens'"),
        (
            "mlp",
            {"data": "digits", "input_shape": (3, 2)},
            "Digits have shape 1×8×8; the input shape 3×2 needs data=gaussian",
        ),
        ("resnet20", {"input_shape": (64,)}, r"resnet20 takes images of shape \(channels, height, width\); .*\(64,\)"),
        ("vit", {"input_shape": (3, 8, 10)}, "vit takes square images; got the input shape 3×8×10"),
        ("gpt", {"input_shape": (3, 8)}, r"gpt takes sequences of shape \(positions,\); got the input shape \(3, 8\)"),
        ("mlp", {"batch": 5000}, "must have 1 to 1797 samples; got 5000"),
    ],
)
def test_what_does_not_suit_the_design_is_refused(target, options, message):
    with pytest.raises(UsageError, match=message):
        load(target, **options)


def test_lazy_weights_are_an_option_of_the_perceptron() -> None:
    target = load("mlp:depth=2,width=1e4,weights=lazy,init=orthogonal", batch=3)
    assert target.model.blocks[1].linear.weight_shape == (10_000, 10_000)
    assert target.model.blocks[1].linear.weights == "haar"
    first, second = (block.linear.seed for block in target.model.blocks)
    assert first != second
