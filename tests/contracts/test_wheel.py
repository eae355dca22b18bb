"""The wheel holds everything: installed outside the checkout, it writes a report and answers on the command line."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
USE = """
import leadline, torch
net = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3))
profile = leadline.profile(net, torch.ones(4, 8) * torch.arange(4.0)[:, None])
leadline.report(leadline.diagnose(profile), "report.html")
print(leadline.__file__)
"""


@pytest.mark.slow
def test_a_wheel_installed_elsewhere_writes_a_report(tmp_path: Path) -> None:
    site = tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    build = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(tmp_path), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("leadline-*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", str(site), str(wheel)], check=True, capture_output=True)

    away = {"cwd": tmp_path, "env": {**os.environ, "PYTHONPATH": str(site)}, "capture_output": True, "text": True}
    used = subprocess.run([sys.executable, "-c", USE], **away, check=True)
    assert Path(used.stdout.strip()).is_relative_to(site)
    assert (tmp_path / "report.html").read_text().startswith("<!doctype html>")
    assert (site / "leadline" / "py.typed").exists()

    version = subprocess.run([sys.executable, "-m", "leadline", "--version"], **away, check=True)
    assert "0.1.0" in version.stdout
