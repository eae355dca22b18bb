"""What was measured: one record a layer, one for the whole."""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from leadline._core.names import nearest
from leadline._core.rates import Rate, rate, rate_over_draws
from leadline._core.records import read_record, write_json

if TYPE_CHECKING:
    import pandas as pd

SCHEMA = 1

# Metrics of a matrix of rows, by the name of their function in `leadline.metrics`.
SPECTRAL = (
    "isometry_gap",
    "orthogonality_gap",
    "participation_ratio",
    "effective_rank",
    "stable_rank",
    "numerical_rank",
    "soft_rank",
    "condition_number",
)
PAIRWISE = ("mean_cosine", "mean_abs_cosine", "mean_square_cosine", "distinction")
MATRIX = SPECTRAL + PAIRWISE
# Moments of the output over all its entries.
MOMENTS = ("mean", "std", "rms", "max_abs", "finite_fraction")
# Every number of a layer; what does not apply to a layer is nan.
METRICS = (
    *MOMENTS,
    "dead_fraction",
    "saturated_fraction",
    *MATRIX,
    *(f"centred_{name}" for name in ("participation_ratio", "distinction")),
    *(f"token_{name}" for name in MATRIX),
    "grad_norm",
    "grad_rms",
    "grad_max_abs",
    "grad_finite_fraction",
    *(f"grad_{name}" for name in MATRIX),
    "weight_norm",
    "weight_grad_norm",
    "weight_finite_fraction",
    "update_ratio",
    "cancellation",
    "cancellation_baseline",
    "stream_rms",
    "branch_rms",
)
_KNOWN = frozenset(METRICS)


@dataclass(frozen=True, kw_only=True)
class LayerProfile:
    """One layer of a profile: what it is, and one float per metric, read as an attribute.

    ``layer.rms``, ``layer.isometry_gap``, ``layer.grad_norm``, ``layer.grad_mean_cosine`` … give the number
    of that name; ``nan`` where a metric does not apply (no gradient reached the layer, no activation in it).

    Attributes:
        name: Dotted name in the model; the calls of a module that runs several times are ``name``, ``name#2``, …
        kind: Class of the module.
        depth: Place in the order of execution, from 0.
        role: ``"block"`` for a repeated unit, ``"leaf"`` for a module without children, ``"module"`` otherwise,
            ``"input"`` for the record of the batch itself.
        repeat: Name shared by layers that repeat one another (the class of the block, of the leaf); empty
            where the layer stands alone.
        shape: Shape of the output, batch axis included.
        dtype: Dtype of the output, e.g. ``"float32"``.
        rows: How the output became a matrix: ``"samples"``, ``"positions"`` or ``"tokens"``.
        n: Rows of the matrix that the spectrum was taken of.
        d: Features of that matrix.
        parts: Kinds of what runs inside, in order of execution: classes of leaf modules, and functional
            activations by the name of their module (``F.relu`` counts as ``"ReLU"``).
        reads: Names of the layers whose outputs it reads with no other layer in between, ``"inputs"`` for the batch;
            empty where the graph does not tell.
        residual: Whether the output is the layer's input plus a branch.
        branches: Names of the modules whose outputs are added to the stream, where ``residual``.
        parameters: Number of entries of the layer's own parameters, shared ones counted once in the model.
        trained: How many of those entries require a gradient.
        dead_layer: Name of the module with the largest share of dead units, where there are any.
        dead_share: That share; ``dead_fraction`` is over all activations of the layer.
        saturated_layer: Name of the module with the largest share of saturated entries, where there are any.
        saturated_share: That share; ``saturated_fraction`` is over all activations of the layer.
        metrics: The numbers by name, the keys of ``METRICS``.
    """

    name: str
    kind: str
    depth: int
    role: str = "leaf"
    repeat: str = ""
    shape: tuple[int, ...] = ()
    dtype: str = "float32"
    rows: str = "samples"
    n: int = 0
    d: int = 0
    parts: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    residual: bool = False
    branches: tuple[str, ...] = ()
    parameters: int = 0
    trained: int = 0
    dead_layer: str = ""
    dead_share: float = math.nan
    saturated_layer: str = ""
    saturated_share: float = math.nan
    metrics: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        unknown = self.metrics.keys() - _KNOWN
        if unknown:
            raise ValueError(f"unknown metrics {', '.join(sorted(unknown))}")

    def __getattr__(self, name: str) -> float:
        if name in METRICS:
            return self.metrics.get(name, math.nan)
        guess = nearest(name, METRICS) if not name.startswith("_") else None
        hint = f"; did you mean `{guess}`?" if guess else ""
        raise AttributeError(f"a layer's profile has no metric `{name}`{hint}")


