import copy

import pytest
import torch
from torch import nn

from leadline._core.errors import UsageError
from leadline._core.randomness import seeded
from leadline.nn import BatchNorm1d, BatchNorm2d, FeatureNorm, recalibrate


def _trained(norm, reference, shape, generator):
    """Both after three batches, with the same affine part; the second is torch's."""
    with torch.no_grad():
        reference.weight.uniform_(0.5, 2, generator=generator)
        reference.bias.normal_(generator=generator)
    norm.load_state_dict(reference.state_dict())
    for _ in range(3):
        x = 3 + 2 * torch.randn(shape, generator=generator)
        norm(x), reference(x)
    return norm, reference


@pytest.mark.parametrize(
    ("norm", "reference", "shape"),
    [
        (BatchNorm1d(6), nn.BatchNorm1d(6), (16, 6)),
        (BatchNorm1d(6, 1e-3, None), nn.BatchNorm1d(6, 1e-3, None), (16, 6, 5)),
        (BatchNorm2d(6, momentum=0.3), nn.BatchNorm2d(6, momentum=0.3), (4, 6, 3, 3)),
    ],
)
@pytest.mark.parametrize("training", [True, False])
def test_the_defaults_are_torchs(norm, reference, shape, training, generator):
    norm, reference = _trained(copy.deepcopy(norm), copy.deepcopy(reference), shape, generator)
    x = torch.randn(shape, generator=generator)
    torch.testing.assert_close(norm.train(training)(x), reference.train(training)(x), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(dict(norm.state_dict()), dict(reference.state_dict()))


def test_a_state_dict_of_torch_gives_torchs_outputs_and_goes_back(generator):
    _, reference = _trained(BatchNorm1d(6), nn.BatchNorm1d(6), (16, 6), generator)
    norm, back = BatchNorm1d(6).eval(), nn.BatchNorm1d(6).eval()
    norm.load_state_dict(reference.state_dict())
    back.load_state_dict(norm.state_dict())
    x = torch.randn(16, 6, generator=generator)
    torch.testing.assert_close(norm(x), reference.eval()(x), atol=1e-6, rtol=1e-6)
    assert torch.equal(back(x), reference(x))


def test_gradients_are_torchs(generator):
    norm, reference = BatchNorm1d(6).double(), nn.BatchNorm1d(6).double()
    x = torch.randn(16, 6, generator=generator, dtype=torch.float64, requires_grad=True)
    cotangent = torch.randn(16, 6, generator=generator, dtype=torch.float64)
    (ours,) = torch.autograd.grad((norm(x) * cotangent).sum(), x)
    (torchs,) = torch.autograd.grad((reference(x) * cotangent).sum(), x)
    torch.testing.assert_close(ours, torchs, atol=1e-12, rtol=1e-9)


def test_without_centre_a_feature_is_divided_by_its_root_mean_square(generator):
    x = 3 + torch.randn(16, 6, generator=generator)
    torch.testing.assert_close(BatchNorm1d(6, centre=False, eps=0.0)(x), x / x.square().mean(0).sqrt())


def test_without_scale_the_mean_goes_and_nothing_else(generator):
    x = 3 + 5 * torch.randn(16, 6, generator=generator)
    torch.testing.assert_close(BatchNorm1d(6, scale=False)(x), x - x.mean(0), atol=1e-5, rtol=0)


def test_ddof_divides_by_fewer(generator):
    x = torch.randn(8, 6, generator=generator)
    torch.testing.assert_close(BatchNorm1d(6, ddof=1, eps=0.0)(x), (x - x.mean(0)) / x.std(0))


def test_running_ddof_zero_keeps_the_variance_over_n(generator):
    x = torch.randn(8, 6, generator=generator)
    norm = BatchNorm1d(6, momentum=1.0, running_ddof=0)
    norm(x)
    torch.testing.assert_close(norm.running_var, x.var(0, correction=0))


def test_fixed_moments_are_used_in_training_and_never_change(generator):
    norm = BatchNorm1d(6, train_with="fixed", eps=0.0)
    norm.running_mean.fill_(2.0)
    norm.running_var.fill_(4.0)
    x = torch.randn(8, 6, generator=generator)
    torch.testing.assert_close(norm(x), (x - 2) / 2)
    assert norm.running_mean.eq(2).all() and norm.num_batches_tracked == 0


def test_evaluation_with_the_batch_ignores_and_keeps_the_running_moments(generator):
    norm = BatchNorm1d(6, evaluate_with="batch").eval()
    x = 5 + torch.randn(8, 6, generator=generator)
    torch.testing.assert_close(norm(x).mean(0), torch.zeros(6), atol=1e-5, rtol=0)
    assert norm.running_mean.eq(0).all()


def test_without_running_moments_evaluation_takes_the_batch(generator):
    norm = BatchNorm1d(6, track_running_stats=False)
    x = torch.randn(8, 6, generator=generator)
    assert torch.equal(norm(x), norm.eval()(x))
    assert set(norm.state_dict()) == {"weight", "bias"}


def test_tokens_are_normalised_over_sequences_and_positions(generator):
    x = torch.randn(4, 7, 6, generator=generator)
    tokens = BatchNorm1d(6, feature_axis=-1)(x)
    torch.testing.assert_close(tokens, BatchNorm1d(6)(x.transpose(1, 2)).transpose(1, 2))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype, generator):
    x = (300 + torch.randn(64, 6, generator=generator)).to(dtype)
    y = BatchNorm1d(6)(x)
    assert y.dtype == dtype
    torch.testing.assert_close(y, nn.BatchNorm1d(6)(x.float()).to(dtype), atol=1e-2, rtol=1e-2)


