"""A sweep as a plan: a design, the axes that vary, the seeds; and the cells that it comes to."""

import itertools
import math
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from leadline._core.checks import check_whole
from leadline._core.errors import UsageError
from leadline._core.names import check_choice
from leadline.studies.sweeps.cells import Cell, Training
from leadline.targets.built_in import DESIGNS
from leadline.targets.grammar import parse
from leadline.targets.options import check_names, read
from leadline.train.settings import OPTIMISERS

MEASURES = ("profile", "train")
RATES = (1e-2, 1e-3, 1e-4)
_DIGITS = 6


@dataclass(frozen=True, kw_only=True)
class Range:
    """An interval that values are drawn from, evenly or evenly in the logarithm.

    Attributes:
        low: Lower end.
        high: Upper end, above ``low``.
        log: Whether the logarithm is drawn; then ``low`` must be positive.
    """

    low: float
    high: float
    log: bool = False

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise UsageError(f"A range needs low below high, both finite; got low {self.low} and high {self.high}.")
        if self.log and self.low <= 0:
            raise UsageError(f"A range with log: true needs low above 0; got {self.low}.")

    def at(self, share: float) -> float:
        """The value at a share of the way, to six digits.

        >>> Range(low=0.01, high=100.0, log=True).at(0.5)
        1.0
        """
        low, high = (math.log(self.low), math.log(self.high)) if self.log else (self.low, self.high)
        value = low + share * (high - low)
        # Six digits, so that the last bit of a machine's exp does not change the key of a cell.
        return float(f"{math.exp(value) if self.log else value:.{_DIGITS}g}")


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """What to measure: every combination of the grid, times every random draw, times every seed.

    Attributes:
        design: A built-in design, with options that stay fixed if there are any: ``"mlp:width=64"``.
        measure: ``"profile"``: one forward and backward pass at initialisation; ``"train"``: ``leadline.train.fit``.
        grid: Option -> the values it takes.
        random: Option -> the ``Range``, or the values, that every draw takes one of.
        draws: Number of draws of the random options.
        seeds: Seeds of the weights, the batch and the training.
        data: ``"digits"``, ``"gaussian"``, ``"tokens"``, or ``None`` for what suits the design.
        batch: Samples in the batch, or ``None`` for what suits the design.
        steps: Steps of training.
        learning_rates: Every cell trains at each; each is a cell of its own.
        optimiser: ``"adam"``, ``"adamw"`` or ``"sgd"``.
        random_seed: Seed of the random draws.

    Raises:
        UsageError: If an option or a value is not the design's, or a number is out of range.

    Example:
        >>> plan = Sweep(design="mlp", grid={"depth": (10, 50), "norm": ("batch", "none")}, seeds=(0, 1))
        >>> len(plan), sorted({cell.options["depth"] for cell in plan.cells()})
        (8, [10, 50])
    """

    design: str
    measure: str = "profile"
    grid: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    random: Mapping[str, Range | Sequence[Any]] = field(default_factory=dict)
    draws: int = 0
    seeds: tuple[int, ...] = (0,)
    data: str | None = None
    batch: int | None = None
    steps: int = 150
    learning_rates: tuple[float, ...] = RATES
    optimiser: str = "adam"
    random_seed: int = 0

    def __post_init__(self) -> None:
        check_choice("measure", self.measure, MEASURES)
        check_choice("optimiser", self.optimiser, OPTIMISERS)
        if self.data is not None:
            check_choice("data", self.data, ("digits", "gaussian", "tokens"))
        if self.batch is not None:
            check_whole("batch", self.batch, least=1)
        check_whole("steps", self.steps, least=1)
        if not self.seeds or not all(0 <= seed < 2**63 for seed in self.seeds):
            raise UsageError(f"seeds must be whole numbers from 0, one at least; got {list(self.seeds)}.")
        if not self.learning_rates or not all(0 < rate < math.inf for rate in self.learning_rates):
            raise UsageError(f"learning_rates must be positive, one at least; got {list(self.learning_rates)}.")
        if bool(self.random) != (self.draws > 0):
            raise UsageError(
                f"A random search needs draws from 1 and at least one option; got {self.draws} draws of "
                f"{len(self.random)} options."
            )
        self._check_options()

    def __len__(self) -> int:
        """Number of cells."""
        grid = math.prod(len(values) for values in self.grid.values())
        rates = len(dict.fromkeys(self.learning_rates)) if self.measure == "train" else 1
        return grid * max(self.draws, 1) * rates * len(dict.fromkeys(self.seeds))

    def cells(self) -> Iterator[Cell]:
        """The cells, seeds of one combination next to one another; the same plan gives the same ones in the same order.

        A draw depends on the seed of the search, its number and the option's name alone: more draws, or another option,
        keep the values of those that are there.
        """
        name, fixed, known = self._target
        for values in itertools.product(*self.grid.values()):
            for drawn in self._drawn():
                given = {**fixed, **dict(zip(self.grid, values, strict=True)), **drawn}
                options = {key: _plain(value) for key, value in read(known, given, whose=name).items()}
                for training, seed in itertools.product(self._trainings(), dict.fromkeys(self.seeds)):
                    yield Cell(
                        design=name, options=options, seed=seed, data=self.data, batch=self.batch, training=training
                    )

    @property
    def _target(self) -> tuple[str, Mapping[str, str], tuple[Any, ...]]:
        spec = parse(self.design)
        if spec.kind != "design":
            raise UsageError(f"A sweep goes over a built-in design: {', '.join(DESIGNS)}; got {self.design!r}.")
        return spec.place, spec.options, DESIGNS[spec.place].options

    def _check_options(self) -> None:
        """Every value is one of its option: looked at one by one, not in all combinations."""
        name, fixed, known = self._target
        for kind, axes in (("grid", self.grid), ("random", self.random)):
            check_names(axes, [option.name for option in known], whose=name)
            if twice := next((key for key in axes if key in fixed or (kind == "random" and key in self.grid)), None):
                raise UsageError(f"The option {twice} is given twice: in the {kind} and elsewhere.")
            for key, values in axes.items():
                if isinstance(values, Range):
                    self._check_range(key)
                    continue
                if not values:
                    raise UsageError(f"The option {key} in the {kind} needs at least one value.")
                read_values = [repr(read(known, {key: value}, whose=name)[key]) for value in values]
                if len(set(read_values)) < len(read_values):
                    raise UsageError(f"The option {key} in the {kind} has a value twice: {list(values)}.")
        read(known, fixed, whose=name)

    def _check_range(self, key: str) -> None:
        kind = next(option.kind for option in self._target[2] if option.name == key)
        if kind not in ("int", "float"):
            raise UsageError(f"The option {key} is no number, so it has no range; give a list of values.")

    def _drawn(self) -> Iterator[dict[str, Any]]:
        if not self.random:
            yield {}
        kinds = {option.name: option.kind for option in self._target[2]}
        for draw in range(self.draws):
            values = {}
            for key, space in self.random.items():
                seed = [self.random_seed, draw, zlib.crc32(key.encode())]
                share = float(np.random.default_rng(seed).random())
                if isinstance(space, Range):
                    values[key] = round(space.at(share)) if kinds[key] == "int" else space.at(share)
                else:
                    values[key] = space[int(share * len(space))]
            yield values

    def _trainings(self) -> list[Training | None]:
        if self.measure == "profile":
            return [None]
        rates = dict.fromkeys(map(float, self.learning_rates))
        return [Training(steps=self.steps, learning_rate=rate, optimiser=self.optimiser) for rate in rates]


def _plain(value: Any) -> Any:
    """The value with one text for zero: -0.0 and 0.0 measure the same."""
    return 0.0 if isinstance(value, float) and value == 0 else value
