import pytest
import torch
from torch import nn

from leadline._core.errors import UsageError
from leadline.data import gaussian
from leadline.nn import FractionalBatchNorm2d, alpha_for_depth, resnet, vgg19
from leadline.nn.designs import BasicBlock, ConvBlock
from leadline.nn.designs.resnet import PadShortcut


def parameters(net):
    return sum(p.numel() for p in net.parameters())


# Table 6 of the ResNet paper gives 0.27M, 0.85M and 1.7M.
@pytest.mark.parametrize(("depth", "millions"), [(20, 0.27), (56, 0.85), (110, 1.73)])
def test_resnets_have_the_parameters_of_the_paper(depth, millions):
    assert parameters(resnet(3, 10, depth=depth)) / 1e6 == pytest.approx(millions, abs=0.01)


@pytest.mark.parametrize("depth", [20, 56, 110])
def test_depth_counts_convolutions_and_head(depth):
    weighted = [part for part in resnet(3, 10, depth=depth).modules() if isinstance(part, (nn.Conv2d, nn.Linear))]
    assert len(weighted) == depth


def test_stages_halve_the_map_and_double_the_channels():
    net = resnet(3, 10, depth=20)
    x = net.conv(gaussian(2, (3, 32, 32), seed=0).inputs)
    shapes = []
    for stage in (net.stage1, net.stage2, net.stage3):
        x = stage(x)
        shapes.append(tuple(x.shape[1:]))
    assert shapes == [(16, 32, 32), (32, 16, 16), (64, 8, 8)]


def test_shortcuts_have_no_parameters_and_pad_with_zeros():
    x = gaussian(2, (4, 6, 6), seed=0).inputs
    shortcut = PadShortcut(3)
    y = shortcut(x)
    assert list(shortcut.parameters()) == []
    assert torch.equal(y[:, :4], x[:, :, ::2, ::2])
    assert y[:, 4:].abs().max() == 0


def test_a_block_adds_its_branch_to_the_stream():
    block = resnet(3, 10, depth=8, norm="none").stage1[0]
    x = gaussian(2, (16, 6, 6), seed=0).inputs
    torch.testing.assert_close(block(x), torch.relu(x + block.conv2(torch.relu(block.conv1(x)))))


@pytest.mark.parametrize("norm", ["none", "batch", "fractional", "layer", "group"])
def test_only_batch_norm_takes_the_place_of_biases(norm):
    net = resnet(1, 10, depth=8, norm=norm)
    assert (net.stage1[0].conv1.bias is None) == (norm in ("batch", "fractional"))
    assert (net.stage1[0].norm1 is None) == (norm == "none")


def test_fractional_batch_norm_has_the_exponent_of_the_convolutions():
    exponents = [
        {part.alpha for part in net.modules() if isinstance(part, FractionalBatchNorm2d)}
        for net in (resnet(1, 10, depth=20, norm="fractional"), vgg19(1, 10, width=4, norm="fractional"))
    ]
    assert exponents == [{alpha_for_depth(19)}, {alpha_for_depth(16)}]
    assert resnet(1, 10, norm="fractional", alpha=0.2).norm.alpha == 0.2


@pytest.mark.parametrize("build", [resnet, vgg19])
@pytest.mark.parametrize("side", [1, 8, 32])
def test_maps_of_any_size_pass(build, side):
    net = build(1, 10, width=4)
    assert net(gaussian(2, (1, side, side), seed=0).inputs).shape == (2, 10)


# papers: without normalisation ln std over channels before the last activation of layer 103 is 17.8 (He),
# 4.6 (Xavier), -1.45 (torch's default), each within 15 %.
@pytest.mark.parametrize(
    ("init", "expected", "tolerance"), [("he", 17.8, 2.7), ("xavier", 4.6, 0.7), ("default", -1.45, 0.3)]
)
def test_growth_of_the_stream_without_normalisation_is_the_published_one(init, expected, tolerance):
    net = resnet(3, 10, depth=110, norm="none", init=init)
    blocks = [part for part in net.modules() if isinstance(part, BasicBlock)]
    seen = []
    # Layer 103 is the second convolution of block 51: layer 1 is the stem, two layers a block follow.
    handle = blocks[50].activation2.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        net(gaussian(8, (3, 32, 32), seed=0).inputs)
    handle.remove()
    assert seen[0].std((0, 2, 3)).log().mean().item() == pytest.approx(expected, abs=tolerance)


@pytest.mark.parametrize("depth", [2, 18, 100])
def test_a_depth_that_is_no_resnet_is_refused(depth):
    with pytest.raises(UsageError, match=rf"must be 6n \+ 2, e\.g\. 20, 56 or 110; got {depth}\."):
        resnet(3, 10, depth=depth)


def test_vgg19_has_nineteen_weighted_layers_and_sixteen_repeated_units():
    net = vgg19(3, 10, width=8)
    assert sum(isinstance(part, (nn.Conv2d, nn.Linear)) for part in net.modules()) == 19
    assert sum(isinstance(part, ConvBlock) for part in net.modules()) == 16


def test_vgg19_has_the_parameters_of_its_cifar_form():
    # Sixteen kernels without bias, the batch norms, the classifier.
    assert parameters(vgg19(3, 10)) == 20_018_880 + 11_008 + 530_442


def test_dropout_stands_before_each_hidden_map_of_the_classifier():
    kinds = [type(part).__name__ for part in vgg19(3, 10, width=4, dropout=0.5).classifier]
    assert kinds == ["Dropout", "Linear", "ReLU", "Dropout", "Linear", "ReLU", "Linear"]


def test_a_dropout_of_everything_is_refused():
    with pytest.raises(UsageError, match=r"dropout must be at least 0 and below 1; got 1\.0\."):
        vgg19(3, 10, dropout=1.0)