@dataclass(frozen=True, kw_only=True)
class Profile:
    """What one pass of a batch through a model showed, layer by layer.

    Attributes:
        layers: The layers in order of execution.
        model: Class of the model.
        inputs: The batch itself, measured like a layer (``role="input"``); of token ids only the shape.
        outputs: The tensor that met the loss, measured like a layer.
        loss: Value of the loss; of the cotangent's product where there were no targets.
        loss_kind: ``"cross_entropy"``, ``"mse"``, ``"model"`` (its own), ``"custom"`` or ``"cotangent"``.
        mode: ``"train"``, ``"eval"`` or ``"mixed"``.
        device: Device of the parameters.
        dtype: Dtype of most parameters.
        batch: Samples in the batch.
        rows: Rows at most that spectra were taken of.
        effort: ``"standard"`` or ``"full"``.
        seed: Seed of the cotangent and of the rows, where random.
        unused: Dotted names of modules with parameters that never ran, or whose output never reached the loss.
        small_batch_norms: Normalisation layers that saw few values per channel: name -> values per channel.
        nonfinite_parameters: Names of parameters that hold nan or inf.
        first_nonfinite: Name of the first module in order of execution whose output holds nan or inf, or ``""``.
        weights: Per parameter with two axes or more that got a gradient: name -> Frobenius norm of the gradient.
        weight_norms: Every parameter with two axes or more: name -> Frobenius norm of the weight.
        weight_shapes: The same parameters: name -> (outputs, inputs · kernel) of the map it stands for.
        weight_ranks: The same parameters: name -> participation ratio of the weight times 16 random columns: 1 for a
            weight of rank one, 0 for a zero weight, above 8 for a usual one of 16 rows and columns or more.
        repeated: Samples of the batch that equal an earlier one exactly.
        draws: The other draws of the weights, or passes over other rows, where there were several; each has its
            own ``layers`` and no draws. The metrics of ``layers`` are the first draw's.
        draws_over: ``"draws"`` of the weights, or ``"batches"``; empty where there is one pass.
        notes: What the reader should know of how it was measured.
        versions: Name -> version of what measured.
    """

    layers: tuple[LayerProfile, ...]
    model: str = ""
    inputs: LayerProfile | None = None
    outputs: LayerProfile | None = None
    loss: float = math.nan
    loss_kind: str = "cotangent"
    mode: str = "train"
    device: str = "cpu"
    dtype: str = "float32"
    batch: int = 0
    rows: int = 64
    effort: str = "standard"
    seed: int = 0
    unused: tuple[str, ...] = ()
    small_batch_norms: Mapping[str, int] = field(default_factory=dict)
    nonfinite_parameters: tuple[str, ...] = ()
    first_nonfinite: str = ""
    weights: Mapping[str, float] = field(default_factory=dict)
    weight_norms: Mapping[str, float] = field(default_factory=dict)
    weight_shapes: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    weight_ranks: Mapping[str, float] = field(default_factory=dict)
    repeated: int = 0
    draws: tuple["Profile", ...] = ()
    draws_over: str = ""
    notes: tuple[str, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)

    def __getitem__(self, name: str) -> LayerProfile:
        if name in self.named:
            return self.named[name]
        guess = nearest(name, list(self.named))
        raise KeyError(f"no layer {name!r} in this profile" + (f"; did you mean {guess!r}?" if guess else ""))

    @cached_property
    def named(self) -> Mapping[str, LayerProfile]:
        """Each layer by its name, in order of execution."""
        return {layer.name: layer for layer in self.layers}

    @cached_property
    def chain(self) -> tuple[LayerProfile, ...]:
        """The layers whose repetition makes the depth: the blocks or, where there are none, the linear maps.

        Rates per layer are taken along it. Where several names of maps repeat (``attn.q``, ``mlp.fc1``, … of every
        block), the maps of the most frequent one, since those of one block need not follow one another. Falls back
        to all layers where nothing repeats.
        """
        blocks = tuple(layer for layer in self.layers if layer.role == "block")
        if len(blocks) >= 2:
            return blocks
        maps = tuple(layer for layer in self.layers if layer.kind in LINEAR_KINDS)
        names = Counter(own_name(layer.name) for layer in maps)
        if sum(count >= 2 for count in names.values()) >= 2:
            usual = names.most_common(1)[0][0]
            maps = tuple(layer for layer in maps if own_name(layer.name) == usual)
        return maps if len(maps) >= 2 else self.layers

    @property
    def unit(self) -> str:
        """What depth is counted in: ``"block"`` where the chain is made of repeated units, otherwise ``"layer"``."""
        return "block" if any(layer.role == "block" for layer in self.chain) else "layer"

    def rate(self, metric: str, *, floor: float = 0.0) -> Rate:
        """Rate of the decimal logarithm of ``metric`` along the chain, in decades per layer, in order of execution.

        With several draws the interval is over the draws, otherwise over the layers of the one network.

        Args:
            metric: A metric of a layer.
            floor: Values below it are rounding and are left out.
        """
        values = [getattr(layer, metric) for layer in self.chain]
        own = rate([math.nan if value < floor else _log10(value) for value in values])
        if not self.draws:
            return own
        return rate_over_draws([own.estimate, *(draw.rate(metric, floor=floor).estimate for draw in self.draws)])

    def to_frame(self) -> "pd.DataFrame":
        """One row a layer, in order of execution: what it is, then every metric that applies to some layer."""
        import pandas as pd

        about = ("name", "kind", "depth", "role", "repeat", "shape", "dtype", "rows", "n", "d", "parameters")
        seen = [m for m in METRICS if any(not math.isnan(getattr(layer, m)) for layer in self.layers)]
        return pd.DataFrame(
            [[getattr(layer, key) for key in (*about, *seen)] for layer in self.layers], columns=[*about, *seen]
        )

    def save(self, path: str | Path) -> Path:
        """Write the profile as strict JSON; non-finite floats become "inf", "-inf" and "nan"."""
        from leadline._core.records import encode

        return write_json({"schema": SCHEMA, **encode(self)}, path)

    @staticmethod
    def load(path: str | Path) -> "Profile":
        """Read what ``save`` wrote.

        Raises:
            UsageError: If the file is missing, is no profile, or is of another version.
        """
        return read_record(Profile, path, schema=SCHEMA)

    def __str__(self) -> str:
        frame = self._table()
        head = f"{self.model}: {len(self.layers)} layers, batch of {self.batch}, {self.mode} mode, {self.dtype}"
        return f"{head}\n{frame.to_string(index=False, float_format=lambda x: f'{x:.3g}', max_rows=60)}"

    def _repr_html_(self) -> str:
        return self._table().to_html(index=False, float_format=lambda x: f"{x:.3g}", max_rows=60, escape=True)

    def _table(self) -> "pd.DataFrame":
        short = ("name", "kind", "rms", "participation_ratio", "distinction", "grad_norm", "weight_grad_norm")
        return self.to_frame().reindex(columns=list(short))


# Leaf modules that are one linear map of their input; the chain of a model without blocks is made of these.
LINEAR_KINDS = frozenset(
    {"Linear", "NonDynamicallyQuantizableLinear", "LazyLinear", "Bilinear", "Conv1D"}
    | {f"Conv{k}d" for k in (1, 2, 3)}
    | {f"ConvTranspose{k}d" for k in (1, 2, 3)}
)


def own_name(path: str) -> str:
    """The last two parts of a dotted name, with numbers left open and without the number of the call.

    >>> own_name("h.0.mlp.fc"), own_name("blocks.7.linear#2"), own_name("4")
    ('mlp.fc', '*.linear', '*')
    """
    parts = path.partition("#")[0].split(".")[-2:]
    return ".".join("*" if part.isdigit() else part for part in parts)


def _log10(value: float) -> float:
    if math.isnan(value):
        return math.nan
    return math.log10(value) if value > 0 else -math.inf