def test_autocast_keeps_statistics_in_float32(generator):
    x = 100 + torch.randn(64, 6, generator=generator)
    norm = BatchNorm1d(6, momentum=1.0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        norm(x)
    torch.testing.assert_close(norm.running_mean, x.mean(0), atol=1e-4, rtol=0)


@pytest.mark.parametrize("options", [{}, {"centre": False}, {"alpha": 0.3}, {"ddof": 1}])
def test_gradcheck(options, generator):
    norm = FeatureNorm(3, dtype=torch.float64, track_running_stats=False, **options)
    x = torch.randn(5, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(norm, (x,))


def test_non_finite_input_gives_nan_and_does_not_raise():
    x = torch.tensor([[1.0, torch.inf], [2.0, 3.0]])
    y = BatchNorm1d(2)(x)
    assert y[:, 0].isfinite().all() and y[:, 1].isnan().all()


def test_a_batch_of_one_is_refused_with_what_it_needs():
    with pytest.raises(UsageError, match=r"at least 2 values per feature; got shape \(1, 6\)"):
        BatchNorm1d(6)(torch.zeros(1, 6))
    assert BatchNorm1d(6).eval()(torch.zeros(1, 6)).shape == (1, 6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: BatchNorm1d(6)(torch.zeros(4, 6, 2, 2)), r"BatchNorm1d takes 2 or 3 axes; got shape \(4, 6, 2, 2\)"),
        (lambda: BatchNorm1d(6)(torch.zeros(4, 5)), r"Axis 1 must have 6 features; got shape \(4, 5\)"),
        (lambda: BatchNorm1d(6, train_with="fixed", track_running_stats=False), "needs track_running_stats=True"),
        (lambda: FeatureNorm(6, alpha=1.5), r"alpha must be in \[0, 1\]; got 1.5"),
    ],
)
def test_wrong_calls_say_what_was_expected(call, message):
    with pytest.raises(UsageError, match=message):
        call()


def _deep(norm, depth=200, width=16):
    with seeded(0):
        layers = [
            layer for _ in range(depth) for layer in (nn.Linear(width, width, bias=False), norm(width), nn.Tanh())
        ]
    return nn.Sequential(*layers)


@pytest.mark.parametrize("norm", [nn.BatchNorm1d, BatchNorm1d])
def test_after_recalibration_evaluation_agrees_with_batch_statistics_at_any_depth(norm, generator):
    net, x = _deep(norm).double(), torch.randn(32, 16, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        expected = net(x)
        recalibrate(net, [x])
        # Two hundred chaotic layers amplify the rounding of 1e-16 to about 1e-6.
        torch.testing.assert_close(net.eval()(x), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("options", [{"ddof": 1}, {"ddof": 2, "alpha": 0.3}, {"ddof": 1, "centre": False}])
def test_recalibration_divides_as_the_batch_is_divided(options, generator):
    norm, x = FeatureNorm(3, eps=0.0, **options).double(), torch.randn(4, 3, generator=generator, dtype=torch.float64)
    expected = norm(x)
    torch.testing.assert_close(recalibrate(norm, [x]).eval()(x), expected)


def test_recalibration_pools_unbiased_variances(generator):
    x = torch.randn(30, 4, generator=generator)
    norm = recalibrate(BatchNorm1d(4, ddof=1), [x[:5], x[5:18], x[18:]])
    torch.testing.assert_close(norm.running_var, x.var(0))


def test_running_moments_over_n_minus_one_lose_the_signal_of_a_deep_network(generator):
    net = nn.Sequential(*[BatchNorm1d(4, momentum=1.0, eps=0.0) for _ in range(300)]).double()
    x = torch.randn(10, 4, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        ratio = net(x).std() / net.eval()(x).std()
    assert ratio.item() == pytest.approx((10 / 9) ** 150, rel=1e-6)


def test_recalibration_pools_batches_of_different_size(generator):
    x = torch.randn(30, 4, generator=generator)
    norm = recalibrate(nn.BatchNorm1d(4), [x[:5], x[5:18], x[18:]])
    torch.testing.assert_close(norm.running_mean, x.mean(0))
    torch.testing.assert_close(norm.running_var, x.var(0, correction=0))


def test_recalibration_leaves_all_but_the_running_moments(generator):
    with seeded(0):
        net = nn.Sequential(nn.Linear(4, 4), BatchNorm1d(4, momentum=0.3), nn.Dropout(0.5)).eval()
    net[2].train()
    before = copy.deepcopy(net.state_dict())
    recalibrate(net, [{"input": torch.randn(8, 4, generator=generator)}])
    assert [part.training for part in net] == [False, False, True]
    assert not any(part._forward_pre_hooks for part in net)
    changed = {name for name, value in net.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"1.running_mean", "1.running_var"}
    assert net[1].momentum == 0.3 and net[1].track_running_stats


def test_recalibration_without_a_batch_is_refused():
    with pytest.raises(UsageError, match="at least one batch"):
        recalibrate(nn.BatchNorm1d(4), [])
