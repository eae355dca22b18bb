"""Which modules are the layers."""

import pytest
import torch
from tests.architectures import BasicBlock, DenseBlock, build, made
from torch import nn

import leadline
from leadline._core.errors import UsageError


def names(architecture: str, role: str, **options: object) -> list[str]:
    profile = leadline.profile(*build(architecture), **options)  # type: ignore[arg-type]
    return [layer.name for layer in profile.layers if layer.role == role]


BLOCKS = {
    "mlp": [],
    "mlp_bn": [],
    "mlp_blocks": ["1", "2", "3"],
    "mlp_residual": ["1", "2", "3"],
    "mlp_sequentials": ["1", "2", "3"],
    "vgg_bn": [],
    "resnet": [f"layer{stage}.{i}" for stage in range(1, 5) for i in range(2)],
    "preact_resnet": ["0.1", "0.2", "0.3"],
    "densenet": [f"0.denseblock{stage}.denselayer{i}" for stage in (1, 2) for i in (1, 2, 3)],
    "mobilenet": ["0.0", "0.1", "0.2", "0.3", "0.4"],
    "efficientnet": ["0.1", "0.2", "0.3"],
    "unet": ["down1", "down2", "up1", "up2"],
    "lstm": [],
    "transformer_encoder": ["layers.0", "layers.1", "layers.2"],
    "transformer": [f"{side}.layers.{i}" for side in ("encoder", "decoder") for i in (0, 1)],
    "mixer": ["blocks.0", "blocks.1"],
    "lists_of_lists": [f"layers.{i}.{j}" for i in range(3) for j in range(2)],
    "shared": ["block", "block#2", "block#3"],
    "gpt2": ["transformer.h.0", "transformer.h.1"],
    "llama": ["model.layers.0", "model.layers.1"],
    "mixtral": ["model.layers.0", "model.layers.1"],
    "bert": ["bert.encoder.layer.0", "bert.encoder.layer.1"],
    "albert": ["encoder.albert_layer_groups.0", "encoder.albert_layer_groups.0#2"],
    "mamba": ["backbone.layers.0", "backbone.layers.1"],
    "t5": [f"{side}.block.{i}" for side in ("encoder", "decoder") for i in (0, 1)],
    "vit": ["vit.layers.0", "vit.layers.1"],
    "swin": [f"swin.encoder.layers.{stage}.blocks.{i}" for stage in (0, 1) for i in (0, 1)],
    "convnext": [f"convnext.encoder.stages.{stage}.layers.{i}" for stage in (0, 1) for i in (0, 1)],
    "hf_resnet": [f"resnet.encoder.stages.{stage}.layers.{i}" for stage in (0, 1) for i in (0, 1)],
    "hf_resnet_bottleneck": [f"resnet.encoder.stages.{stage}.layers.{i}" for stage in (0, 1) for i in (0, 1)],
}


@pytest.mark.parametrize("architecture", BLOCKS)
def test_repeated_units_are_found(architecture: str):
    assert names(architecture, "block") == BLOCKS[architecture]


OUTSIDE = {
    "mlp": ["0", "2", "4"],
    "mlp_blocks": ["0", "4"],
    "resnet": ["conv1", "bn1", "fc"],
    "densenet": ["0.conv0", "0.transition1.0", "0.transition1.1", "3"],
    "gpt2": ["transformer.wte", "transformer.wpe", "transformer.ln_f", "lm_head"],
    "hf_resnet": ["resnet.embedder.embedder.convolution", "resnet.embedder.embedder.normalization", "classifier.1"],
    "roberta": [
        *(f"roberta.embeddings.{name}_embeddings" for name in ("word", "token_type", "position")),
        "roberta.embeddings.LayerNorm", "lm_head.dense", "lm_head.layer_norm", "lm_head.decoder",
    ],
}  # fmt: skip


@pytest.mark.parametrize("architecture", OUTSIDE)
def test_leaves_with_parameters_outside_units_are_layers_of_their_own(architecture: str):
    assert names(architecture, "leaf") == OUTSIDE[architecture]


