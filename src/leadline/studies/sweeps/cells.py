"""A cell of a sweep: one network, one measurement, and the key that names its content."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

# Raised when the same content would give other numbers: then no older result is taken for a newer one.
SCHEMA = 1


@dataclass(frozen=True, kw_only=True)
class Training:
    """How a cell trains.

    Attributes:
        steps: Steps to take.
        learning_rate: Of the optimiser.
        optimiser: ``"adam"``, ``"adamw"`` or ``"sgd"``.
    """

    steps: int
    learning_rate: float
    optimiser: str


@dataclass(frozen=True, kw_only=True)
class Cell:
    """Everything that decides one result.

    Attributes:
        design: Name of a built-in design.
        options: Every option of the design, those left at their defaults too.
        seed: Seed of weights, batch and training.
        data: ``"digits"``, ``"gaussian"``, ``"tokens"``, or ``None`` for what suits the design.
        batch: Samples, or ``None`` for what suits the design.
        training: How it trains; ``None`` where it is only profiled.

    Example:
        >>> a = Cell(design="mlp", options={"depth": 3, "gain": 1.0}, seed=0)
        >>> b = Cell(design="mlp", options={"gain": 1.0, "depth": 3}, seed=0)
        >>> a.key == b.key, len(a.key)
        (True, 64)
    """

    design: str
    options: Mapping[str, Any]
    seed: int
    data: str | None = None
    batch: int | None = None
    training: Training | None = None

    @property
    def measure(self) -> str:
        """``"train"`` or ``"profile"``."""
        return "profile" if self.training is None else "train"

    @property
    def content(self) -> dict[str, Any]:
        """The cell as plain data, in the form that is hashed; ``Cell.of`` reads it."""
        return {
            "schema": SCHEMA,
            "design": self.design,
            "options": dict(self.options),
            "seed": self.seed,
            "data": self.data,
            "batch": self.batch,
            "training": None if self.training is None else vars(self.training).copy(),
        }

    @cached_property
    def text(self) -> str:
        """The content as canonical JSON: keys in order, no spaces, floats as the shortest text that gives them back."""
        return json.dumps(self.content, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=True)

    @cached_property
    def key(self) -> str:
        """SHA-256 of the canonical JSON, in hexadecimal digits."""
        return hashlib.sha256(self.text.encode("ascii")).hexdigest()

    @staticmethod
    def of(text: str) -> "Cell":
        """The cell of canonical JSON."""
        content = json.loads(text)
        training = content.pop("training")
        del content["schema"]
        return Cell(**content, training=None if training is None else Training(**training))
