"""The results of sweeps in one SQLite file: written by one process, whole after any interruption."""

import json
import math
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from leadline._core.errors import UsageError
from leadline._core.records import check_destination, decode, encode
from leadline.studies.sweeps.cells import Cell
from leadline.studies.sweeps.measuring import LAYER_METRICS, Outcome

# "llsw" as a number: what tells this file from other SQLite files.
_APPLICATION = 0x6C6C7377
SCHEMA = 1
STATES = ("pending", "done", "failed")
_TABLES = f"""
CREATE TABLE cells (
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    content TEXT NOT NULL,
    status TEXT NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'done', 'failed')),
    summary TEXT,
    error_type TEXT,
    error TEXT,
    attempts INTEGER NOT NULL DEFAULT 0,
    seconds REAL,
    versions TEXT
);
CREATE INDEX cells_by_status ON cells (status);
CREATE TABLE layers (
    cell INTEGER NOT NULL REFERENCES cells (id),
    position INTEGER NOT NULL,
    layer TEXT NOT NULL,
    kind TEXT NOT NULL,
    in_chain INTEGER NOT NULL,
    {", ".join(f"{name} REAL" for name in LAYER_METRICS)},
    PRIMARY KEY (cell, position)
) WITHOUT ROWID;
CREATE TABLE losses (
    cell INTEGER NOT NULL REFERENCES cells (id),
    step INTEGER NOT NULL,
    loss REAL,
    PRIMARY KEY (cell, step)
) WITHOUT ROWID;
"""
_CELL_COLUMNS = ("status", "summary", "error_type", "error", "attempts", "seconds", "versions")
# New or better known cells of another store, by number there, and then all that belongs to them.
_TAKE = (
    "INSERT INTO main.cells (key, content) SELECT key, content FROM other.cells WHERE true ORDER BY id "
    "ON CONFLICT (key) DO NOTHING",
    "CREATE TEMP TABLE taken AS SELECT theirs.id AS theirs, ours.id AS ours FROM other.cells AS theirs "
    "JOIN main.cells AS ours USING (key) WHERE theirs.status = 'done' AND ours.status != 'done' "
    "OR theirs.status = 'failed' AND ours.status = 'pending'",
    f"UPDATE main.cells SET ({', '.join(_CELL_COLUMNS)}) = (SELECT {', '.join(_CELL_COLUMNS)} FROM other.cells "
    "JOIN taken ON other.cells.id = taken.theirs WHERE taken.ours = main.cells.id) "
    "WHERE id IN (SELECT ours FROM taken)",
    "INSERT INTO main.layers SELECT taken.ours, position, layer, kind, in_chain, "
    f"{', '.join(LAYER_METRICS)} FROM other.layers JOIN taken ON cell = taken.theirs",
    "INSERT INTO main.losses SELECT taken.ours, step, loss FROM other.losses JOIN taken ON cell = taken.theirs",
)
_LAYER_COLUMNS = ("layer", "kind", "in_chain", *LAYER_METRICS)


