"""Where the scalars of a step go: a file, a function, TensorBoard, Weights & Biases."""

import csv
import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from leadline._core.errors import UsageError
from leadline._core.records import write_text

Write = Callable[[int, Mapping[str, float]], object]


def writer(log: Any) -> Write:
    """What writes the scalars of a step to ``log``.

    Args:
        log: ``None``; a path ending in ``.csv`` (columns step, name, value) or ``.jsonl`` (an object a step); a
            function of a dict; or an object with ``add_scalar`` (TensorBoard) or ``log`` (a run of Weights & Biases).

    Raises:
        UsageError: If it is none of these.
    """
    if log is None:
        return lambda step, scalars: None
    if isinstance(log, (str, Path)):
        return _file(Path(log))
    if hasattr(log, "add_scalar"):
        return lambda step, scalars: [log.add_scalar(f"leadline/{k}", v, step) for k, v in scalars.items()]
    if hasattr(log, "log"):
        return lambda step, scalars: log.log({f"leadline/{k}": v for k, v in scalars.items()}, step=step)
    if callable(log):
        return lambda step, scalars: log({"step": step, **scalars})
    raise UsageError(
        f"log must be a path, a function or a writer with add_scalar or log, got {type(log).__name__}; "
        "give for instance 'monitor.jsonl'."
    )


def forget(log: Any, *, after: int) -> None:
    """Take the rows of later steps out of a file, where a run goes on from a step before its end."""
    if not isinstance(log, (str, Path)) or not Path(log).exists():
        return
    path = Path(log)
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    step = _step_of_json if path.suffix == ".jsonl" else _step_of_row
    kept = [line for line in lines if line.endswith("\n") and (step(line) or 0) <= after]
    if kept != lines:
        write_text("".join(kept), path)


def _step_of_json(line: str) -> int | None:
    return json.loads(line)["step"]


def _step_of_row(line: str) -> int | None:
    """``None`` for the head of the table."""
    first = line.split(",", 1)[0]
    return int(first) if first.isdecimal() else None


def _file(path: Path) -> Write:
    if path.suffix not in {".csv", ".jsonl"}:
        raise UsageError(f"log must end in .csv or .jsonl, got {str(path)!r}; rename the file.")

    def write(step: int, scalars: Mapping[str, float]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", newline="", encoding="utf-8") as file:
            if path.suffix == ".jsonl":
                safe = {k: v if math.isfinite(v) else str(v) for k, v in scalars.items()}
                file.write(json.dumps({"step": step, **safe}, allow_nan=False) + "\n")
                return
            table = csv.writer(file)
            if not file.tell():
                table.writerow(["step", "name", "value"])
            table.writerows([step, name, value] for name, value in scalars.items())

    return write
