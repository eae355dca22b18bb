"""A fault planted in one layer of a healthy network is found, and found there."""

# %% [markdown]
# Twelve layers with He's initialisation are healthy. Then three faults, one at a time: a weight a thousand times too
# large, a bias that kills every unit, and a weight that is not a number. Each is named by its code and its layer.

# %%
import torch
from torch import nn

import leadline


def network() -> nn.Sequential:
    torch.manual_seed(0)
    net = nn.Sequential(*(m for _ in range(12) for m in (nn.Linear(64, 64), nn.ReLU())), nn.Linear(64, 10))
    for module in net[:-1]:
        if isinstance(module, nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            nn.init.zeros_(module.bias)
    return net


generator = torch.Generator().manual_seed(1)
inputs = torch.randn(128, 64, generator=generator)
targets = torch.randint(10, (128,), generator=generator)


def errors(net: nn.Module) -> list[tuple[str, str]]:
    diagnosis = leadline.diagnose(leadline.profile(net, inputs, targets))
    print(diagnosis, end="\n\n")
    return [(finding.code, finding.layer) for finding in diagnosis.findings if finding.severity == "error"]


assert errors(network()) == []

# %% A weight a thousand times too large.
net = network()
with torch.no_grad():
    net[10].weight.mul_(1000)
assert ("activation-growth", "10") in errors(net)

# %% A bias that no input can overcome: every unit of the ReLU behind layer 6 is dead.
net = network()
with torch.no_grad():
    net[6].bias.fill_(-100)
assert "6" in {layer for code, layer in errors(net) if code == "dead-units"}

# %% A weight that is not a number.
net = network()
with torch.no_grad():
    net[16].weight[3, 5] = torch.nan
assert errors(net)[0] == ("nonfinite", "16")