def test_layers_come_in_order_of_execution_whatever_the_order_of_the_code():
    class Backwards(nn.Module):
        def __init__(self):
            super().__init__()
            self.last, self.first = nn.Linear(4, 2), nn.Linear(3, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.last(self.first(x))

    profile = leadline.profile(made(Backwards), torch.eye(3))
    assert [layer.name for layer in profile.layers] == ["first", "last"]
    assert [layer.depth for layer in profile.layers] == [0, 1]


def test_units_that_never_run_do_not_count():
    class Skips(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList(DenseBlock(4) for _ in range(3))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.layers[0](x)

    profile = leadline.profile(made(Skips), torch.eye(4))
    assert [layer.name for layer in profile.layers] == ["layers.0.linear", "layers.0.norm"]


def test_sequentials_repeat_only_what_holds_the_same_classes():
    def two(activation: type[nn.Module]) -> nn.Module:
        return nn.Sequential(nn.Linear(4, 4), activation())

    profile = leadline.profile(made(lambda: nn.Sequential(two(nn.ReLU), two(nn.Tanh))), torch.eye(4))
    assert [layer.role for layer in profile.layers] == ["leaf", "leaf"]


def test_a_block_alone_in_its_class_is_none():
    net = made(lambda: nn.Sequential(nn.Conv2d(3, 4, 3), BasicBlock(4, 4), nn.Flatten(), nn.Linear(64, 2)))
    profile = leadline.profile(net, torch.ones(2, 3, 6, 6))
    assert {layer.role for layer in profile.layers} == {"leaf"}


def test_the_repeat_of_a_layer_names_its_class_only_where_there_are_several():
    profile = leadline.profile(*build("mlp_blocks"))
    assert [layer.repeat for layer in profile.layers] == ["Linear", "DenseBlock", "DenseBlock", "DenseBlock", "Linear"]
    assert leadline.profile(*build("resnet"))["fc"].repeat == ""


def test_leaves_are_all_modules_without_modules_inside():
    assert [layer.name for layer in leadline.profile(*build("mlp"), layers="leaves").layers] == [
        "0",
        "1",
        "2",
        "3",
        "4",
    ]


def test_patterns_choose_by_dotted_name():
    model, x, y = build("resnet")
    profile = leadline.profile(model, x, y, layers=["layer1.*.conv?", "fc"])
    assert [layer.name for layer in profile.layers] == [
        *(f"layer1.{i}.conv{j}" for i in range(2) for j in (1, 2)),
        "fc",
    ]
    assert [layer.name for layer in leadline.profile(model, x, y, layers="layer?").layers] == [
        "layer1", "layer2", "layer3", "layer4",
    ]  # fmt: skip


def test_a_predicate_chooses_by_name_and_module():
    model, x, y = build("resnet")
    profile = leadline.profile(model, x, y, layers=lambda name, module: isinstance(module, nn.Linear))
    assert [layer.name for layer in profile.layers] == ["fc"]


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ("layer9.0", "is named like 'layer9.0'; did you mean 'layer"),
        ("block", "did you mean 'blocks'"),
        (["fc", "qqqq*"], "'qqqq\\*'; dotted names are matched"),
        (["leaves", "fc"], "named 'leaves', and the word stands by itself, in no list"),
        ([], "an empty list"),
        (lambda name, module: False, "true of no module"),
    ],
)
def test_what_matches_nothing_is_an_error(layers: object, message: str):
    model, x, y = build("resnet")
    with pytest.raises(UsageError, match=message):
        leadline.profile(model, x, y, layers=layers)  # type: ignore[arg-type]


def test_a_model_that_is_one_leaf_has_one_layer():
    profile = leadline.profile(made(lambda: nn.Linear(4, 2)), torch.eye(4))
    assert [(layer.name, layer.shape) for layer in profile.layers] == [("Linear", (4, 2))]
    assert profile.layers[0].weight_grad_norm > 0


def test_the_names_of_wrappers_do_not_show():
    model, x, y = build("resnet")
    plain = leadline.profile(model, x, y)
    wrapped = leadline.profile(nn.DataParallel(model), x, y)
    assert [layer.name for layer in wrapped.layers] == [layer.name for layer in plain.layers]
    assert wrapped.model == "ResNet"
    assert wrapped["layer2.0"].grad_norm == plain["layer2.0"].grad_norm


def test_a_parametrised_leaf_is_still_a_leaf():
    net = made(
        lambda: nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(4, 4)), nn.ReLU(), nn.Linear(4, 2))
    )
    profile = leadline.profile(net, torch.eye(4))
    assert [(layer.name, layer.kind) for layer in profile.layers] == [("0", "Linear"), ("2", "Linear")]
    assert profile["0"].weight_grad_norm > 0
    assert profile.unused == ()
