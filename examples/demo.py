"""Two networks too deep for how they were made, sounded on real digits: `make demo`."""

# %% [markdown]
# A hundred ReLU layers with PyTorch's default initialisation, and a residual network of 110 layers without any
# normalisation. Neither is trained here: one batch forward and backward is enough to say what will go wrong and where.
# The same from a shell: `leadline check mlp:depth=100 --html out/mlp-100.html`.

# %%
import sys
from pathlib import Path

from leadline.cli import main

OUT = Path(__file__).parents[1] / "out"
OUT.mkdir(exist_ok=True)
NETWORKS = {"mlp-100": "mlp:depth=100", "resnet-110": "resnet110:norm=none"}

for name, target in NETWORKS.items():
    arguments = ["check", target, "--data", "digits", "--html", f"{OUT / name}.html"]
    print(f"\n$ leadline check {target} --data digits --html out/{name}.html\n", flush=True)
    if main(arguments) not in (0, 1):  # 1 says that training will fail, which is what a check is there to find.
        sys.exit(f"The check of {target} did not run.")
