import pytest
import torch

from leadline._core.errors import UsageError
from leadline.targets import load

SOURCE = """
import random
import numpy as np
import torch
from torch import nn

def build(width: int = 16, *, gain: "float" = 1.0, bias=True, extra=None):
    net = nn.Sequential(nn.Linear(6, width, bias=bias), nn.ReLU(), nn.Linear(width, 3))
    net.options = (width, gain, bias, extra)
    return net

def pair():
    return nn.Linear(3, 3), torch.randn(5, 3)

def triple():
    return nn.Linear(3, 3), [torch.randn(5, 3)], torch.randint(3, (5,))

def mapping():
    return nn.Linear(3, 3), {"input": torch.randn(5, 3)}

def with_seed(seed):
    net = nn.Linear(2, 2)
    net.seed = seed
    return net

def any_options(**options):
    net = nn.Linear(2, 2)
    net.options = options
    return net

def numbers():
    net = nn.Linear(1, 1)
    net.drawn = (torch.rand(()).item(), np.random.rand(), random.random())
    return net

def needs(a, b):
    return nn.Linear(a, b)

def raises(n=3):
    layer = nn.Linear(3, 3)
    return layer(torch.zeros(2, n + 4))

def deep():
    return raises()

def wrong():
    return {"model": 1}

def wrong_pair():
    return nn.Linear(3, 3), 7

def wrong_targets():
    return nn.Linear(3, 3), torch.randn(5, 3), "five"

def on_meta():
    return nn.Linear(3, 3, device="meta"), torch.randn(5, 3)

def meta_batch():
    return nn.Linear(3, 3), torch.empty(5, 3, device="meta")

model = nn.Linear(3, 3)
number = 3

class Net(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.layer = nn.Linear(width, 2)

    def forward(self, x):
        return self.layer(x)

import typing

class Pair(typing.NamedTuple):
    x: torch.Tensor
    mask: torch.Tensor

def named_pair():
    return nn.Linear(3, 3), (Pair(torch.randn(5, 3), torch.ones(5)),)

def in_waves():
    net = nn.Linear(3, 3)
    net.waves = nn.Parameter(torch.complex(torch.ones(3), torch.full((3,), 2.0)))
    return net, torch.randn(5, 3)

def packed():
    return nn.GRU(3, 4), nn.utils.rnn.pack_sequence([torch.randn(4, 3), torch.randn(2, 3)])
"""


@pytest.fixture
def net(tmp_path):
    path = tmp_path / "net.py"
    path.write_text(SOURCE)
    return lambda rest: f"{path}:{rest}"


def test_a_lone_module_gets_a_batch(net):
    target = load(net("build"), batch=4)
    assert target.inputs.shape == (4, 6)
    assert target.targets is None


def test_options_follow_a_comma_or_a_colon(net):
    assert load(net("build,width=5")).model.options[0] == 5
    assert load(net("build:width=5")).model.options[0] == 5


def test_options_are_read_by_annotation_by_default_or_as_python(net):
    made = load(net("build,width=5,gain=2,bias=false,extra=(1,2)")).model
    assert made.options == (5, 2.0, False, (1, 2))
    assert [type(option) for option in made.options] == [int, float, bool, tuple]


def test_a_pair_brings_its_inputs(net):
    target = load(net("pair"))
    assert target.inputs.shape == (5, 3)
    assert target.description.endswith("pair on its own batch, seed 0")


def test_a_triple_brings_targets_and_a_list_is_a_tuple_of_arguments(net):
    target = load(net("triple"))
    assert isinstance(target.inputs, tuple) and target.inputs[0].shape == (5, 3)
    assert target.targets.shape == (5,)


def test_a_mapping_is_keyword_arguments(net):
    target = load(net("mapping"))
    assert target.model(**target.inputs).shape == (5, 3)


def test_a_named_tuple_and_a_packed_sequence_stay_what_they_are(net):
    (pair,) = load(net("named_pair"), dtype="float64").inputs
    assert type(pair).__name__ == "Pair" and pair.x.dtype == pair.mask.dtype == torch.float64
    target = load(net("packed"), dtype="float64")
    assert target.model(target.inputs)[1].dtype == torch.float64


