import pytest
import torch

from leadline._core.errors import UsageError
from leadline.data import Batch, digits, gaussian, token_ids


def test_digits_are_standardised_as_a_whole():
    x = digits().inputs
    assert x.shape == (1797, 1, 8, 8)
    assert abs(x.double().mean().item()) < 1e-6
    assert x.double().std().item() == pytest.approx(1.0, abs=1e-6)


def test_digits_have_the_ten_labels_in_near_equal_numbers():
    counts = digits().targets.bincount()
    assert counts.tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


def test_taking_keeps_inputs_and_targets_together():
    whole = Batch(inputs=torch.arange(100.0).reshape(100, 1), targets=torch.arange(100))
    part = whole.take(30, seed=1)
    assert torch.equal(part.inputs.flatten().long(), part.targets)
    assert len(part.targets.unique()) == 30


def test_the_seed_decides_which_samples_are_taken():
    whole = Batch(inputs=torch.arange(100.0))
    assert torch.equal(whole.take(10, seed=1).inputs, whole.take(10, seed=1).inputs)
    assert not torch.equal(whole.take(10, seed=1).inputs, whole.take(10, seed=2).inputs)


@pytest.mark.parametrize("size", [0, -3, 101])
def test_more_samples_than_there_are_cannot_be_taken(size):
    with pytest.raises(UsageError, match=rf"must have 1 to 100 samples; got {size}\."):
        Batch(inputs=torch.arange(100.0)).take(size, seed=0)


def test_samples_are_not_taken_of_keyword_inputs():
    with pytest.raises(UsageError, match="these inputs are a dict"):
        Batch(inputs={"x": torch.zeros(3)}).take(2, seed=0)


def test_gaussian_entries_are_standard_normal_and_reproducible():
    x = gaussian(1000, (10, 10), seed=0).inputs
    assert abs(x.mean().item()) < 0.02  # six standard errors
    assert x.var().item() == pytest.approx(1.0, abs=0.03)
    assert torch.equal(x, gaussian(1000, (10, 10), seed=0).inputs)


def test_gaussian_batches_have_labels_only_when_asked():
    assert gaussian(5, (3,), seed=0).targets is None
    assert set(gaussian(500, (3,), seed=0, classes=4).targets.tolist()) == {0, 1, 2, 3}


def test_the_target_of_a_token_is_the_next_one():
    batch = token_ids(4, 9, 30, seed=0)
    assert batch.inputs.shape == batch.targets.shape == (4, 9)
    assert torch.equal(batch.inputs[:, 1:], batch.targets[:, :-1])
    assert int(batch.inputs.min()) >= 0 and int(batch.inputs.max()) < 30


@pytest.mark.parametrize("make", [lambda: gaussian(0, (3,), seed=0), lambda: token_ids(2, 0, 5, seed=0)])
def test_sizes_below_one_are_refused(make):
    with pytest.raises(UsageError, match="at least 1; got .*0"):
        make()
