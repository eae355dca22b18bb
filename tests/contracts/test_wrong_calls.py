"""Wrong calls whose types are wrong too get one sentence, where no type checker stands in front of them."""

import json
import subprocess
import sys
from collections.abc import Mapping

import pytest

CALLS = {
    "batches that are one pair": ("train.fit(net, (x, y))", "batches must be pairs of inputs and targets"),
    "batches without targets": ("train.fit(net, [x])", "such as [(x, y)]; got Tensor"),
    "batches of one value": ("train.fit(net, [(x,)])", "got 1 value for one batch"),
    "batches to evaluate": ("train.evaluate(net, [x])", "batches must be pairs"),
    "no batches": ("train.fit(net, None)", "got NoneType"),
    "half a step": ("train.fit(net, [(x, y)], steps=1.5)", "steps must be a whole number from 1; got 1.5"),
    "half a batch": ("train.fit(net, [(x, y)], accumulate=0.5)", "accumulate must be a whole number from 1"),
    "seed in words": ("leadline.profile(net, x, y, seed='a')", "seed must be a whole number; got 'a'"),
    "module for theory": ("theory.gain(nn.ReLU())", "got ReLU: give its name, 'ReLU'"),
    "class for theory": ("theory.q_map(nn.Tanh, 1.0, weight_std=1.0)", "got Tanh: give its name, 'Tanh'"),
    "choice that is no word": ("leadline.profile(net, x, effort=3)", "effort must be one of standard, full; got 3"),
    "name to shape": ("leadline.shape('relu', depth=10)", "such as torch.nn.ReLU(); got 'relu'"),
    "class to shape": ("leadline.shape(nn.ReLU, depth=10)", "got the class ReLU"),
    "one step size": ("metrics.relative_loss(net, x, y, steps=0.1)", "`steps` must be a sequence"),
    "rank in half steps": ("init.maximise_rank(net, x, steps=1.5)", "steps must be a whole number from 0; got 1.5"),
}
PROGRAM = """
import json, sys, torch, leadline
from leadline import init, metrics, theory, train
from leadline._core.errors import UsageError
from torch import nn
net, x, y = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 3)), torch.ones(8, 4), torch.arange(8) % 3
said = {}
for name, call in json.load(sys.stdin).items():
    try:
        eval(call)
        said[name] = "nothing"
    except UsageError as error:
        said[name] = str(error)
    except Exception as error:
        said[name] = f"raised {type(error).__name__}"
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def said() -> Mapping[str, str]:
    calls = json.dumps({name: call for name, (call, _) in CALLS.items()})
    done = subprocess.run([sys.executable, "-c", PROGRAM], input=calls, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@pytest.mark.slow
@pytest.mark.parametrize("name", CALLS)
def test_a_wrong_call_gets_one_sentence(name: str, said: Mapping[str, str]):
    assert CALLS[name][1] in said[name]
