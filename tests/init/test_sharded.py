"""A sharded model gets the weights that it would get on one device."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.engines
def test_shards_are_cut_from_one_matrix():
    """Where each process draws its own shard from the same seed, the halves of a weight repeat."""
    script = Path(__file__).with_name("sharded.py")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", str(script)]
    run = subprocess.run(
        command, capture_output=True, text=True, timeout=120, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    assert run.returncode == 0, run.stderr
    found = dict(line.split() for line in run.stdout.splitlines())
    assert float(found["defect"]) < 1e-5
    assert found["alone"] == "True"
    assert found["halves"] == "False"
    assert found["rank"] == "32"
