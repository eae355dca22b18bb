"""What the compiled loops add up is what torch does, alone and where the two meet."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from leadline.train import Monitor, Reading
from leadline.train.monitoring import one_pass

Way = Callable[[bool], None]


@pytest.fixture
def way(monkeypatch: pytest.MonkeyPatch) -> Way:
    can = one_pass.can_compile()
    return lambda compiled: monkeypatch.setattr(one_pass, "can_compile", lambda: compiled and can)


class Folded(nn.Module):
    """A linear layer on two axes or three."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.inner, self.act = nn.Linear(inputs, outputs), nn.Hardswish()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.inner(x))


def _seeded(build: Callable[[], nn.Module], generator: torch.Generator, dtype: torch.dtype) -> nn.Module:
    with torch.device("meta"):
        model = build()
    model = model.to_empty(device="cpu").to(dtype)
    with torch.no_grad():
        for p in model.parameters():
            p.normal_(generator=generator).div_(max(p[0].numel(), 1) ** 0.5)
        for b in model.buffers():
            b.fill_(1)
    return model


def _images() -> nn.Module:
    body = (nn.Conv2d(3, 5, 3, padding=1), nn.ReLU(), nn.Conv2d(5, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU6())
    return nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3), nn.Tanh())


CASES = {
    "rows": (lambda: nn.Sequential(nn.Linear(7, 130), nn.ReLU(), nn.Linear(130, 3), nn.Sigmoid()), (70, 7)),
    "positions": (lambda: nn.Sequential(Folded(7, 9), nn.LayerNorm(9), Folded(9, 70)), (6, 11, 7)),
    "images": (_images, (9, 3, 8, 8)),
    "long rows": (_images, (40, 3, 64, 64)),
    "one row": (lambda: nn.Sequential(nn.Linear(7, 5), nn.ReLU()), (1, 7)),
}


def _read(model: nn.Module, *batches: Tensor, spectrum_every: int | None = None) -> Reading:
    model.zero_grad()
    with Monitor(model, every=1, spectrum_every=spectrum_every) as monitor:
        for x in batches:
            y = model(x)
            weights = torch.linspace(1, 2, len(y), dtype=y.dtype).view(-1, *[1] * (y.ndim - 1))
            (weights * y).sum().backward()
        reading = monitor.step()
    assert reading is not None
    return reading


def _assert_same(a: Reading, b: Reading, *, relative: float) -> None:
    assert list(a.layers) == list(b.layers)
    for path, row in a.layers.items():
        assert list(row) == list(b.layers[path])
        for metric, value in row.items():
            # Distinctions are differences from one.
            close = pytest.approx(value, rel=relative, abs=relative, nan_ok=True)
            assert b.layers[path][metric] == close, (path, metric)
    assert a.totals == pytest.approx(b.totals, rel=relative, nan_ok=True)


