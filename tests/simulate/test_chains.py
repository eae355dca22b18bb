import json
import math
from functools import partial

import numpy as np
import pytest
import torch
from tests.law.test_chains import CASES, batch, through

from leadline._core.errors import UsageError
from leadline.metrics import isometry_gap, participation_ratio
from leadline.simulate import Chain, LazyMatrix, Simulation, propagate, states
from leadline.simulate.propagate import _Run


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[LazyMatrix]:
    """The lazy matrices that a run makes, in order."""
    matrices, make = [], _Run._matrix

    def noted(run: _Run, number: int) -> LazyMatrix:
        matrices.append(make(run, number))
        return matrices[-1]

    monkeypatch.setattr(_Run, "_matrix", noted)
    return matrices


@pytest.mark.parametrize("loss", ["cotangent", "cross_entropy"])
@pytest.mark.parametrize("name", CASES)
def test_a_chain_is_the_dense_network_of_its_materialised_weights(
    name: str, loss: str, drawn: list[LazyMatrix]
) -> None:
    chain, n = CASES[name]
    x = batch(chain, n)
    found = propagate(chain, x, draws=2, seed=5, loss=loss)
    weights = [matrix.materialise().requires_grad_() for matrix in drawn]
    states = through(chain, weights, x.expand(2, -1, -1).clone().requires_grad_())
    run = _Run(chain=chain, draws=2, seed=5, dtype=torch.float64, device=torch.device("cpu"), on_layer=None)
    cotangent = run._gradient(states[-1].detach().mT, loss).mT
    grads = torch.autograd.grad((cotangent * states[-1]).sum(), [*states[:-1], *weights])
    log_norms = torch.stack([torch.linalg.vector_norm(g, dim=(-2, -1)).log() for g in grads], 1).numpy()
    assert found.array("log_grad_norm")[:, :-1] == pytest.approx(log_norms[:, : chain.depth], abs=1e-9)
    assert found.array("log_weight_grad_norm") == pytest.approx(log_norms[:, chain.depth :], abs=1e-9)
    for metric, function in (("isometry_gap", isometry_gap), ("participation_ratio", participation_ratio)):
        expected = torch.stack([function(state.detach()) for state in states], 1).numpy()
        assert found.array(metric) == pytest.approx(expected, rel=1e-8, abs=1e-10)


@pytest.mark.parametrize("seed", [0, 4])  # where 32 bits of a hash would give two of the layers the same weights
def test_no_two_of_a_hundred_thousand_layers_share_their_weights(seed: int) -> None:
    chain, cpu = Chain(width=4, depth=1), torch.device("cpu")
    run = _Run(chain=chain, draws=1, seed=seed, dtype=torch.float64, device=cpu, on_layer=None)
    # Torch's generator on the CPU takes no more of a seed.
    seeds = [run._generator(stream).initial_seed() & 0xFFFFFFFF for stream in range(-4, 100_001)]
    assert len(set(seeds)) == len(seeds)


def test_what_overflows_is_nan_and_stays_so() -> None:
    chain = Chain(width=20, depth=12, weights="gaussian", norm="none", gain=1e6)
    found = propagate(chain, batch=4, dtype=torch.float32, metrics=("participation_ratio",))
    assert np.isnan(found.array("participation_ratio")[:, -4:]).all()


