"""Profile a model of your own: its layers, its numbers, its table."""

# %% [markdown]
# Any module will do, unedited. The profile is a record: read its numbers, make a table, save it, load it again.

# %%
import tempfile
from pathlib import Path

import torch
from torch import nn

import leadline


class Net(nn.Module):
    """A stem, four convolutions with skips around them, and a head."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 16, 3, padding=1)
        self.convs = nn.ModuleList(nn.Conv2d(16, 16, 3, padding=1) for _ in range(4))
        self.norms = nn.ModuleList(nn.BatchNorm2d(16) for _ in range(4))
        self.head = nn.Linear(16, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The logits of the images."""
        x = torch.relu(self.stem(x))
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = x + torch.relu(norm(conv(x)))
        return self.head(x.mean((2, 3)))


torch.manual_seed(0)
net, images, labels = Net(), torch.randn(32, 1, 8, 8), torch.arange(32) % 10
before = {name: value.clone() for name, value in net.state_dict().items()}
profile = leadline.profile(net, images, labels)
print(profile)

# %% The network is as it was: no hook, no gradient, no running statistic has moved.
assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
assert all(parameter.grad is None for parameter in net.parameters())

# %% Layers by name, in order of execution, each with one number per metric.
print(f"stem: rms {profile['stem'].rms:.3f}, gradient norm {profile['stem'].grad_norm:.2e}")
assert (profile.layers[0].name, profile.layers[-1].name) == ("stem", "head")

# %% A table, and a file that comes back the same.
frame = profile.to_frame()
print(frame[["name", "kind", "rms", "participation_ratio", "grad_norm"]].to_string(index=False))
with tempfile.TemporaryDirectory() as folder:
    path = profile.save(Path(folder) / "profile.json")
    assert leadline.Profile.load(path).to_frame().equals(frame)