class Store:
    """A file of results.

    Every cell is a row of ``cells``; rows of ``layers`` and ``losses`` belong to cells that are done. A result is one
    transaction: after a kill at any moment it is there whole, or its cell is still pending.

    Args:
        path: The file.
        create: Whether to make it where it does not exist.

    Raises:
        UsageError: If it does not exist and is not to be made, is no store, or is one of another version.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder, Store(f"{folder}/a.sqlite", create=True) as store:
        ...     store.add([Cell(design="mlp", options={}, seed=0)])
        ...     store.counts()
        {'pending': 1, 'done': 0, 'failed': 0}
    """

    def __init__(self, path: str | Path, *, create: bool = False):
        self.path = Path(path)
        if not self.path.is_file():
            if self.path.exists():
                raise UsageError(f"{self.path} is no store of a sweep: it is a folder or a device.")
            if not create:
                raise UsageError(
                    f"There is no store {self.path}; `leadline sweep run FILE --store {self.path}` fills one."
                )
            check_destination(self.path)
        try:
            self._database = sqlite3.connect(self.path, isolation_level=None, timeout=30)
        except sqlite3.Error as error:
            raise UsageError(f"Cannot open {self.path}: {error}.") from None
        try:
            self._check(create=create)
        except BaseException:
            self._database.close()
            raise

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Let the file go."""
        self._database.close()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """One run a store: two would measure the same cells. The lock goes with the process, also when it is killed.

        Raises:
            UsageError: If another process holds it.
        """
        try:
            import fcntl
        except ImportError:  # Windows has no such lock: there the caller sees to it.
            yield
            return
        with self.path.with_name(f"{self.path.name}.lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise UsageError(
                    f"Another run writes to {self.path}; wait for its end, or give another store."
                ) from None
            yield

    def _check(self, *, create: bool) -> None:
        """Nothing is written to a file before it is known to be a store, or empty."""
        try:
            application = self._one("PRAGMA application_id")
            version = self._one("PRAGMA user_version")
            empty = self._one("SELECT count(*) FROM sqlite_master") == 0
        except sqlite3.DatabaseError as error:
            raise UsageError(f"{self.path} is no store of a sweep: {error}.") from None
        if application != _APPLICATION:
            if not (empty and application == 0 and create):
                raise UsageError(f"{self.path} is no store of a sweep; give another file.")
            with self._transaction():
                # Another process may have been faster.
                if self._one("SELECT count(*) FROM sqlite_master") == 0:
                    self._database.execute(f"PRAGMA application_id = {_APPLICATION}")
                    self._database.execute(f"PRAGMA user_version = {SCHEMA}")
                    for statement in filter(str.strip, _TABLES.split(";")):
                        self._database.execute(statement)
        elif version != SCHEMA:
            raise UsageError(f"{self.path} is a store of version {version}; this leadline reads version {SCHEMA}.")
        if create:
            self._database.execute("PRAGMA journal_mode = WAL")
            # A kill loses nothing; a power cut may lose the last results, which are then measured again.
            self._database.execute("PRAGMA synchronous = NORMAL")

    def add(self, cells: Iterable[Cell]) -> None:
        """Note cells that are to be measured; those that are there stay as they are."""
        with self._transaction():
            self._database.executemany(
                "INSERT INTO cells (key, content) VALUES (?, ?) ON CONFLICT (key) DO NOTHING",
                ((cell.key, cell.text) for cell in cells),
            )

    def states(self) -> dict[str, str]:
        """The state of every cell by its key."""
        return dict(self._database.execute("SELECT key, status FROM cells ORDER BY id"))

    def counts(self) -> dict[str, int]:
        """How many cells are in each state."""
        found = dict(self._database.execute("SELECT status, count(*) FROM cells GROUP BY status"))
        return {state: found.get(state, 0) for state in STATES}

    def tally(self) -> dict[tuple[str, str, str], int]:
        """How many cells there are of every design, measure and state."""
        query = (
            "SELECT json_extract(content, '$.design'), json_extract(content, '$.training') IS NULL, status, count(*) "
            "FROM cells GROUP BY 1, 2, 3"
        )
        return {
            (design, "profile" if profiled else "train", status): number
            for design, profiled, status, number in self._database.execute(query)
        }

    def save(self, outcomes: Iterable[Outcome], *, versions: str = "") -> None:
        """Keep the outcomes of cells that were added, all of them or none.

        Raises:
            RuntimeError: If a cell is unknown or done already: something measured it twice.
        """
        with self._transaction():
            for outcome in outcomes:
                self._save(outcome, versions)

    def _save(self, outcome: Outcome, versions: str) -> None:
        failed = bool(outcome.error_type)
        row = self._database.execute(
            "UPDATE cells SET status = ?, summary = ?, error_type = ?, error = ?, attempts = attempts + 1, "
            "seconds = ?, versions = ? WHERE key = ? AND status != 'done' RETURNING id",
            (
                "failed" if failed else "done",
                None if failed else json.dumps(encode(outcome.summary), allow_nan=False),
                outcome.error_type or None,
                outcome.error or None,
                outcome.seconds,
                versions,
                outcome.key,
            ),
        ).fetchone()
        if row is None:
            raise RuntimeError(f"The cell {outcome.key[:12]} is not in {self.path}, or was done before.")
        marks = ", ".join("?" * (2 + len(_LAYER_COLUMNS)))
        self._database.executemany(
            f"INSERT INTO layers (cell, position, {', '.join(_LAYER_COLUMNS)}) VALUES ({marks})",
            ((row[0], i, *(_null(layer[name]) for name in _LAYER_COLUMNS)) for i, layer in enumerate(outcome.layers)),
        )
        self._database.executemany(
            "INSERT INTO losses (cell, step, loss) VALUES (?, ?, ?)",
            ((row[0], step, _null(loss)) for step, loss in enumerate(outcome.losses)),
        )

    def take(self, other: Path) -> None:
        """Copy the cells of another store, with their rows; cells that are done here stay as they are."""
        self._database.execute("ATTACH DATABASE ? AS other", (str(other),))
        try:
            with self._transaction():
                for statement in _TAKE:
                    self._database.execute(statement)
                self._database.execute("DROP TABLE taken")
        finally:
            self._database.execute("DETACH DATABASE other")

    def cells(self) -> Iterator[dict[str, Any]]:
        """Every cell as a row of plain values, in the order in which they were added."""
        query = "SELECT id, key, content, status, summary, error_type, error, attempts, seconds, versions FROM cells"
        for row in self._database.execute(f"{query} ORDER BY id"):
            number, key, content, status, summary, error_type, error, attempts, seconds, versions = row
            yield {
                "id": number,
                "key": key,
                "cell": Cell.of(content),
                "status": status,
                "summary": decode(dict[str, Any], json.loads(summary)) if summary else {},
                "error_type": error_type,
                "error": error,
                "attempts": attempts,
                "seconds": seconds,
                "versions": versions,
            }

    def rows(self, table: str) -> tuple[list[str], list[tuple[Any, ...]]]:
        """Names of the columns and rows of ``layers`` or ``losses``, in order."""
        order = {"layers": "position", "losses": "step"}[table]
        found = self._database.execute(f"SELECT * FROM {table} ORDER BY cell, {order}")
        return [column[0] for column in found.description], found.fetchall()

    def errors(self) -> list[tuple[str, str, int]]:
        """Class and sentence of the errors of failed cells, and how often each came, the most frequent first."""
        return self._database.execute(
            "SELECT error_type, error, count(*) FROM cells WHERE status = 'failed' GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2"
        ).fetchall()

    def mean_seconds(self) -> float:
        """Mean time of a cell that is done; ``nan`` where there is none."""
        found = self._one("SELECT avg(seconds) FROM cells WHERE status = 'done'")
        return math.nan if found is None else float(found)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            self._database.execute("BEGIN IMMEDIATE")
            yield
            self._database.execute("COMMIT")
        except BaseException as error:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            if isinstance(error, sqlite3.OperationalError):  # A full disk, a lock, a file that may not be written to.
                raise UsageError(f"Cannot write {self.path}: {error}.") from error
            raise

    def _one(self, query: str) -> Any:
        return self._database.execute(query).fetchone()[0]


def _null(value: Any) -> Any:
    """SQLite has infinities but no nan: that is NULL."""
    return None if isinstance(value, float) and math.isnan(value) else value


def content_columns(content: Cell) -> Mapping[str, Any]:
    """The cell as columns: design, measure, options, training, data, seed."""
    training = vars(content.training) if content.training else {}
    return {
        "design": content.design,
        "measure": content.measure,
        **content.options,
        **training,
        "data": content.data,
        "batch": content.batch,
        "seed": content.seed,
    }