def test_cross_entropy_sends_back_softmax_minus_label_over_the_batch() -> None:
    chain = Chain(width=20, depth=2)
    run = _Run(chain=chain, draws=3, seed=0, dtype=torch.float64, device=torch.device("cpu"), on_layer=None)
    output = torch.randn(3, 20, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    grad = run._gradient(output, "cross_entropy")
    head = run._normal("head", 3, 10, 20) / math.sqrt(20)
    labels = run._normal("labels", 3, 10, 5).argmax(1)
    leaf = output.clone().requires_grad_()
    loss = torch.nn.functional.cross_entropy(head @ leaf, labels) * 3  # the mean is over samples of one draw
    assert torch.allclose(torch.autograd.grad(loss, leaf)[0], grad)


@pytest.mark.parametrize("weights", ["haar", "gaussian"])
def test_segments_of_any_length_give_the_same_bits(weights: str) -> None:
    chain = Chain(width=16, depth=23, weights=weights, activation="gelu", centred=True)
    whole = propagate(chain, batch=5, draws=3, seed=2)
    for segment in (1, 7, 22):
        assert propagate(chain, batch=5, draws=3, seed=2, segment=segment) == whole


def test_a_deeper_chain_begins_with_the_same_layers() -> None:
    short, long = (propagate(Chain(width=16, depth=depth), batch=4, seed=1, backward=False) for depth in (5, 9))
    assert np.array_equal(short.array("isometry_gap"), long.array("isometry_gap")[:, :6])


@pytest.mark.parametrize("spread", [1.0, 1e-2, 1e-9, 0.0])
def test_what_tells_near_samples_apart_keeps_its_digits(spread: float, generator: torch.Generator) -> None:
    common = torch.randn(1, 8, generator=generator, dtype=torch.float64)
    x = common + spread * torch.randn(4, 8, generator=generator, dtype=torch.float64)
    found = propagate(Chain(width=8, depth=1), x, backward=False, metrics=("distinction",)).array("distinction")
    wide = x.numpy().astype(np.longdouble)
    expected = np.square(wide - wide.mean(0)).sum() / np.square(wide).sum()
    assert found[0, 0] == pytest.approx(float(expected), rel=1e-10, abs=0)
    assert found[0, 1] >= 0


def test_the_global_generator_stays_where_it_was() -> None:
    before = torch.get_rng_state()
    propagate(Chain(width=8, depth=3), batch=4)
    assert torch.equal(before, torch.get_rng_state())


def test_gradients_beyond_the_range_of_their_dtype_are_measured() -> None:
    chain = Chain(width=16, depth=400, norm="none", gain=0.5)
    found = propagate(chain, batch=4, dtype=torch.float32)
    assert found.array("log_grad_norm")[0, 0] == pytest.approx(400 * math.log(0.5), rel=1e-4)


def test_a_dead_network_has_no_gradient_and_says_minus_infinity() -> None:
    chain = Chain(width=4, depth=60, weights="gaussian", norm="none", activation="relu")
    found = propagate(chain, batch=1, seed=3)
    assert found.array("rms")[0, -1] == 0
    assert found.array("log_grad_norm")[0, 0] == -math.inf


def test_a_record_survives_its_file_and_becomes_a_frame(tmp_path) -> None:
    found = propagate(Chain(width=8, depth=4), batch=3, draws=2)
    path = found.save(tmp_path / "simulation.json")
    assert json.loads(path.read_text())["schema"] == 1
    assert Simulation.load(path) == found
    frame = found.to_frame()
    assert list(frame[frame.draw == 1].layer) == [0, 1, 2, 3, 4]
    assert frame.log_weight_grad_norm.isna().sum() == 2
    assert frame.isometry_gap.to_numpy().reshape(2, 5) == pytest.approx(found.array("isometry_gap"))


def test_rates_are_over_draws_and_name_what_was_not_measured() -> None:
    found = propagate(Chain(width=32, depth=50, activation="relu", centred=True), batch=8, draws=20, seed=1)
    rate = found.rate("log_grad_norm", start=10, stop=40)
    assert rate.over == "draws" and rate.low < rate.estimate < rate.high
    assert -0.3 < rate.estimate < -0.15
    with pytest.raises(UsageError, match="isometry_gap"):
        found.rate("isometry_gab")
    with pytest.raises(UsageError, match="start < stop <= 50; got 40 and 40"):
        found.rate("rms", start=40, stop=40)


def test_one_metric_is_named_by_its_name() -> None:
    chain = Chain(width=4, depth=3)
    one, listed = (propagate(chain, batch=4, metrics=asked) for asked in ("isometry_gap", ["isometry_gap"]))
    assert np.array_equal(one.array("isometry_gap"), listed.array("isometry_gap"))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: Chain(width=0, depth=3), "width >= 1"),
        (lambda: Chain(width=4, depth=3, activation="rleu"), "did you mean 'relu'"),
        (lambda: Chain(width=4, depth=3, alpha=2.0), r"\[0, 1\]"),
        (lambda: propagate(Chain(width=4, depth=3), torch.zeros(3, 5)), r"\(samples, 4\), got \(3, 5\)"),
        *[
            (partial(run, Chain(width=4, depth=3), **{name: value}), words)
            for run in (propagate, states)
            for name, value, words in (
                ("draws", 0, "draws must be at least 1, got 0"),
                ("batch", 0, "batch must be at least 1, got 0"),
                ("seed", -1, "seed must be at least 0, got -1"),
                ("dtype", torch.float16, "float32 or float64"),
            )
        ],
        *[
            (partial(Chain, width=4, depth=3, **{name: value}), f"{name} must be finite, got {value}")
            for name in ("gain", "eps", "skip", "gain_exponent")
            for value in (math.nan, math.inf)
        ],
        (lambda: Chain(width=4, depth=3, eps=-1e-5), "eps must be at least 0"),
        (lambda: propagate(Chain(width=4, depth=3), segment=0), "segment must be at least 1, got 0"),
        (lambda: propagate(Chain(width=4, depth=3), metrics=("gap",)), "metrics must be one of"),
    ],
)
def test_wrong_calls_are_refused_in_a_sentence(call, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        call()


@pytest.mark.slow
def test_ten_thousand_layers_stay_exact_to_rounding() -> None:
    """At isometry orthogonal layers keep the antisymmetric part of the gradient, and nothing else, for ever."""
    found = propagate(Chain(width=8, depth=10_000), batch=8, metrics=("isometry_gap",))
    assert found.array("isometry_gap")[0, -1] < 1e-12
    assert abs(found.array("grad_cosine")[:, :-1]).max() < 1e-10
    late = found.array("log_grad_norm")[0, 2000:9000]
    assert np.ptp(late) < 1e-8
