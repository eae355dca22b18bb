"""Results as tables: a row a cell, a row a layer, a row a step; and the files that they are written to."""

from pathlib import Path
from typing import TYPE_CHECKING

from leadline._core.errors import UsageError
from leadline._core.extras import require
from leadline._core.names import check_choice
from leadline._core.records import check_destination
from leadline.studies.sweeps.store import Store, content_columns

if TYPE_CHECKING:
    import pandas as pd

ROWS = ("cells", "layers", "losses")
# Columns that differ between two runs of the same sweep.
OF_THE_RUN = ("attempts", "seconds", "versions")


def frame(store: Store, rows: str = "cells") -> "pd.DataFrame":
    """The results as a tidy table.

    Args:
        store: Where they are.
        rows: ``"cells"``: a row a cell with its options, seed, summary, or error; ``"layers"``: a row a layer of every
            profile; ``"losses"``: a row a step of every training. The latter two repeat the cell's options and seed.

    Returns:
        The table, in the order in which cells were added; what does not apply is ``nan`` or ``None``.
    """
    import pandas as pd

    check_choice("rows", rows, ROWS)
    cells = list(store.cells())
    about = [{"cell": row["id"], "key": row["key"], **content_columns(row["cell"])} for row in cells]
    if rows == "cells":
        told = [
            {
                **known,
                "status": row["status"],
                **row["summary"],
                **{name: row[name] for name in ("error_type", "error", *OF_THE_RUN)},
            }
            for known, row in zip(about, cells, strict=True)
        ]
        return pd.DataFrame(told).drop(columns="cell", errors="ignore")
    names, values = store.rows(rows)
    # A wide join in the database would name every option; the table of cells is the small one.
    found = pd.DataFrame(values, columns=names)
    if not about:
        return found
    return pd.DataFrame(about).merge(found, on="cell", how="inner", validate="one_to_many").drop(columns="cell")


def export(store: Store, path: str | Path, rows: str = "cells") -> Path:
    """Write ``frame(store, rows)`` as Parquet or CSV, by the ending of ``path``: whole or not at all.

    Raises:
        UsageError: If the ending is another, no cell has such rows, or the file cannot be written.
        MissingExtraError: If Parquet is asked for and pyarrow is not installed.
    """
    path = check_destination(path)
    if path.suffix not in (".parquet", ".csv"):
        raise UsageError(f"A table is written to a file that ends in .parquet or .csv; got {path.name}.")
    if path.suffix == ".parquet":
        require("pyarrow", extra="tables")
    table = frame(store, rows)
    if table.empty:
        raise UsageError(f"There are no {rows} to write: no cell of this store holds any.")
    partial = path.with_name(f".{path.name}.partial")
    try:
        if path.suffix == ".parquet":
            table.to_parquet(partial, index=False)
        else:
            table.to_csv(partial, index=False)
        partial.replace(path)
    except OSError as error:
        raise UsageError(f"Cannot write {path}: {error.strerror}.") from error
    finally:
        partial.unlink(missing_ok=True)
    return path