@pytest.mark.parametrize(("dtype", "relative"), [(torch.float32, 2e-5), (torch.float64, 1e-12)])
@pytest.mark.parametrize("case", CASES)
def test_both_ways_give_the_same_numbers(case, dtype, relative, way: Way, generator: torch.Generator):
    build, shape = CASES[case]
    model = _seeded(build, generator, dtype)
    x = torch.randn(shape, generator=generator, dtype=dtype)
    readings = []
    for compiled in (True, False):
        way(compiled)
        readings.append(_read(model, x, 2 * x[: -(-len(x) // 2)], spectrum_every=1))
    _assert_same(*readings, relative=relative)


@pytest.mark.parametrize("bad", [math.nan, math.inf, 0.0])
def test_rows_that_are_not_finite_or_zero_count_the_same(bad: float, way: Way, generator: torch.Generator):
    model = _seeded(lambda: nn.Sequential(nn.Identity(), nn.ReLU(), nn.Identity()), generator, torch.float32)
    x = torch.randn(40, 6, generator=generator)
    x[0], x[3, 2] = bad, bad
    readings = []
    for compiled in (True, False):
        way(compiled)
        readings.append(_read(model, x.clone().requires_grad_()))
    _assert_same(*readings, relative=1e-6)
    assert (math.isfinite(readings[0].layers["0"]["rms"])) == (bad == 0)


def test_squares_beyond_single_precision_are_measured(generator: torch.Generator):
    model = _seeded(lambda: nn.Sequential(nn.Identity()), generator, torch.float32)
    x = torch.full((4, 3), 1e25)
    if one_pass.can_compile():
        assert _read(model, x.requires_grad_()).layers["0"]["rms"] == pytest.approx(1e25)


def test_calls_of_other_widths_and_dtypes_meet(way: Way, generator: torch.Generator):
    model = nn.Sequential(nn.Tanh())
    narrow, wide = torch.randn(9, 6, generator=generator), torch.randn(5, 8, generator=generator)
    readings = []
    for compiled in (True, False):
        way(compiled)
        parts = narrow, wide, narrow.double(), (3 * narrow).half().float(), narrow.mT.contiguous().mT
        readings.append(_read(model, *(part.clone().requires_grad_() for part in parts)))
    _assert_same(*readings, relative=1e-6)


def test_micro_batches_that_meet_from_both_ways_count_as_one(way: Way, generator: torch.Generator):
    model = _seeded(CASES["rows"][0], generator, torch.float32)
    first, second = torch.randn(30, 7, generator=generator), torch.randn(30, 7, generator=generator)
    readings = []
    for ways in ((True, False), (True, True), (False, False)):
        model.zero_grad()
        with Monitor(model, every=1, spectrum_every=None) as monitor:
            for compiled, x in zip(ways, (first, second), strict=True):
                way(compiled)
                model(x).square().sum().backward()
            readings.append(monitor.step())
    _assert_same(readings[0], readings[2], relative=2e-5)
    _assert_same(readings[1], readings[2], relative=2e-5)


def test_a_step_leaves_nothing_to_the_next(generator: torch.Generator):
    model = _seeded(CASES["rows"][0], generator, torch.float32)
    x, other = torch.randn(70, 7, generator=generator), torch.randn(30, 7, generator=generator)
    with Monitor(model, every=1, spectrum_every=None) as monitor:
        for batch in (x, other, x):
            model.zero_grad()
            model(batch).square().sum().backward()
            monitor.step()
    assert monitor.readings[0].layers == monitor.readings[2].layers


def test_backward_after_the_step_is_not_measured(generator: torch.Generator):
    model = _seeded(CASES["rows"][0], generator, torch.float32)
    with Monitor(model, every=1, spectrum_every=None) as monitor:
        late = model(torch.randn(8, 7, generator=generator)).sum()
        monitor.step()
        late.backward()
        reading = monitor.step()
    assert "grad_rms" not in monitor.readings[0].layers["0"]
    assert reading is not None
    assert not any("rms" in row or "grad_rms" in row for row in reading.layers.values())


def test_two_modules_that_hand_on_one_tensor_both_meet_its_gradient(generator: torch.Generator):
    model = nn.Sequential(nn.Identity(), nn.Identity())
    layers = _read(model, torch.randn(8, 3, generator=generator).requires_grad_() * 1.0).layers
    assert layers["0"]["grad_rms"] == layers["1"]["grad_rms"] > 0


def test_gradients_of_functions_are_measured(generator: torch.Generator):
    model = _seeded(CASES["rows"][0], generator, torch.float32)
    x = torch.randn(8, 7, generator=generator)
    parameters = {name: p.detach() for name, p in model.named_parameters()}
    with Monitor(model, every=1, spectrum_every=None) as monitor:
        torch.func.grad(lambda p: torch.func.functional_call(model, p, (x,)).sum())(parameters)
        reading = monitor.step()
    assert reading is not None
    expected = _read(model, x).layers["0"]
    assert reading.layers["0"]["rms"] == pytest.approx(expected["rms"], rel=1e-5)
    assert reading.layers["0"]["grad_rms"] > 0
