"""The spectra of all weights of a model."""

import math
from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils import parametrize

from leadline._core.errors import UsageError
from leadline._core.weights import WeightSpectrum
from leadline.metrics._formulas import spectral_metrics
from leadline.metrics._spectrum import gram_eigenvalues, scaled

# Rows of the Gram matrix at a time: small enough to skip most of the upper triangle, large enough for a fast product.
_BLOCK = 128


def weight_spectra(model: nn.Module) -> dict[str, WeightSpectrum]:
    r"""Singular values, ranks and gaps of every parameter with two axes or more.

    A weight of more axes is folded to a matrix of its first axis against the rest: a convolution to
    ``(out, in·k·k)``. That matrix is what initialisers and optimisers see; it is not the convolution as an operator on
    maps, whose norm also depends on padding, stride and the size of the map and can be up to k times larger.

    Singular values are roots of the eigenvalues of the float64 Gram matrix on the shorter side, whose relative error is
    about 1e-16 times the squared condition number: at most 1e-8, because beyond a condition number of 1e4 they come
    from ``svdvals`` in float64.

    A parametrised weight is the one that its layer multiplies by in eval mode, under its own name.

    Args:
        model: Any module.

    Returns:
        Name of the parameter -> its spectrum, in the order of ``named_parameters``, shared ones once. A weight with nan
        or inf has ``nan`` throughout, one of zeros a condition number of ``inf``.

    Raises:
        UsageError: If no parameter has two axes.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> net = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
        >>> with torch.no_grad():
        ...     _ = net[0].weight.copy_(torch.tensor([[2.0, 0.0], [0.0, 1.0]]))
        >>> spectrum = weight_spectra(net)["0.weight"]
        >>> spectrum.singular_values, spectrum.condition_number, spectrum.stable_rank
        ((2.0, 1.0), 2.0, 1.25)
    """
    with torch.no_grad():
        spectra = {
            name: _spectrum(weight)
            for name, weight in _weights(model)
            if weight.ndim >= 2 and weight.is_floating_point() and weight.numel() > 0
        }
    if not spectra:
        raise UsageError(f"`model` ({type(model).__name__}) has no float parameter with two axes or more.")
    return spectra


def _weights(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """The parameters by name, and in place of what parametrisations hold the weights that they make of it."""
    made: set[str] = set()
    for name, parameter in model.named_parameters():
        path, _, held = f".{name}".partition(".parametrizations.")
        module, key = model.get_submodule(path[1:]) if held else model, held.partition(".")[0]
        if not held or not parametrize.is_parametrized(module, key):
            yield name, parameter
        elif (own := f"{path}.{key}"[1:]) not in made:
            made.add(own)
            yield own, _made(module, key)


def _made(module: nn.Module, key: str) -> Tensor:
    """A parametrised weight, without the step of power iteration that spectral normalisation takes in training."""
    steps = list(module.get_submodule(f"parametrizations.{key}").modules())
    modes = [step.training for step in steps]
    try:
        for step in steps:
            step.training = False
        return getattr(module, key)
    finally:
        for step, training in zip(steps, modes, strict=True):
            step.training = training


def _spectrum(parameter: Tensor) -> WeightSpectrum:
    matrix = parameter.flatten(1)
    n, d = matrix.shape
    wide, scale = scaled(matrix if n <= d else matrix.mT)
    eigenvalues = gram_eigenvalues(wide, _lower_gram(wide)).sort(descending=True).values
    metrics = spectral_metrics(eigenvalues, n=n, d=d, eps=torch.finfo(parameter.dtype).eps)
    sigma = (eigenvalues.sqrt() * scale.squeeze()).tolist()
    values = {name: value.item() for name, value in metrics.items() if name != "soft_rank"}
    return WeightSpectrum(
        shape=tuple(parameter.shape),
        rows=n,
        columns=d,
        frobenius_norm=math.hypot(*sigma),
        sigma_max=sigma[0],
        sigma_min=sigma[-1],
        singular_values=tuple(sigma),
        **values,
    )


def _lower_gram(x: Float[Tensor, "n d"]) -> Float[Tensor, "n n"]:
    """The lower triangle of ``x @ x.mT``, which is all that ``eigvalsh`` reads, for two thirds of the price."""
    gram = x.new_zeros((x.shape[0], x.shape[0]))
    for start in range(0, x.shape[0], _BLOCK):
        stop = start + _BLOCK
        gram[start:stop, :stop] = x[start:stop] @ x[:stop].mT
    return gram
