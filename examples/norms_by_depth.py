"""Fifty ReLU layers with no, batch and layer normalisation: what each does to the gradient, beside theory."""

# %% [markdown]
# Without normalisation PyTorch's default initialisation gives weights of variance 1/(3·fan_in). ReLU passes half of the
# gradient's square, so its norm falls by √6 a layer towards the input. Batch normalisation keeps the signal, and pays
# with a gradient that grows by (1/2)·log(π/(π−1)) nats a layer (Yang et al. 2019). Layer normalisation keeps both.

# %%
import math

import leadline
from leadline.targets import load

THEORY = {"none": -math.log(6) / 2, "batch": math.log(math.pi / (math.pi - 1)) / 2, "layer": 0.0}

for norm, expected in THEORY.items():
    network = load(f"mlp:depth=50,width=256,norm={norm}", batch=128)
    profile = leadline.profile(network.model, network.inputs, network.targets)
    rate = profile.rate("grad_norm")  # in decades, from the input to the loss
    measured = -math.log(10) * rate.estimate
    print(f"{norm:>5}: the gradient changes by {measured:+.3f} nats a layer towards the input, theory {expected:+.3f}")
    assert abs(measured - expected) < 0.02

# %% [markdown]
# So fifty layers cost twenty decades without normalisation, and four decades the other way with batch normalisation.
