"""The examples run, and what they assert holds."""

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(path.name for path in EXAMPLES.glob("*.py")))
def test_an_example_runs_in_an_empty_folder(name: str, tmp_path: Path):
    done = subprocess.run(
        [sys.executable, "-W", "error", EXAMPLES / name], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_the_demo_ends_in_a_verdict_on_both_networks_and_leaves_both_reports(tmp_path: Path):
    done = subprocess.run(
        [sys.executable, EXAMPLES / "demo.py"], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    end = done.stdout.splitlines()[-5:]
    assert "error gradient-vanishing at blocks." in end[0]
    assert "gradient-explosion at stage" in end[3]
    assert sorted(path.name for path in (tmp_path / "out").glob("*.html")) == ["mlp-100.html", "resnet-110.html"]
