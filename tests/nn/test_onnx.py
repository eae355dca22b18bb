import importlib.util
import subprocess
import sys

import pytest

# In a process of its own: the shape checks of the test run are no part of what is exported.
_SCRIPT = """
import sys
import onnxruntime, torch
from torch import nn
from leadline.nn import ACTIVATIONS, FractionalBatchNorm1d, GainedActivation, activation, shape, tailored_leaky_relu
from leadline._core.randomness import seeded

with seeded(0):
    shaped = [shape(activation(name), 50) for name in ACTIVATIONS]
    shaped += [shape(nn.PReLU(), 50), GainedActivation(nn.Tanh(), 0.3), tailored_leaky_relu(30)]
    net = nn.Sequential()
    for i, act in enumerate(shaped):
        net.extend([nn.Linear(6, 6), FractionalBatchNorm1d(6, alpha=i / len(shaped)), act])
    for _ in range(20):
        net(torch.randn(32, 6))  # running statistics
    x, other = torch.randn(4, 6), torch.randn(9, 6)
net.eval()
batch = torch.export.Dim("batch", min=2)
torch.onnx.export(net, (x,), sys.argv[1], dynamo=True, verbose=False, dynamic_shapes=({0: batch},))
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
for inputs in (x, other):
    (outputs,) = session.run(None, {session.get_inputs()[0].name: inputs.numpy()})
    torch.testing.assert_close(torch.from_numpy(outputs), net(inputs).detach(), atol=1e-4, rtol=1e-4)
assert outputs.std() > 0.1
"""


@pytest.mark.engines
@pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("onnxscript", "onnxruntime")),
    reason="needs onnxscript and onnxruntime, of the extra test",
)
def test_shaped_activations_behind_fractional_norms_give_the_same_in_another_runtime(tmp_path):
    subprocess.run([sys.executable, "-c", _SCRIPT, str(tmp_path / "net.onnx")], check=True, timeout=300)
