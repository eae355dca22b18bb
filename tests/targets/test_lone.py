import pytest
import torch
from torch import nn

from leadline._core.errors import UsageError
from leadline._core.randomness import seeded
from leadline.targets.lone import batch_for
from leadline.targets.plan import Wanted


def batch(make, **wanted):
    with seeded(0):
        model = make()
    return batch_for(model, Wanted(overrides={}, **wanted), whose="build in net.py")


def shape(make, **wanted):
    return tuple(batch(make, **wanted)[0].samples.shape)


def classifier(side):
    return lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * (side - 2) ** 2, 10))


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: nn.Linear(7, 2), (64, 7)),
        (lambda: nn.Sequential(nn.Flatten(), nn.Linear(7, 2)), (64, 7)),
        (lambda: nn.Conv2d(5, 2, 3), (64, 5, 32, 32)),
        (classifier(32), (64, 3, 32, 32)),
        (classifier(28), (64, 3, 28, 28)),
        (lambda: nn.Conv1d(5, 2, 3), (64, 5, 64)),
        (lambda: nn.Conv3d(2, 2, 3), (64, 2, 16, 16, 16)),
        (lambda: nn.LSTM(6, 8, batch_first=True), (64, 16, 6)),
        (lambda: nn.TransformerEncoderLayer(8, 2, batch_first=True), (64, 16, 8)),
        (lambda: nn.Linear(7, 2, dtype=torch.bfloat16), (64, 7)),
    ],
)
def test_the_first_layer_tells_the_shape(make, expected):
    assert shape(make) == expected


def test_a_linear_layer_over_positions_gets_sequences():
    class Positions(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(6, 2)

        def forward(self, x):
            assert x.ndim == 3
            return self.layer(x).mean(1)

    assert shape(Positions) == (64, 16, 6)


def test_an_embedding_gets_ids_within_its_table():
    ids = batch(lambda: nn.Sequential(nn.Embedding(20, 8), nn.Linear(8, 20)), batch=4, input_shape=(9,))[0].samples
    assert ids.shape == (4, 9)
    assert ids.dtype == torch.int64
    assert int(ids.max()) < 20


def test_a_given_shape_is_taken_as_it_is():
    assert shape(lambda: nn.Conv2d(3, 2, 3), input_shape=(3, 9, 11), batch=2) == (2, 3, 9, 11)


def test_digits_are_images_with_labels():
    made, about = batch(lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), data="digits", batch=5)
    assert made.samples.shape == (5, 1, 8, 8)
    assert made.targets.shape == (5,)
    assert about == "5 digits of 1×8×8"


def test_digits_are_flat_where_only_that_runs():
    assert shape(lambda: nn.Linear(64, 10), data="digits") == (64, 64)


def test_the_model_is_left_as_it_was():
    with seeded(0):
        model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    batch_for(model, Wanted(overrides={}), whose="net")
    assert model.training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


class Stubborn(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Linear(4, 4)

    def forward(self, x):
        raise ValueError("no")


class Bare(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(3))

    def forward(self, x):
        return x * self.scale


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            Stubborn,
            r"What build in net\.py takes is unknown: its first layer, stem \(Linear\), does not tell; .*--input-shape",
        ),
        (
            lambda: nn.Sequential(nn.LazyLinear(3)),
            r"its first layer, 0 \(LazyLinear\), does not tell; give the shape",
        ),
        (
            Bare,
            r"no layer of it tells; give the shape .*\(--input-shape 3,32,32\), or return \(module, inputs\)\.",
        ),
    ],
)
def test_what_cannot_be_inferred_is_asked_for(make, message):
    with pytest.raises(UsageError, match=message):
        batch(make)


@pytest.mark.parametrize(
    ("make", "wanted", "message"),
    [
        (lambda: nn.Embedding(5, 2), {"data": "digits"}, "whose first layer is an Embedding, must be one of tokens"),
        (lambda: nn.Embedding(5, 2), {"input_shape": (3, 4)}, r"takes sequences of shape \(positions,\)"),
        (lambda: nn.Linear(5, 2), {"data": "tokens"}, "must be one of digits, .*, gaussian; got 'tokens'"),
        (lambda: nn.Linear(5, 2), {"data": "digits", "input_shape": (5,)}, "Digits have shape 1×8×8"),
    ],
)
def test_data_that_does_not_suit_is_refused(make, wanted, message):
    with pytest.raises(UsageError, match=message):
        batch(make, **wanted)
