"""The coordinate check: do the activations of wider or deeper networks stay of one size while they train?"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from leadline._core.errors import UsageError
from leadline._core.randomness import seeded
from leadline.doctor.coordinate_runs import Optimiser, trained, update_rule
from leadline.doctor.coordinate_trends import Coordinate as Coordinate, Over, Trend as Trend, trends_of, verdict_of
from leadline.probe.inputs import as_batch
from leadline.probe.loss import Loss

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, kw_only=True)
class CoordinateCheck:
    """What training networks of several sizes for a few steps showed.

    Attributes:
        over: ``"width"`` or ``"depth"``.
        sizes: The widths or depths, ascending.
        steps: Updates that each network made.
        seeds: Networks of each size.
        optimiser: Name of the update rule.
        rows: Every number measured.
        trends: Two for each module that the networks of all sizes have, in order of execution: of the activations at
            step 0, and of their change over all steps.
        verdict: ``"grows with width"``: a learning rate found at a small width is too large at a great one;
            ``"shrinks with width"``: layers of wide networks learn less and less; ``"stable"``; or ``"undecided"``.
    """

    over: Over
    sizes: tuple[int, ...]
    steps: int
    seeds: int
    optimiser: str
    rows: tuple[Coordinate, ...]
    trends: tuple[Trend, ...]
    verdict: str

    def to_frame(self) -> "pd.DataFrame":
        """The rows as a tidy table: module, size, step, seed, metric, value."""
        import pandas as pd

        return pd.DataFrame([asdict(row) for row in self.rows])

    def __str__(self) -> str:
        grid = f"{len(self.sizes)} {self.over}s from {self.sizes[0]} to {self.sizes[-1]}"
        head = f"{self.verdict}: {grid}, {self.steps} steps of {self.optimiser}, {self.seeds} seeds"
        return "\n".join([head, *(trend.message for trend in self.trends)])


def coordinate_check(
    build: Callable[[int, int], nn.Module],
    inputs: Any,
    targets: Tensor | None = None,
    *,
    widths: Sequence[int] | None = None,
    depths: Sequence[int] | None = None,
    steps: int = 3,
    seeds: int = 5,
    optimiser: Optimiser = "adam",
    lr: float | None = None,
    loss: Loss | None = None,
) -> CoordinateCheck:
    r"""Train networks of several widths (or depths) for a few steps and see how their activations depend on the size.

    For every module with parameters and no children, and for the output, the slope $s$ of

    $$\log \operatorname{mean}|x_t| = s \log \text{size} + c$$

    at step 0, and that of $\operatorname{mean}|x_t - x_0|$ at the last step, over each seed's networks. In the
    maximal-update parametrisation all slopes of the change are 0 and a learning rate carries over from one width
    to another. Its outputs start smaller in wider networks, so what shrinks at step 0 is no fault. A factor that is
    multiplied to a module's output outside the module is not seen in that module's coordinates.

    Args:
        build: Makes a network of a size and a seed: ``build(width, seed)``. It runs with the global generators
            started from the seed; the networks take the same ``inputs``.
        inputs: One batch, used at every step: a tensor, a tuple or a dict.
        targets: Its targets; the loss is as in ``leadline.profile``.
        widths: At least two widths; by default 64, 128, 256 and 512.
        depths: Depths instead of widths. Compared are the modules whose names all networks share, with outputs
            of one shape, and the output.
        steps: Updates of each network, at least 1.
        seeds: Networks of each size, at least 2: the intervals are over them.
        optimiser: ``"adam"`` or ``"sgd"``, or what makes an optimiser of a network, such as one with a rate a layer.
        lr: Learning rate of ``"adam"`` (by default 1e-3) or ``"sgd"`` (by default 0.1).
        loss: ``loss(outputs, targets)``, or ``None`` for the default.

    Returns:
        All numbers, the slopes with their intervals, and the verdict. Means are taken in float32; a coordinate
        that is not finite counts as growth.

    Raises:
        UsageError: If fewer than two sizes or seeds are asked for, or fewer than one step, both widths and depths
            are given, ``lr`` is not positive, or it is given beside an optimiser of the caller's.

    Source:
        Yang et al. 2021, "Tensor Programs V" (arXiv:2203.03466), appendix D.1, where the check is by eye.

    Example:
        >>> from leadline.data import gaussian
        >>> from leadline.nn import mlp
        >>> batch = gaussian(32, (16,), seed=0, classes=10)
        >>> check = coordinate_check(
        ...     lambda width, seed: mlp(16, 10, depth=2, width=width), batch.inputs, batch.targets,
        ...     widths=(16, 64, 256), seeds=3)
        >>> check.verdict
        'grows with width'
    """
    if widths is not None and depths is not None:
        raise UsageError("A coordinate check goes over widths or over depths; got both.")
    over: Over = "width" if depths is None else "depth"
    sizes = tuple(sorted(set(depths or widths or (64, 128, 256, 512))))
    if len(sizes) < 2 or sizes[0] < 1:
        raise UsageError(f"A coordinate check needs at least two {over}s, each at least 1; got {sizes}.")
    if steps < 1 or seeds < 2:
        raise UsageError(f"A coordinate check needs at least 1 step and 2 seeds; got {steps} and {seeds}.")
    start = update_rule(optimiser, lr)
    batch = as_batch(inputs)
    rows: list[Coordinate] = []
    shapes: dict[str, set[tuple[int, ...]]] = defaultdict(set)
    for size in sizes:
        for seed in range(seeds):
            with seeded(seed):
                model = build(size, seed)
                seen, shape_of = trained(model, batch, targets, step=start(model), steps=steps, loss=loss)
            for module, shape in shape_of.items():
                shapes[module].add(shape)
            rows += [
                Coordinate(module=module, size=size, step=step, seed=seed, metric=metric, value=value)
                for (step, module, metric), value in seen.items()
            ]
    if over == "depth":  # a name that is of another place in a deeper network: its head's, say
        rows = [row for row in rows if len(shapes[row.module]) == 1]
    trends = trends_of(rows, sizes=sizes, steps=steps, seeds=seeds, over=over)
    return CoordinateCheck(
        over=over,
        sizes=sizes,
        steps=steps,
        seeds=seeds,
        optimiser=optimiser if isinstance(optimiser, str) else "a rule of the caller's",
        rows=tuple(rows),
        trends=trends,
        verdict=verdict_of(trends, over),
    )
