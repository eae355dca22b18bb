"""Where the scalars of a step go: a file, a function, TensorBoard, Weights & Biases."""

import csv
import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from leadline._core.errors import UsageError

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
