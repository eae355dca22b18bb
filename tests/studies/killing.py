"""A sweep in a process of its own, killed at random moments and started again until it ends."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import leadline


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "leadline", "sweep", *words]


def environment() -> dict[str, str]:
    source = str(Path(leadline.__file__).parents[1])
    return {**os.environ, "PYTHONPATH": source, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def stored(store: Path) -> int:
    """How many cells are done; a look from another process while the sweep writes."""
    if not store.exists():
        return 0
    with closing(sqlite3.connect(store, timeout=30)) as database:
        try:
            return database.execute("SELECT count(*) FROM cells WHERE status = 'done'").fetchone()[0]
        except sqlite3.OperationalError:  # Killed before the tables were there.
            return 0


def run_killed(words: Sequence[str], store: Path, *, cells: int, kills: int, rng: random.Random) -> list[int]:
    """Kill the sweep ``kills`` times, each a random while after another share of the cells is done; then let it end.

    Returns the number of cells done at each kill.
    """
    seen = []
    for number in range(kills):
        goal = cells * (number + 1) // (kills + 2)
        # Its own group, so that nothing but this sweep is killed; the workers see the end of their parent themselves.
        running = subprocess.Popen(
            command(*words),
            env=environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        while stored(store) < goal and running.poll() is None:
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.15))
        assert running.poll() is None, running.communicate()[1].decode()
        os.kill(running.pid, signal.SIGKILL)
        running.communicate()
        seen.append(stored(store))
    subprocess.run(command(*words), env=environment(), check=True, capture_output=True)
    return seen
