import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from leadline._core.errors import UsageError
from leadline._core.randomness import seeded
from leadline._core.rates import rate_over_draws
from leadline.data import gaussian
from leadline.doctor.coordinate_runs import update_rule
from leadline.doctor.coordinate_trends import _word
from leadline.doctor.coordinates import coordinate_check
from leadline.nn import mlp
from leadline.targets import load

BATCH = gaussian(32, (16,), seed=0, classes=10)
WIDTHS = (32, 64, 128, 256)


class Wide(nn.Module):
    """Two hidden layers; the input of each map is multiplied by a fixed factor: every parametrisation of width."""

    def __init__(self, width, *, std, factors):
        super().__init__()
        self.a, self.b, self.c = nn.Linear(16, width), nn.Linear(width, width), nn.Linear(width, 10)
        self.factors = factors
        for layer, scale in zip((self.a, self.b, self.c), std, strict=True):
            nn.init.normal_(layer.weight, 0, scale)
            nn.init.zeros_(layer.bias)

    def forward(self, x):
        for layer, factor in zip((self.a, self.b), self.factors, strict=False):
            x = torch.tanh(layer(factor * x))
        return self.c(self.factors[2] * x)


def standard(width, seed):
    return mlp(16, 10, depth=2, width=width)


def tangent_kernel(width, seed):
    return Wide(width, std=(1, 1, 1), factors=(1 / 4, width**-0.5, width**-0.5))


def maximal_update(width, seed):
    return Wide(width, std=(1 / 4, width**-0.5, width**-0.5), factors=(1, 1, (32 / width) ** 0.5))


def maximal_update_adam(net):
    width = net.b.in_features
    matrices = [
        {"params": [net.b.weight], "lr": 1e-2 * 32 / width},
        {"params": [net.c.weight], "lr": 1e-2 * (32 / width) ** 0.5},
    ]
    rest = [p for name, p in net.named_parameters() if name not in ("b.weight", "c.weight")]
    return torch.optim.Adam([*matrices, {"params": rest, "lr": 1e-2}])


def check(build, **options):
    return coordinate_check(build, BATCH.inputs, BATCH.targets, **{"widths": WIDTHS, **options})


def trend(made, module, metric="mean_abs_change"):
    return next(t for t in made.trends if (t.module, t.metric) == (module, metric))


def test_adam_in_torchs_parametrisation_grows_with_width():
    made = check(standard)
    assert made.verdict == "grows with width"
    assert trend(made, "blocks.0.linear").verdict == "stable"
    # Updates of hidden and output maps have exponent 1 once aligned with their input, 1/2 at least from the start.
    assert trend(made, "blocks.1.linear").slope.estimate > 0.4
    assert trend(made, "head").slope.estimate > 0.7


def test_sgd_in_the_tangent_kernel_parametrisation_shrinks_features_by_the_square_root_of_width():
    made = check(tangent_kernel, optimiser="sgd")
    assert made.verdict == "shrinks with width"
    # Theory gives -1/2 for hidden changes and 0 for the output's; at these widths within a quarter.
    assert trend(made, "a").slope.estimate == pytest.approx(-0.5, abs=0.2)
    assert abs(trend(made, "output").slope.estimate) < 0.25


def test_the_maximal_update_parametrisation_is_stable():
    made = check(maximal_update, optimiser=maximal_update_adam)
    assert made.verdict == "stable"
    assert trend(made, "output", "mean_abs").verdict == "shrinks"  # by design, and no fault


def test_residual_networks_without_scaling_grow_with_depth():
    made = check(
        lambda depth, seed: mlp(16, 10, depth=depth, width=32, skip=1.0), widths=None, depths=(2, 4, 8, 16), seeds=3
    )
    assert made.over == "depth"
    assert made.verdict == "grows with depth"
    assert {t.module for t in made.trends} == {"blocks.0.linear", "blocks.1.linear", "head", "output"}


def test_rows_hold_every_module_size_step_seed_and_metric_once():
    made = check(standard, widths=(8, 16), steps=2, seeds=2)
    frame = made.to_frame()
    assert list(frame.columns) == ["module", "size", "step", "seed", "metric", "value"]
    assert len(frame) == 4 * 2 * 3 * 2 * 2
    assert not frame.duplicated(["module", "size", "step", "seed", "metric"]).any()


def test_a_value_is_the_mean_absolute_output():
    made = check(standard, widths=(8, 16), seeds=2)
    with seeded(1):
        net = standard(16, 1)
    expected = net(BATCH.inputs).abs().mean().item()
    (row,) = [r for r in made.rows if (r.module, r.size, r.step, r.seed, r.metric) == ("output", 16, 0, 1, "mean_abs")]
    assert row.value == pytest.approx(expected, rel=1e-6)


def test_the_change_is_zero_at_the_start_and_one_gradient_step_later_that_step():
    made = check(lambda width, seed: nn.Linear(16, 10), widths=(8, 16), seeds=2, steps=1, optimiser="sgd", lr=0.5)
    changes = {(r.step, r.seed): r.value for r in made.rows if r.metric == "mean_abs_change" and r.size == 8}
    with seeded(0):
        net = nn.Linear(16, 10)
    before = net(BATCH.inputs)
    F.cross_entropy(before, BATCH.targets).backward()
    step = BATCH.inputs @ net.weight.grad.T + net.bias.grad
    assert changes[0, 0] == 0
    assert changes[1, 0] == pytest.approx(0.5 * step.abs().mean().item(), rel=1e-4)


