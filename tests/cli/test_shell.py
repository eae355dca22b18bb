"""The script as a shell runs it: start-up, signals, pipes. Few tests, since each pays for importing torch."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SCRIPT = [sys.executable, "-m", "leadline"]
MODELS = Path(__file__).with_name("models.py")


def run(*arguments: str, **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*SCRIPT, *arguments], capture_output=True, text=True, timeout=120, **options)


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["check", "--help"]])
def test_help_and_version_import_nothing_heavy(arguments: list[str]):
    call = (
        f"import sys; from leadline.cli import main; main({arguments!r}); print(sorted(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", call], capture_output=True, text=True, timeout=60, check=True)
    for heavy in ("torch", "numpy", "scipy", "pandas", "plotly", "sklearn", "transformers"):
        assert f"'{heavy}'" not in done.stderr


def test_the_version_takes_less_than_half_a_second():
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        run("--version", check=True)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.5


@pytest.mark.slow
def test_the_installed_script_is_the_same_command():
    done = subprocess.run([Path(sys.executable).with_name("leadline"), "--version"], capture_output=True, text=True)
    assert done.stdout == run("--version").stdout


@pytest.mark.slow
@pytest.mark.parametrize(("name", "status"), [("healthy", 0), ("nan_weight", 1), ("raises", 2)])
def test_the_status_reaches_the_shell(name: str, status: int):
    done = run("check", f"{MODELS}:{name}")
    assert done.returncode == status
    assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("command", [["check"], ["fix", "--out", "fixed"]], ids=["check", "fix"])
def test_interrupting_gives_130_and_leaves_no_file(command: list[str], tmp_path: Path):
    call = [*SCRIPT, *command, f"{MODELS}:slow", "--html", "report.html", "--json", "data.json"]
    process = subprocess.Popen(call, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not (tmp_path / "begun").exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert out == ""
    assert "Traceback" not in err
    assert [path.name for path in tmp_path.iterdir()] == ["begun"]


@pytest.mark.slow
def test_a_reader_that_leaves_is_no_error():
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [*SCRIPT, "check", f"{MODELS}:healthy"], stdout=writing, stderr=subprocess.PIPE, text=True, timeout=120
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
def test_a_terminal_without_unicode_gets_plain_signs():
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = run("check", f"{MODELS}:nan_weight", env=environment)
    assert done.returncode == 1
    assert "x 1 error" in done.stdout
