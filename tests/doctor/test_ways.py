"""The shortest way through a network, and what is said of layers that it leaves out."""

from dataclasses import replace

import pytest
import torch
from tests.doctor.synthetic import EMPTY, chain, found, geometric
from torch import Tensor, nn

import leadline
from leadline._core.profile import Profile
from leadline._core.randomness import seeded
from leadline.data import digits
from leadline.doctor.trainable_mechanisms import measure
from leadline.doctor.ways import goes_around, shortest_way

DEPTH = 24


def reading(profile: Profile, **reads: tuple[str, ...]) -> Profile:
    """The profile, its layers reading the one in front but for those named."""
    front = [("inputs",), *((layer.name,) for layer in profile.layers)]
    layers = [
        replace(layer, reads=reads.get(layer.name, before))
        for layer, before in zip(profile.layers, front, strict=False)
    ]
    return replace(profile, layers=tuple(layers))


def with_long_skip(metrics: dict[str, list[float]]) -> Profile:
    """Layers of which the one before the last reads the second, too."""
    last = len(next(iter(metrics.values()))) - 1
    return reading(chain(metrics), **{f"fc{last - 1}": (f"fc{last - 2}", "fc1")})


def test_of_a_plain_chain_every_layer_is_on_the_way():
    way = shortest_way(reading(chain({"rms": [1.0] * 6})))
    assert way.names == {f"fc{i}" for i in range(6)}
    assert way.plain == 5  # the head has none behind it


def test_layers_that_do_not_say_what_they_read_read_the_one_in_front():
    assert shortest_way(chain({"rms": [1.0] * 6})) == shortest_way(reading(chain({"rms": [1.0] * 6})))
    assert shortest_way(EMPTY).names == frozenset()


def test_a_long_skip_leaves_out_the_layers_that_it_goes_around():
    profile = with_long_skip({"rms": [1.0] * 9})
    way = shortest_way(profile)
    assert way.names == {"fc0", "fc1", "fc7", "fc8"}
    assert way.plain == 3
    assert goes_around(profile, profile.layers[2:7])
    assert not goes_around(profile, profile.layers[:3])


def test_of_branches_side_by_side_the_shorter_is_the_way_and_equal_ones_count_once():
    branches = {"fc1": ("fc0",), "fc2": ("fc0",), "fc3": ("fc2",), "fc4": ("fc1", "fc3")}
    assert shortest_way(reading(chain({"rms": [1.0] * 6}), **branches)).names == {"fc0", "fc1", "fc4", "fc5"}
    equal = shortest_way(reading(chain({"rms": [1.0] * 5}), fc1=("fc0",), fc2=("fc0",), fc3=("fc1", "fc2")))
    assert (equal.plain, len(equal.names)) == (3, 5)


def test_blocks_with_a_skip_of_their_own_are_on_the_way_and_not_plain():
    profile = reading(chain({"rms": [1.0] * 5}))
    layers = [replace(layer, residual=0 < i < 4) for i, layer in enumerate(profile.layers)]
    way = shortest_way(replace(profile, layers=tuple(layers)))
    assert (way.plain, len(way.names)) == (1, 5)


@pytest.mark.parametrize("layers", [1, 3])
def test_every_layer_of_a_recurrent_module_is_one_of_the_depth(layers):
    class Reader(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn, self.head = nn.LSTM(8, 16, num_layers=layers, bidirectional=True), nn.Linear(32, 10)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.rnn(x)[0][-1])

    with seeded(0):
        profile = leadline.profile(Reader(), torch.ones(5, 4, 8), torch.arange(4))
    assert shortest_way(profile).plain == layers + 1


@pytest.mark.parametrize(
    ("code", "metric", "rate", "alone", "beside"),
    [
        ("activation-decay", "rms", -0.5, "error", "warning"),
        ("activation-growth", "rms", 0.2, "error", "warning"),
        ("activation-growth", "rms", 0.3, "error", "error"),
        ("gradient-explosion", "grad_norm", -0.22, "error", "warning"),
        ("gradient-explosion", "grad_norm", -0.4, "error", "error"),
    ],
)
def test_a_drift_is_judged_more_mildly_where_a_shorter_way_goes_around(code, metric, rate, alone, beside):
    ends = 1.0 if rate > 0 else 10 ** (rate * DEPTH)
    values = [1.0, 1.0, *geometric(DEPTH, rate), ends, ends]
    (plain,) = [f for f in found(reading(chain({metric: values})), code) if "rate" in f.evidence]
    (skipped,) = [f for f in found(with_long_skip({metric: values}), code) if "rate" in f.evidence]
    assert (plain.severity, skipped.severity) == (alone, beside)
    assert "goes around" not in plain.message
    assert skipped.message.endswith("; a shorter way goes around them.")


