"""The record of a simulation: what every layer of every draw came to."""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from leadline._core.errors import UsageError
from leadline._core.extras import require
from leadline._core.names import check_choice
from leadline._core.rates import Rate, rate, rate_over_draws
from leadline._core.records import check_destination, read_record, write_json

if TYPE_CHECKING:
    import pandas as pd

_SCHEMA = 1


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """What theory says of one quantity of a simulation.

    Attributes:
        quantity: Its name.
        kind: ``"rate"`` (growth of its logarithm per layer, with depth, nats) or ``"level"`` (where it settles).
        value: The rate or the level.
        words: Which law says so.
    """

    quantity: str
    kind: Literal["rate", "level"]
    value: float
    words: str


@dataclass(frozen=True, kw_only=True)
class Simulation:
    """Metrics and gradient norms of every layer of a chain, for independent draws of its weights.

    Attributes:
        design: The fields of the chain.
        batch: Samples.
        draws: Draws.
        seed: As in ``leadline.simulate.propagate``.
        loss: Likewise; empty where no gradient was sent back.
        dtype: Of the states.
        values: Name -> draws -> values from the input on. Layer 0 is the input; ``log_weight_grad_norm``, of layers
            alone, begins at layer 1.
        expected: What theory says of them.
    """

    design: Mapping[str, Any]
    batch: int
    draws: int
    seed: int
    loss: str
    dtype: str
    values: Mapping[str, tuple[tuple[float, ...], ...]]
    expected: tuple[Expectation, ...] = ()

    @property
    def depth(self) -> int:
        """Layers."""
        return int(self.design["depth"])

    def array(self, name: str) -> np.ndarray:
        """One quantity as ``(draws, layers + 1)``, or ``(draws, layers)`` for gradients of weights.

        Raises:
            UsageError: If it was not measured.
        """
        return np.array(self.values[check_choice("name", name, self.values)], dtype=np.float64)

    def rate(self, name: str, *, start: int = 0, stop: int | None = None) -> Rate:
        """Growth of the logarithm of a quantity per layer, from layer ``start`` to ``stop``, with a 95 % interval.

        Over draws where there are some, over layers of the one draw otherwise. Of gradients it is the growth with
        depth: negative where they grow towards the input.

        Raises:
            UsageError: If it was not measured, or no layer lies between.
        """
        found = self.array(name)
        first, end = self.depth + 1 - found.shape[1], self.depth if stop is None else stop
        start = max(start, first)
        if not start < end <= self.depth:
            raise UsageError(f"A rate of {name} needs {first} <= start < stop <= {self.depth}; got {start} and {end}.")
        part = found[:, start - first : end - first + 1]
        with np.errstate(divide="ignore", invalid="ignore"):
            logs = part if name.startswith("log_") else np.log(part)
        if self.draws == 1:
            return rate(logs[0])
        increments = (logs[:, -1] - logs[:, 0]) / (end - start)
        return rate_over_draws([float(value) for value in increments if math.isfinite(value)])

    def to_frame(self) -> "pd.DataFrame":
        """One row for each layer of each draw, a column for each quantity."""
        import pandas as pd

        layers = self.depth + 1
        columns: dict[str, Any] = {
            "draw": np.repeat(np.arange(self.draws), layers),
            "layer": np.tile(np.arange(layers), self.draws),
        }
        for name in self.values:
            found = self.array(name)
            padded = np.full((self.draws, layers), math.nan)
            padded[:, layers - found.shape[1] :] = found
            columns[name] = padded.ravel()
        return pd.DataFrame(columns)

    def to_dict(self) -> dict[str, Any]:
        """The record as plain data, as in the file that ``save`` writes."""
        return {"schema": _SCHEMA, **{f.name: getattr(self, f.name) for f in dataclasses.fields(self)}}

    def save(self, path: str | Path) -> Path:
        """Write the record as JSON."""
        return write_json(self.to_dict(), path)

    def to_parquet(self, path: str | Path) -> Path:
        """Write ``to_frame`` as Parquet.

        Raises:
            UsageError: If the file cannot be written.
            MissingExtraError: If pyarrow is not installed.
        """
        path = check_destination(path)
        require("pyarrow", extra="tables")
        self.to_frame().to_parquet(path, index=False)
        return path

    @classmethod
    def load(cls, path: str | Path) -> "Simulation":
        """Read what ``save`` wrote.

        Raises:
            UsageError: If the file is missing or is no simulation of this schema.
        """
        return read_record(cls, path, schema=_SCHEMA)
