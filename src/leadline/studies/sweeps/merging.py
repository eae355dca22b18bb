"""Stores of shards put together into one."""

from collections.abc import Sequence
from pathlib import Path

from leadline._core.errors import UsageError
from leadline.studies.sweeps.store import Store


def merge(parts: Sequence[str | Path], into: str | Path) -> dict[str, int]:
    """Copy the cells of some stores into another, each with its rows: what it holds as done stays.

    The parts are not changed. It may be interrupted and done again: a part is copied in one transaction.

    Args:
        parts: The stores.
        into: The store that takes them; made where it does not exist.

    Returns:
        How many cells ``into`` then holds in each state.

    Raises:
        UsageError: If a part does not exist, is no store, or is ``into`` itself.
    """
    into = Path(into)
    if next((part for part in parts if into.exists() and Path(part).exists() and into.samefile(part)), None):
        raise UsageError(f"{into} cannot be merged into itself; give another store.")
    for part in parts:
        Store(part).close()
    with Store(into, create=True) as whole, whole.locked():
        for part in parts:
            whole.take(Path(part))
        return whole.counts()
