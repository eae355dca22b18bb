r"""Do weights look as an initialiser leaves them? What about them only training does.

Initialisers draw the entries of a weight independently from one law, or draw an orthogonal matrix, and give all entries
of a norm the same value. Training adds updates of low rank, $\delta h^\top$ summed over samples. So, of a weight of $m$
rows and $n$ columns, its mean subtracted and $\sigma^2$ its variance:

* the means of rows (and of columns) vary as independent entries make them vary:
  $n\sum_i \bar w_i^2/\sigma^2 \sim \chi^2_{m-1}$, and for an orthogonal matrix it is about $m$ too; updates share
  the mean of the inputs, which behind a ReLU is not 0, and make it larger. Each weight is asked, and all together;
* the largest eigenvalue of $W W^\top/\sigma^2$ lies at $(\sqrt m + \sqrt n)^2$ or below, with Tracy and Widom's
  spread, and for an orthogonal matrix far below; updates of low rank put one above;
* the factors and offsets of a norm are all alike;
* biases are all alike, or uniform within $1/\sqrt{\text{fan\_in}}$.

For columns and the eigenvalue kernels are summed over their places, as which those of ``leadline.init.orthogonal``
are orthogonal.

Not one of 2,380 layers drawn by torch's initialisers and leadline's, nor of 240 small networks, was taken for trained.
Of 46 such networks that 150 steps of Adam at 1e-2 to 1e-4 had taught their task, 44 were; of models without biases and
norms fewer are.
"""

import math
from collections.abc import Iterator

import torch
from scipy.special import gammaincc, kolmogorov
from torch import Tensor, nn

from leadline.init._maps import linear_maps

FALSE_ALARM = 1e-7  # for independent entries
SPIKE = 12.0  # widths of the Tracy-Widom law; it exceeds 6 in one of ten million
LEAST = 8  # rows and columns of a weight that says something
_AXES = ("columns", "rows")
_NOTHING = 1e-3  # standard deviation of biases, in units of their bound, that counts as none
_WEIGHTS, _SIDE = 12, 512  # at most so many weights are looked at, each cut to so many rows and columns


def signs_of_training(model: nn.Module) -> list[str]:
    """What about the weights of ``model`` no initialiser leaves, in sentences; empty where there is nothing."""
    return [*_norms(model), *_biases(model), *_weights(model)]


def _norms(model: nn.Module) -> Iterator[str]:
    for name, module in model.named_modules():
        values = [getattr(module, key, None) for key in ("weight", "bias")]
        given = [v.detach() for v in values if isinstance(v, nn.Parameter) and v.ndim == 1 and len(v) > 1]
        if "Norm" in type(module).__name__ and given and all(v.isfinite().all() and v.std() > 0 for v in given):
            spread = given[0].std().item()
            yield f"the entries of the norm {name} differ by {spread:.3g}, where they start alike."


def _biases(model: nn.Module) -> Iterator[str]:
    """Torch draws biases uniformly within 1/√fan_in; all others give a layer one value, or next to nothing.

    More than half of the maps must be beyond: some designs start the biases of one kind in a way of their own.
    """
    within, beyond = [], []
    for path, unit in _unit_biases(model):
        (beyond if unit.abs().max() > 1 + 1e-5 else within).append((path, unit))
    if 2 * len(beyond) > len(linear_maps(model)):
        path, unit = beyond[0]
        most = unit.abs().max().item()
        yield f"biases of {len(beyond)} layers exceed the bound that they are drawn within, {path} {most:.3g} times."
    elif within:
        values = torch.cat([unit for _, unit in within])
        if (p := _chance_of_uniform(values)) < FALSE_ALARM:
            yield f"biases differ, and not as drawn ones do (p = {p:.1g})."


def _unit_biases(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Path of each map with a bias that is not all one value, and that bias in units of 1/√fan_in."""
    modules = dict(model.named_modules())
    for entry in linear_maps(model):
        path, _, key = entry.name.rpartition(".")
        bias = getattr(modules[path], "bias", None) if key == "weight" and not entry.transposed else None
        if isinstance(bias, nn.Parameter) and len(bias) > 1 and bias.isfinite().all():
            unit = bias.detach().double().cpu() * math.sqrt(entry.fan_in)
            if unit.std() > _NOTHING:
                yield path, unit


def _chance_of_uniform(values: Tensor) -> float:
    """Kolmogorov's p that ``values`` are drawn uniformly from [-1, 1]."""
    ordered = (1 + values.sort().values) / 2
    steps = torch.arange(len(ordered) + 1) / len(ordered)
    distance = torch.maximum((ordered - steps[:-1]).abs(), (ordered - steps[1:]).abs()).max().item()
    return float(kolmogorov(math.sqrt(len(ordered)) * distance))


def _weights(model: nn.Module) -> Iterator[str]:
    maps = [entry for entry in linear_maps(model) if entry.maps == 1]
    statistic = freedom = 0.0
    for entry in maps[:: max(1, len(maps) // _WEIGHTS)]:
        weight = entry.parameter.detach().double()
        matrix, summed = _standard(weight.flatten(1)), _standard(weight.flatten(2).sum(2) if entry.kernel else weight)
        for axis, of in ((1, matrix), (0, summed)):
            if of is None:
                continue
            own, count = _of_means(of, axis), of.shape[1 - axis] - 1
            statistic, freedom = statistic + own, freedom + count
            if (p := _chance(own, count)) < FALSE_ALARM:
                yield f"means of {_AXES[axis]} of {entry.name} vary more than drawn ones (p = {p:.1g})."
        if summed is not None and (width := _spike(summed)) > SPIKE:
            yield f"{entry.name} has a singular value {width:.3g} widths beyond the edge of drawn weights."
    # What each weight shows alone may be little.
    if (p := _chance(statistic, freedom)) < FALSE_ALARM:
        yield f"means of rows and columns of the weights vary more than drawn ones (p = {p:.1g})."


def _standard(matrix: Tensor) -> Tensor | None:
    """The matrix with mean 0 and variance 1, without rows and columns of zeros."""
    matrix = matrix[matrix.any(1)][:, matrix.any(0)][:_SIDE, :_SIDE]
    if min(matrix.shape) < LEAST or not matrix.isfinite().all():
        return None
    matrix = matrix - matrix.mean()
    spread = matrix.std(correction=0)
    return matrix / spread if spread > 0 else None


def _of_means(matrix: Tensor, axis: int) -> float:
    """Squares of the means along ``axis``, in units of their variance for independent entries."""
    return matrix.shape[axis] * matrix.mean(axis).square().sum().item()


def _chance(statistic: float, freedom: float) -> float:
    """Probability that a chi-squared number of that freedom is larger."""
    return float(gammaincc(freedom / 2, statistic / 2)) if freedom else 1.0


def _spike(matrix: Tensor) -> float:
    """How far the largest eigenvalue lies beyond the edge, in widths of the Tracy-Widom law."""
    m, n = matrix.shape
    gram = matrix @ matrix.T if m <= n else matrix.T @ matrix
    centre = math.sqrt(n - 1) + math.sqrt(m)
    width = centre * (1 / math.sqrt(n - 1) + 1 / math.sqrt(m)) ** (1 / 3)
    return (torch.linalg.eigvalsh(gram)[-1].item() - centre**2) / width
