"""Wrong arguments get one sentence where no type checker stands in front of them, as in a user's program."""

import subprocess
import sys

import pytest

CALLS = {
    "leadline.profile(net, x, x, loss='mse')": "loss must be a function loss(outputs, targets)",
    "leadline.profile(net, x, layers=3)": "layers must be 'blocks', 'leaves', patterns",
    "leadline.profile(net, x, layers='')": "layers must be 'blocks', 'leaves', patterns",
    "leadline.profile(net, x, rows='a')": "rows must be at least 2 and a whole number",
    "leadline.profile(net, x, {'y': x})": "targets must be a tensor, or loss= a function",
    "leadline.diagnose(net)": "what leadline.profile(model, inputs) returns; got Sequential",
}
PROGRAM = """
import leadline, torch
net, x = torch.nn.Sequential(torch.nn.Linear(4, 4)), torch.ones(8, 4)
for call in {calls!r}:
    try:
        eval(call)
    except ValueError as error:
        print(error)
torch.set_default_dtype(torch.float64)
print(len(leadline.profile(torch.nn.Sequential(torch.nn.Linear(4, 4)), torch.ones(8, 4)).layers))
"""


@pytest.mark.slow
def test_wrong_arguments_get_a_sentence_and_another_default_dtype_is_none() -> None:
    program = PROGRAM.format(calls=list(CALLS))
    *lines, layers = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert len(lines) == len(CALLS)
    for line, expected in zip(lines, CALLS.values(), strict=True):
        assert expected in line
    assert layers == "1"
