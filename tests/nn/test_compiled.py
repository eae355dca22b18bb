import subprocess
import sys

import pytest

# In a process of its own: the shape checks of the test run are no part of what is compiled.
_NORM = """
import copy, torch
from leadline.nn import BatchNorm1d, FractionalBatchNorm1d
x = torch.randn(16, 5, generator=torch.Generator().manual_seed(0))
for norm in (BatchNorm1d(5, centre=False, momentum=None), FractionalBatchNorm1d(5, alpha=0.3)):
    compiled = torch.compile(copy.deepcopy(norm), backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), norm(x))
    torch.testing.assert_close(dict(compiled.state_dict()), {f"_orig_mod.{k}": v for k, v in norm.state_dict().items()})
"""

_SHAPED = """
import torch
from leadline.nn import activation, shape
x = torch.randn(1000, generator=torch.Generator().manual_seed(0), requires_grad=True)
for name in ("relu", "leaky_relu", "gelu", "tanh", "hard_tanh", "softplus"):
    act = shape(activation(name), 100)
    compiled = torch.compile(act, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), act(x))
    torch.testing.assert_close(*(torch.autograd.grad(f(x).sum(), x)[0] for f in (compiled, act)))
"""


@pytest.mark.slow
@pytest.mark.parametrize("script", [_NORM, _SHAPED], ids=["norms", "shaped"])
def test_compiled_in_one_graph_it_gives_the_same(script):
    subprocess.run([sys.executable, "-c", script], check=True, timeout=300)
