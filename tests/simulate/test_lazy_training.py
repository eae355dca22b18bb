"""Training on lazy weights is training: the same losses as a stored network that starts from the same matrices."""

import copy

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor, nn

import leadline
from leadline._core.errors import UsageError
from leadline.simulate import LazyLinear, LazySGD
from leadline.train import fit

FALSE_ALARM = 1e-6
RUNS = 600
STEPS = 12


def _network(width: int, seed: int, *, weights: str = "gaussian", bias: bool = True) -> nn.Sequential:
    return nn.Sequential(
        LazyLinear(6, width, bias, seed=3 * seed, weights=weights, gain=1.0),
        nn.Tanh(),
        LazyLinear(width, width, bias, seed=3 * seed + 1, weights=weights, gain=1.0),
        nn.Tanh(),
        LazyLinear(width, 3, bias, seed=3 * seed + 2, gain=1.0),
    ).double()


def _stored(net: nn.Sequential) -> nn.Sequential:
    """The same network as it was drawn, stored; consistent with everything that the lazy one has answered."""
    twin = nn.Sequential()
    for part in net:
        if isinstance(part, LazyLinear):
            dense = nn.Linear(part.in_features, part.out_features, part.bias is not None, device="meta").double()
            dense.weight = nn.Parameter(part.matrix.materialise())
            dense.bias = copy.deepcopy(part.bias)
            twin.append(dense)
        else:
            twin.append(part)
    return twin


def _batches(generator: torch.Generator) -> list[tuple[Tensor, Tensor]]:
    return [
        (torch.randn(4, 6, generator=generator, dtype=torch.float64), torch.randint(3, (4,), generator=generator))
        for _ in range(STEPS)
    ]


def _losses(net: nn.Module, optimiser: torch.optim.Optimizer, batches: list[tuple[Tensor, Tensor]]) -> list[float]:
    losses = []
    for x, labels in batches:
        optimiser.zero_grad()
        loss = nn.functional.cross_entropy(net(x), labels)
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("weights", ["gaussian", "haar"])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("momentum", "weight_decay"), [(0.0, 0.0), (0.9, 0.0), (0.0, 0.1), (0.8, 0.05)])
def test_losses_are_those_of_the_stored_network(
    weights: str, bias: bool, momentum: float, weight_decay: float, generator: torch.Generator
) -> None:
    net, batches = _network(20, 0, weights=weights, bias=bias), _batches(generator)
    biases = copy.deepcopy(net.state_dict())
    settings = {"lr": 0.3, "momentum": momentum, "weight_decay": weight_decay}
    lazy = _losses(net, LazySGD(net, **settings), batches)
    twin = _stored(net)
    twin.load_state_dict(biases, strict=False)
    dense = _losses(twin, torch.optim.SGD(twin.parameters(), **settings), batches)
    assert lazy == pytest.approx(dense, abs=1e-8)
    for one, other in zip(net, twin, strict=True):
        if isinstance(one, LazyLinear):
            torch.testing.assert_close(one.materialise(), other.weight.detach(), rtol=0, atol=1e-8)


def test_a_wide_network_learns_in_memory_that_goes_with_its_width(generator: torch.Generator) -> None:
    net = _network(50_000, 0).float()
    batches = [(x.float(), labels) for x, labels in _batches(generator)[:1] * STEPS]
    losses = _losses(net, LazySGD(net, lr=1e-2 / 50), batches)
    assert losses[-1] < losses[0]
    middle = net[2]
    held = middle.matrix.memory + 4 * (middle.update.left.numel() + middle.update.right.numel())
    # Of each of 12 steps of 4 samples: two directions with images, and a pair.
    assert held <= 6 * 4 * STEPS * 50_000 * 4


