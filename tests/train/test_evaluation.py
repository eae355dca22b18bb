"""Evaluation: its numbers, the three kinds of moments, and what it leaves behind."""

import pytest
import torch
from torch import nn

from leadline._core.errors import UsageError
from leadline._core.randomness import seeded
from leadline.nn import FractionalBatchNorm1d
from leadline.train import evaluate, fit


def parts(n: int = 40) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(n, 6, generator=generator)
    return x, x[:, :3].argmax(1)


def normed(kind: type[nn.Module] = nn.BatchNorm1d) -> nn.Sequential:
    with seeded(0):
        return nn.Sequential(nn.Linear(6, 16), kind(16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 3))


def test_loss_and_accuracy_are_means_over_samples_of_unequal_batches():
    net, (x, y) = normed().eval(), parts()
    found = evaluate(net, [(x[:7], y[:7]), (x[7:], y[7:])])
    with torch.no_grad():
        logits = net(x)
    assert found.loss == pytest.approx(nn.functional.cross_entropy(logits, y).item(), rel=1e-6)
    assert found.accuracy == pytest.approx((logits.argmax(1) == y).double().mean().item())
    assert (found.samples, found.statistics) == (40, "running")


class OwnLoss(nn.Linear):
    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"loss": super().forward(x).square().mean()}


def test_a_loss_that_the_model_returns_under_its_name_is_trained_on_and_evaluated():
    with seeded(0):
        net = OwnLoss(6, 2)
    x, _ = parts()
    start = evaluate(net, [(x, None)]).loss
    assert start == pytest.approx(net(x)["loss"].item())
    assert fit(net, [(x, None)], steps=20, learning_rate=1e-2).losses[-1] < start


@pytest.mark.parametrize("kind", [nn.BatchNorm1d, FractionalBatchNorm1d])
@pytest.mark.parametrize("statistics", ["running", "batch", "recalibrated"])
def test_it_leaves_the_model_as_it_was(kind, statistics):
    net, (x, y) = normed(kind).train(), parts()
    net[3].eval()
    net(x)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    modes = [module.training for module in net.modules()]
    evaluate(net, [(x, y)], statistics=statistics, calibration=[x])
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert modes == [module.training for module in net.modules()] and net[1].track_running_stats


class Counts(nn.Linear):
    """Counts its calls in one buffer, and puts another in its place in a second."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__(inputs, outputs)
        self.register_buffer("calls", torch.zeros(()))
        self.register_buffer("mean", torch.zeros(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        self.mean = self.mean + x.mean()
        return super().forward(x)


def test_buffers_of_the_models_own_are_put_back():
    with seeded(0):
        net = Counts(6, 3)
    mean = net.mean
    evaluate(net, [parts()])
    assert net.calls == 0 and net.mean is mean and mean == 0


@pytest.mark.parametrize("kind", [nn.BatchNorm1d, FractionalBatchNorm1d])
def test_moments_of_the_batch_are_those_of_training_and_recalibrated_ones_on_it_too(kind):
    net, (x, y) = normed(kind), parts()
    net[3] = nn.Identity()
    with torch.no_grad():
        expected = nn.functional.cross_entropy(net.train()(x), y).item()
    for statistics in ("batch", "recalibrated"):
        found = evaluate(net, [(x, y)], statistics=statistics, calibration=[x])
        assert found.loss == pytest.approx(expected, rel=1e-5)


def test_targets_that_are_no_labels_have_no_accuracy():
    x, _ = parts()
    with seeded(0):
        net = nn.Linear(6, 2)
    assert evaluate(net, [(x, x[:, :2])]).accuracy is None


def test_tokens_are_told_one_by_one():
    with seeded(0):
        net = nn.Embedding(5, 5)
    with torch.no_grad():
        net.weight.copy_(torch.eye(5))
    tokens = torch.tensor([[0, 1, 2], [3, 4, 0]])
    labels = tokens.clone()
    labels[0, 0], labels[1, 2] = -100, 3
    assert evaluate(net, [(tokens, labels)]).accuracy == pytest.approx(4 / 5)


def test_a_loss_of_the_callers_own_is_taken():
    x, y = parts()
    assert evaluate(normed(), [(x, y)], loss=lambda output, targets: output.sum() * 0 + 2.0).loss == 2.0


def test_what_cannot_be_evaluated_is_told():
    x, y = parts()
    with pytest.raises(UsageError, match="no batch"):
        evaluate(normed(), [])
    with pytest.raises(UsageError, match="calibration="):
        evaluate(normed(), [(x, y)], statistics="recalibrated")
    with pytest.raises(UsageError, match="statistics must be one of"):
        evaluate(normed(), [(x, y)], statistics="runing")
    with pytest.raises(UsageError, match="no targets"):
        evaluate(normed(), [(x, None)])
