import pytest
import torch
from torch import nn

from leadline._core.errors import UsageError
from leadline.nn import mlp
from leadline.nn.designs import MLPBlock


def test_depth_counts_hidden_blocks():
    net = mlp(64, 10, depth=7, width=16)
    assert sum(isinstance(part, MLPBlock) for part in net.modules()) == 7
    assert sum(isinstance(part, nn.Linear) for part in net.modules()) == 8


def test_output_is_the_composition_written_out(generator):
    net = mlp(12, 3, depth=2, width=5, activation="tanh")
    x = torch.randn(4, 12, generator=generator)
    y = x
    for block in net.blocks:
        y = torch.tanh(y @ block.linear.weight.T + block.linear.bias)
    torch.testing.assert_close(net(x), y @ net.head.weight.T + net.head.bias)


def test_samples_of_any_shape_are_flattened(generator):
    x = torch.randn(4, 1, 8, 8, generator=generator)
    net = mlp(64, 10, depth=2)
    assert torch.equal(net(x), net(x.flatten(1)))


def test_the_order_is_linear_norm_activation():
    assert [name for name, _ in mlp(64, 10, depth=1, norm="rms").blocks[0].named_children()] == [
        "linear",
        "norm",
        "activation",
    ]


def test_without_norm_no_module_stands_in_for_it():
    kinds = {type(part).__name__ for part in mlp(64, 10, depth=2).modules()}
    assert kinds == {"MLP", "Sequential", "MLPBlock", "Linear", "ReLU"}


def test_a_skip_adds_the_weighted_input(generator):
    x = torch.randn(4, 6, generator=generator)
    block = mlp(6, 2, depth=1, width=6, skip=0.5).blocks[0]
    torch.testing.assert_close(block(x), 0.5 * x + torch.relu(block.linear(x)))


def test_the_first_block_skips_only_where_widths_agree():
    assert [block.skip for block in mlp(64, 10, depth=3, width=32, skip=1.0).blocks] == [0.0, 1.0, 1.0]
    assert [block.skip for block in mlp(32, 10, depth=2, width=32, skip=1.0).blocks] == [1.0, 1.0]


def test_batch_norm_drops_the_bias_before_it_and_no_other():
    net = mlp(64, 10, depth=2, norm="batch")
    assert net.blocks[0].linear.bias is None
    assert net.head.bias is not None
    assert mlp(64, 10, depth=2, norm="layer").blocks[0].linear.bias is not None


def test_fractional_batch_norm_has_the_exponent_of_the_depth_or_the_one_given():
    net = mlp(64, 10, depth=40, norm="fractional")
    assert {block.norm.alpha for block in net.blocks} == {0.5}
    assert net.blocks[0].linear.bias is None
    assert mlp(64, 10, depth=40, norm="fractional", alpha=0.2).blocks[0].norm.alpha == 0.2


def test_an_exponent_for_another_norm_is_refused():
    with pytest.raises(
        UsageError, match=r"alpha is the exponent of norm='fractional'; got alpha=0\.1 with norm='batch'"
    ):
        mlp(64, 10, norm="batch", alpha=0.1)


def test_the_same_seed_gives_the_same_weights_and_another_does_not():
    a, b, c = (mlp(8, 2, depth=2, seed=s).blocks[0].linear.weight for s in (1, 1, 2))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


def test_any_factory_can_make_the_linear_maps():
    calls = []

    def linear(fan_in, fan_out, bias=True):
        calls.append((fan_in, fan_out, bias))
        return nn.Linear(fan_in, fan_out, bias=bias)

    mlp(64, 10, depth=2, width=32, norm="batch", linear=linear)
    assert calls == [(64, 32, False), (32, 32, False), (32, 10, True)]


def test_a_depth_of_zero_is_refused():
    with pytest.raises(UsageError, match=r"depth must be at least 1; got 0\."):
        mlp(64, 10, depth=0)
