"""Two networks too deep for how they were made, sounded on real digits: `make demo`."""

# %% [markdown]
# A hundred ReLU layers with PyTorch's default initialisation, and a residual network of 110 layers without any
# normalisation. Neither is trained here: one batch forward and backward is enough to say what will go wrong and where.
# From a shell it is `leadline check mlp:depth=100 --html out/mlp-100.html --json out/mlp-100.json`.

# %%
import json
import sys
from pathlib import Path

from leadline.cli import main

OUT = Path("out")
OUT.mkdir(exist_ok=True)
NETWORKS = {"mlp-100": "mlp:depth=100", "resnet-110": "resnet110:norm=none"}

for name, target in NETWORKS.items():
    arguments = ["check", target, "--data", "digits", "--html", f"{OUT / name}.html", "--json", f"{OUT / name}.json"]
    print(f"\n$ leadline {' '.join(arguments)}\n", flush=True)
    if main(arguments) not in (0, 1):  # 1 says that training will fail, which is what a check is there to find.
        sys.exit(f"The check of {target} did not run.")

# %% The same once more, out of the data.
for name, target in NETWORKS.items():
    diagnosis = json.loads((OUT / f"{name}.json").read_text())["diagnosis"]
    found = [f"{f['severity']} {f['code']} at {f['layer']}" for f in diagnosis["findings"]]
    print(f"\n{target}: trains with probability {diagnosis['trainable']:.2f}: {', '.join(found)}.")
    print(f"The report is {OUT / name}.html.")
