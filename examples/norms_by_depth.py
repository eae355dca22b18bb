"""Fifty ReLU layers with no, batch and layer normalisation: what each does to the gradient, beside theory."""

# %% [markdown]
# Without normalisation PyTorch's default initialisation loses a factor of about √6 a layer. Batch normalisation keeps
# the signal, and pays with a gradient that grows by (1/2) log(π/(π−1)) ≈ 0.19 nats a layer towards the input:
# Yang et al. 2019. Layer normalisation does not grow.

# %%
import math

import leadline
from leadline.targets import load

rates = {}
for norm in ("none", "batch", "layer"):
    network = load(f"mlp:depth=50,width=256,norm={norm}", batch=128)
    profile = leadline.profile(network.model, network.inputs, network.targets)
    rates[norm] = profile.rate("grad_norm")
    nats = -math.log(10) * rates[norm].estimate  # towards the input
    print(f"{norm:>5}: gradient norm changes by {nats:+.3f} nats per layer towards the input")
