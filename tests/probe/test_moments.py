import pytest
import torch
from torch.nn import functional as F

from leadline.probe.moments import moments, norms_of


@pytest.mark.parametrize("size", [1000, 4097, 30_000, 65_536, 99_999, 300_000])
@pytest.mark.parametrize(
    "shaped",
    [lambda x: x, lambda x: F.leaky_relu(x, 0.01), lambda x: x.abs() + 1, lambda x: x.sign() * 1.1],
    ids=["gaussian", "leaky", "shifted", "alike"],
)
def test_the_quick_sums_of_float32_are_right_to_a_millionth(shaped, size):
    x = shaped(torch.randn(size, generator=torch.Generator().manual_seed(0)))
    wide = x.double()
    found = moments(x)
    assert found.norm == pytest.approx(float(wide.norm()), rel=1e-6)
    assert found.rms == pytest.approx(float(wide.square().mean().sqrt()), rel=1e-6)
    assert found.std == pytest.approx(float(wide.std(correction=0)), rel=2e-6)
    assert norms_of([x, x[:100]]) == pytest.approx([float(wide.norm()), float(wide[:100].norm())], rel=1e-6)


def test_a_complex_weight_has_a_norm():
    x = torch.randn(99, 99, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))
    assert norms_of([x]) == pytest.approx([float(x.to(torch.complex128).abs().square().sum().sqrt())], rel=1e-5)