def _last_loss(seed: int, batches: list[tuple[Tensor, Tensor]], *, gain: float | None) -> float:
    """After training; of a dense Gaussian network of this ``gain``, or of a lazy one of gain 1 without one."""
    if gain is None:
        net = _network(8, seed, bias=False)
        return _losses(net, LazySGD(net, lr=0.3, momentum=0.5), batches)[-1]
    generator = torch.Generator().manual_seed(seed)
    twin = nn.Sequential()
    for part in (nn.Linear(6, 8, False, device="meta"), nn.Tanh(), nn.Linear(8, 8, False, device="meta"), nn.Tanh(),
                 nn.Linear(8, 3, False, device="meta")):  # fmt: skip
        if isinstance(part, nn.Linear):
            drawn = torch.randn(part.weight.shape, generator=generator, dtype=torch.float64)
            part.weight = nn.Parameter(drawn * gain / part.in_features**0.5)
        twin.append(part)
    return _losses(twin, torch.optim.SGD(twin.parameters(), lr=0.3, momentum=0.5), batches)[-1]


@pytest.mark.slow
def test_losses_after_training_have_the_law_of_dense_networks_and_not_of_others(generator: torch.Generator) -> None:
    batches = _batches(generator)
    lazy = np.array([_last_loss(seed, batches, gain=None) for seed in range(RUNS)])
    dense = np.array([_last_loss(seed, batches, gain=1.0) for seed in range(RUNS)])
    wrong = np.array([_last_loss(seed, batches, gain=1.3) for seed in range(RUNS)])
    assert stats.ks_2samp(lazy, dense).pvalue > FALSE_ALARM
    assert stats.ks_2samp(lazy, wrong).pvalue < FALSE_ALARM


def test_gradients_of_several_passes_add_up(generator: torch.Generator) -> None:
    net = _network(10, 1)
    optimiser, (x, labels) = LazySGD(net, lr=0.1), _batches(generator)[0]
    for _ in range(2):
        nn.functional.cross_entropy(net(x), labels).backward()
    twice = net[2].weight_grad_norm()
    optimiser.zero_grad()
    nn.functional.cross_entropy(net(x), labels).backward()
    assert twice == pytest.approx(2 * net[2].weight_grad_norm())


def test_gradients_may_be_cleared_between_the_passes_and_a_profile_in_between_does_not_count(
    generator: torch.Generator,
) -> None:
    net, twin, (x, labels) = _network(10, 1), _network(10, 1), _batches(generator)[0]
    for which in (net, twin):
        optimiser = LazySGD(which, lr=0.1)
        loss = nn.functional.cross_entropy(which(x), labels)
        optimiser.zero_grad()
        if which is net:
            leadline.profile(net, 2 * x, labels)
        loss.backward()
        assert len(which[2].weight_grads) == 1
        optimiser.step()
    torch.testing.assert_close(net(x), twin(x), rtol=0, atol=1e-12)


def test_a_step_without_gradients_changes_nothing(generator: torch.Generator) -> None:
    net, (x, _) = _network(10, 1), _batches(generator)[0]
    before = net(x)
    LazySGD(net, lr=0.1, weight_decay=0.5).step()
    torch.testing.assert_close(net(x), before, rtol=0, atol=1e-12)


@pytest.mark.parametrize("optimiser", ["adam", "adamw", "sgd"])
def test_what_would_train_the_biases_alone_is_refused(optimiser: str, generator: torch.Generator) -> None:
    why = ".*size of its own" if optimiser != "sgd" else ""
    with pytest.raises(
        UsageError, match=f"weight of 0 is not stored and cannot be trained by {optimiser}{why}.*LazySGD"
    ):
        fit(_network(5, 0), _batches(generator), optimiser=optimiser)


def test_a_network_without_a_lazy_layer_is_sent_to_torchs_own() -> None:
    with pytest.raises(UsageError, match="This Linear has no lazy layer; train it with torch.optim.SGD"):
        LazySGD(nn.Linear(2, 2, device="meta"), lr=0.1)
