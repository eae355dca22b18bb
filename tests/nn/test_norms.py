import pytest
import torch

from leadline._core.errors import UsageError
from leadline.nn import feature_norm, map_norm


def test_none_is_no_module():
    assert feature_norm("none", 8) is None
    assert map_norm("none", 8) is None


@pytest.mark.parametrize(("kind", "axis"), [("batch", 0), ("layer", 1)])
def test_feature_norm_standardises_over_its_axis(kind, axis, generator):
    y = feature_norm(kind, 32)(3 + 5 * torch.randn(64, 32, generator=generator))
    mean, variance = y.mean(axis), y.var(axis, correction=0)
    torch.testing.assert_close(mean, torch.zeros_like(mean), atol=1e-5, rtol=0)
    torch.testing.assert_close(variance, torch.ones_like(variance), atol=1e-4, rtol=0)


def test_rms_norm_gives_every_sample_unit_mean_square(generator):
    y = feature_norm("rms", 32)(3 + 5 * torch.randn(64, 32, generator=generator))
    torch.testing.assert_close(y.square().mean(1), torch.ones(64), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("kind", "groups", "axes"),
    [("batch", 16, (0, 2, 3, 4)), ("layer", 1, (2, 3, 4)), ("group", 2, (2, 3, 4))],
)
def test_map_norm_standardises_over_its_axes(kind, groups, axes, generator):
    x = 3 + 5 * torch.randn(8, 16, 4, 4, generator=generator)
    y = map_norm(kind, 16)(x).reshape(8, groups, 16 // groups, 4, 4)
    mean, variance = y.mean(axes), y.var(axes, correction=0)
    torch.testing.assert_close(mean, torch.zeros_like(mean), atol=1e-5, rtol=0)
    torch.testing.assert_close(variance, torch.ones_like(variance), atol=1e-4, rtol=0)


def test_channels_that_eight_does_not_divide_form_one_group():
    assert map_norm("group", 12).num_groups == 1


def test_an_unknown_norm_offers_the_nearest():
    with pytest.raises(UsageError, match=r"none, batch, fractional, layer, rms; got 'bach' \(did you mean 'batch'"):
        feature_norm("bach", 8)
    with pytest.raises(UsageError, match="none, batch, fractional, layer, group; got 'rms'"):
        map_norm("rms", 8)


def test_fractional_norms_have_the_exponent_given_or_the_default():
    assert feature_norm("fractional", 8, alpha=0.3).alpha == map_norm("fractional", 8, alpha=0.3).alpha == 0.3
    assert feature_norm("fractional", 8).alpha == 0.1
    with pytest.raises(UsageError, match=r"alpha must be in \[0, 1\]; got 2"):
        map_norm("fractional", 8, alpha=2.0)