class Skipping(nn.Module):
    """A stem, twenty tanh layers that let nothing pass, and a head that reads both or the layers alone."""

    def __init__(self, *, skip: bool):
        super().__init__()
        self.skip, self.stem = skip, nn.Linear(64, 32)
        self.trunk = nn.Sequential(*(m for _ in range(20) for m in (nn.Linear(32, 32), nn.Tanh())))
        self.head = nn.Linear(64 if skip else 32, 10)
        with torch.no_grad():
            for layer in self.trunk[::2]:
                layer.weight.mul_(0.3)

    def forward(self, x: Tensor) -> Tensor:
        stem = self.stem(x)
        trunk = self.trunk(stem)
        return self.head(torch.cat([stem, trunk], 1) if self.skip else trunk)


@pytest.mark.parametrize("skip", [True, False])
def test_the_score_follows_the_way_that_learns(skip):
    images, labels = digits().inputs.flatten(1)[:512], digits().targets[:512]
    with seeded(0):
        model = Skipping(skip=skip)
    diagnosis = leadline.diagnose(leadline.profile(model, images[:64], labels[:64]))
    optimiser = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(60):
        loss = nn.functional.cross_entropy(model(images), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert (diagnosis.trainable > 0.5) == skip
    assert any(f.severity == "error" for f in diagnosis.findings) != skip
    assert (loss.item() < 1) == skip


def test_a_bias_behind_a_faded_signal_is_no_growth():
    rms = [1.0, *[1e-4] * 10]
    faded = chain({"rms": [*rms, 0.1], "distinction": [*[0.9] * 11, 1e-6]})
    grown = chain({"rms": [*rms, 0.1], "distinction": [0.9] * 12})
    offset = chain({"rms": [*rms, 300.0], "distinction": [*[0.9] * 11, 1e-12]})
    unknown = chain({"rms": [*rms, 0.1]})
    assert not found(faded, "activation-growth")
    assert [finding.layer for finding in found(unknown, "activation-growth")] == ["fc11"]
    assert [finding.layer for finding in found(grown, "activation-growth")] == ["fc11"]
    assert [finding.layer for finding in found(offset, "activation-growth")] == ["fc11"]


class Scaled(nn.Module):
    """A block of which the branch is multiplied by a scale that is learnt."""

    def __init__(self, scale: float):
        super().__init__()
        self.branch = nn.Sequential(nn.Linear(32, 32), nn.GELU(), nn.Linear(32, 32))
        self.scale = nn.Parameter(torch.full((32,), scale))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.scale * self.branch(x)


@pytest.mark.parametrize("scale", [0.0, 1e-6, 1.0])
def test_what_is_in_a_block_that_adds_next_to_nothing_may_wait(scale):
    images, labels = digits().inputs.flatten(1)[:64], digits().targets[:64]
    with seeded(0):
        model = nn.Sequential(nn.Linear(64, 32), *(Scaled(scale) for _ in range(6)), nn.Linear(32, 10))
    assert leadline.diagnose(leadline.profile(model, images, labels)).trainable > 0.9


class Reading(nn.Module):
    """Tokens in front of which one stands that starts at zero, so that the norm divides its gradient by its ε."""

    def __init__(self):
        super().__init__()
        self.first, self.norm = nn.Parameter(torch.zeros(1, 1, 8)), nn.LayerNorm(8, eps=1e-12)
        self.inner, self.head = nn.Linear(8, 32), nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        tokens = torch.cat([self.first.expand(len(x), 1, 8), x.view(-1, 8, 8)], 1)
        return self.head(torch.relu(self.inner(self.norm(tokens))).mean(1))


def test_the_gradient_of_a_token_is_none_of_the_weights():
    images, labels = digits().inputs.flatten(1)[:64], digits().targets[:64]
    with seeded(0):
        model = Reading()
    profile = leadline.profile(model, images, labels)
    assert profile.weights["first"] > 1e3 * max(norm for name, norm in profile.weights.items() if name != "first")
    assert measure(profile)["gradient_spread"] < 2
