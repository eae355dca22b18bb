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


@pytest.mark.slow
@pytest.mark.parametrize("script", [_NORM], ids=["norms"])
def test_compiled_in_one_graph_it_gives_the_same(script):
    subprocess.run([sys.executable, "-c", script], check=True, timeout=300)