def test_dropout_alone_changes_nothing():
    def build(width, seed):
        return nn.Sequential(nn.Linear(16, width), nn.Dropout(0.5), nn.Linear(width, 10))

    made = check(build, widths=(8, 16), seeds=2, lr=1e-12)
    assert max(r.value for r in made.rows if r.metric == "mean_abs_change") < 1e-6


def test_activations_that_work_in_place_do_not_alter_what_was_seen():
    def build(width, seed, inplace=True):
        return nn.Sequential(nn.Linear(16, width), nn.ReLU(inplace), nn.Linear(width, 10))

    aside = check(lambda width, seed: build(width, seed, inplace=False), widths=(8, 16), seeds=2)
    assert check(build, widths=(8, 16), seeds=2).rows == aside.rows


def test_frozen_networks_move_by_zero_and_nothing_is_decided():
    def build(width, seed):
        net = mlp(16, 10, depth=1, width=width)
        net.blocks.requires_grad_(False)
        return net

    made = check(build, widths=(8, 16), seeds=2)
    assert trend(made, "blocks.0.linear").verdict == "zero"
    assert trend(made, "blocks.0.linear").message == "blocks.0.linear moves at zero"


def test_a_coordinate_that_is_not_finite_is_growth_and_says_where():
    def build(width, seed):
        net = mlp(16, 10, depth=1, width=width)
        if width == 16:
            nn.init.constant_(net.head.weight, math.inf)
        return net

    made = check(build, widths=(8, 16, 32), seeds=2)
    assert made.verdict == "grows with width"
    assert trend(made, "head", "mean_abs").message == "head is not finite at width 16"


def test_hooks_and_the_global_generator_are_left_as_they_were():
    nets = []

    def build(width, seed):
        nets.append(mlp(16, 10, depth=1, width=width))
        return nets[-1]

    before = torch.get_rng_state()
    check(build, widths=(8, 16), seeds=2)
    assert torch.equal(before, torch.get_rng_state())
    assert not any(module._forward_hooks for net in nets for module in net.modules())


def test_the_same_call_gives_the_same_numbers():
    assert check(standard, widths=(8, 16), seeds=2) == check(standard, widths=(8, 16), seeds=2)


@pytest.mark.parametrize(
    ("slopes", "word"),
    [
        ([0.45, 0.5, 0.55], "grows"),
        ([-0.45, -0.5, -0.55], "shrinks"),
        ([-0.05, 0.0, 0.05], "stable"),
        ([0.2, 0.25, 0.25], "stable"),
        ([-1.0, 0.0, 1.0], "undecided"),
        ([0.0, 0.3, 0.9], "undecided"),
    ],
)
def test_a_slope_is_called_by_the_exponent_it_is_nearest_to(slopes, word):
    assert _word(rate_over_draws(slopes)) == word


def test_a_trend_prints_its_interval():
    made = check(standard, widths=(8, 16, 32), seeds=3)
    t = trend(made, "head")
    expected = f"head moves as width^{t.slope.estimate:.2f} ({t.slope.low:.2f} to {t.slope.high:.2f}): {t.verdict}"
    assert t.message == expected
    assert expected in str(made)
    assert str(made).startswith(f"{made.verdict}: 3 widths from 8 to 32, 3 steps of adam, 3 seeds\n")


@pytest.mark.parametrize("name", ["adam", "sgd"])
def test_our_update_rules_are_torchs(name, generator):
    def net():
        with seeded(0):
            return nn.Linear(5, 3).double()

    ours, theirs = net(), net()
    step = update_rule(name, 0.01)(ours)
    optimiser = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}[name](theirs.parameters(), lr=0.01)
    for _ in range(5):
        x = torch.randn(7, 5, dtype=torch.float64, generator=generator)
        for model, update in ((ours, step), (theirs, optimiser.step)):
            model.zero_grad()
            model(x).square().sum().backward()
            update()
    torch.testing.assert_close(ours.weight, theirs.weight, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depths": (1, 2)}, "over widths or over depths; got both"),
        ({"widths": (64, 64)}, r"needs at least two widths, each at least 1; got \(64,\)"),
        ({"widths": (0, 64)}, r"needs at least two widths, each at least 1; got \(0, 64\)"),
        ({"steps": 0}, "needs at least 1 step and 2 seeds; got 0 and 5"),
        ({"seeds": 1}, "needs at least 1 step and 2 seeds; got 3 and 1"),
        ({"lr": 0.0}, r"The learning rate must be positive and finite; got 0\.0"),
        ({"optimiser": maximal_update_adam, "lr": 0.1}, "an optimiser of your own brings its rates"),
    ],
)
def test_a_wrong_call_is_told_in_a_sentence(options, message):
    with pytest.raises(UsageError, match=message):
        check(standard, **options)


def test_a_target_is_checked_by_replacing_its_option():
    target = load("gpt:depth=1,heads=2", batch=2, input_shape=(8,))
    made = coordinate_check(
        lambda width, seed: target.build(seed, width=width), target.inputs, target.targets, widths=(16, 32), seeds=2
    )
    assert made.sizes == (16, 32)
    assert {"transformer.h.0.mlp.c_fc", "lm_head", "output"} <= {t.module for t in made.trends}


def test_over_depths_a_name_that_means_another_layer_is_not_compared():
    def flat(depth, seed):
        return nn.Sequential(
            *(part for _ in range(depth) for part in (nn.Linear(16, 16), nn.ReLU())), nn.Linear(16, 10)
        )

    made = check(flat, widths=None, depths=(1, 2, 4), seeds=2)
    # "2" and "4" are hidden layers of the deeper networks, and the heads of others.
    assert {trend.module for trend in made.trends} == {"0", "output"}