def test_complex_parameters_stay_what_they_are_in_every_dtype(net):
    target = load(net("in_waves"), dtype="float64")
    assert target.model.weight.dtype == target.inputs.dtype == torch.float64
    assert target.model.waves.tolist() == [1 + 2j] * 3


def test_a_class_is_a_factory(net):
    assert load(net("Net,width=7")).inputs.shape == (64, 7)


def test_a_parameter_called_seed_is_given_the_seed(net):
    target = load(net("with_seed"), seed=5)
    assert target.model.seed == 5
    assert target.build(8).seed == 8
    assert load(net("with_seed,seed=3"), seed=5).model.seed == 3


def test_catch_all_keywords_take_every_option(net):
    assert load(net("any_options,a=1,b=x")).model.options == {"a": 1, "b": "x"}


def test_every_global_generator_starts_from_the_seed(net):
    target = load(net("numbers"), seed=3)
    assert target.build(3).drawn == target.model.drawn
    assert all(a != b for a, b in zip(target.build(4).drawn, target.model.drawn, strict=True))


def test_build_draws_anew_with_options_replaced(net):
    target = load(net("build,width=5"))
    assert target.build(1).options[0] == 5
    assert target.build(1, width=9).options[0] == 9
    assert not torch.equal(target.build(1)[0].weight, target.model[0].weight)
    assert torch.equal(target.build(0)[0].weight, target.model[0].weight)


@pytest.mark.parametrize(
    ("rest", "message"),
    [
        ("bild", r"net\.py has no function 'bild'; did you mean 'build'\?"),
        (
            "build,widht=5",
            r"build in net\.py has no option 'widht' \(did you mean 'width'\?\); it has width, gain, bias, extra\.",
        ),
        ("build,width=a", r"build in net\.py option width must be a whole number; got 'a'\."),
        ("pair,width=5", r"pair in net\.py has no option 'width'; it has none\."),
        ("needs,a=3", r"needs in net\.py needs b; give it behind the function, as b=…\."),
        ("raises", r"raises in net\.py raised RuntimeError: mat1 and mat2 .*\(2x7 and 3x3\) \(net\.py, line 41\)\."),
        ("deep", r"deep in net\.py raised RuntimeError: .*\(net\.py, line 41\)\."),
        ("wrong", r"wrong in net\.py must return a Module, .*; got dict\."),
        ("wrong_pair", r"wrong_pair in net\.py must return .*; got \(Linear, int\)\."),
        ("wrong_targets", r"wrong_targets in net\.py must return targets that are a tensor; got str\."),
        ("on_meta", r"The model lies on the device 'meta', which holds no numbers; build it on another\."),
        ("meta_batch", r"The batch lies on the device 'meta', which holds no numbers; build it on another\."),
        ("model", r"model in net\.py is a model already; name a function that builds it"),
        ("number", r"number in net\.py is no function but a value of type int\."),
    ],
)
def test_a_wrong_factory_is_told_in_a_sentence(net, rest, message):
    with pytest.raises(UsageError, match=message):
        load(net(rest))


@pytest.mark.parametrize("given", [{"batch": 4}, {"data": "digits"}, {"input_shape": (3,)}])
def test_a_batch_beside_the_factorys_own_is_refused(net, given):
    with pytest.raises(UsageError, match=f"pair in net.py brings its own inputs, so {next(iter(given))} has no effect"):
        load(net("pair"), **given)


def test_a_function_of_an_installed_module_is_a_factory():
    assert load("torch.nn:Linear,in_features=3,out_features=4").inputs.shape == (64, 3)


def test_a_module_that_is_not_there_is_no_target():
    with pytest.raises(UsageError, match=r"No such target: 'torch\.nowhere:build'"):
        load("torch.nowhere:build")


def test_a_function_that_the_module_lacks_offers_the_nearest():
    with pytest.raises(UsageError, match=r"torch\.nn has no function 'Linaer'; did you mean '.*Linear'\?"):
        load("torch.nn:Linaer")
