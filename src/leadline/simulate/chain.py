"""The design of a deep network whose layers are all alike: weights, skip, normalisation, activation."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from leadline._core.errors import UsageError
from leadline._core.names import check_choice
from leadline.simulate.normalisation import NORMS, normalised

ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "identity": lambda x: x,
    "relu": torch.relu,
    "leaky_relu": F.leaky_relu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "gelu": F.gelu,
    "silu": F.silu,
    "elu": F.elu,
    "selu": torch.selu,
    "celu": torch.celu,
    "softplus": F.softplus,
    "mish": F.mish,
    "hard_swish": F.hardswish,
    "hard_tanh": F.hardtanh,
    "relu6": F.relu6,
    "sin": torch.sin,
    "softsign": F.softsign,
}
ORDERS = ("linear-norm-activation", "linear-activation-norm", "activation-linear-norm")
WEIGHTS = ("haar", "gaussian")


@dataclass(frozen=True, kw_only=True)
class Chain:
    r"""A deep network of ``depth`` layers of one width, without biases.

    In the order ``"linear-norm-activation"`` layer $l = 1, \dots, L$ maps columns $h$ (one a sample) to

    $$h' = \phi\bigl(l^{-k}\,\mathrm{N}(z)\bigr), \qquad z = W_l h,$$

    or, with a skip, $z = h + \gamma W_l h$.

    ``"linear-activation-norm"`` is $\mathrm{N}(\phi(l^{-k} z))$, and ``"activation-linear-norm"`` is
    $\mathrm{N}(z)$ with $z$ of $\phi(l^{-k} h)$.

    | design | as a chain |
    |---|---|
    | Meterez et al. 2023, eq. 3 | Haar weights, ``"batch"``; eq. 11 with an activation, ``centred``, $k = 0.4$ |
    | Daneshmand et al. 2021, eq. 1 | Gaussian weights, ``"batch"``; App. F in the order ``"activation-linear-norm"`` |
    | Daneshmand et al. 2020 | Gaussian weights, ``"batch"``; a skip $\gamma$ there is $\gamma\sqrt d$ here |
    | an unnormalised linear network, up to its scale | ``"batch"`` with ``alpha=0`` |

    Attributes:
        width: Features $d$.
        depth: Layers $L$.
        weights: Law of the $W_l$: ``"haar"`` (orthogonal) or ``"gaussian"`` (entries of variance $1/d$).
        gain: Factor on every $W_l$.
        norm: ``"none"``, ``"batch"``, ``"layer"`` or ``"rms"``.
        alpha: Exponent of ``"batch"``: 1 is batch normalisation, less is fractional.
        centred: Whether ``"batch"`` subtracts the mean over samples; in the theory of the papers it does not.
        eps: Added to mean squares in a normalisation.
        activation: A key of ``ACTIVATIONS``.
        order: One of ``ORDERS``.
        skip: $\gamma$; ``None`` is a network without skips.
        gain_exponent: $k$ of the gains before the activations.

    Raises:
        UsageError: If a size is below 1, a name unknown, ``alpha`` outside [0, 1], ``eps`` negative, or a number not
            finite.

    Source:
        meterez2023, eqs. 3 and 11; daneshmand2021, eq. 1; daneshmand2020, Section 3. These put one sample a column, as
        here; their batch normalisations have rows of length 1 or $1/\sqrt d$, here every feature has mean square 1.

    Example:
        >>> Chain(width=100, depth=20, activation="tanh", gain_exponent=0.4).norm
        'batch'
    """

    width: int
    depth: int
    weights: str = "haar"
    gain: float = 1.0
    norm: str = "batch"
    alpha: float = 1.0
    centred: bool = False
    eps: float = 0.0
    activation: str = "identity"
    order: str = "linear-norm-activation"
    skip: float | None = None
    gain_exponent: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what is no network."""
        if self.width < 1 or self.depth < 1:
            raise UsageError(f"A chain needs width >= 1 and depth >= 1, got {self.width} and {self.depth}.")
        if not 0 <= self.alpha <= 1:
            raise UsageError(f"alpha must lie in [0, 1], got {self.alpha}.")
        for name in ("gain", "eps", "skip", "gain_exponent"):
            value = getattr(self, name)
            if value is not None and not math.isfinite(value):
                raise UsageError(f"{name} must be finite, got {value}.")
        if self.eps < 0:
            raise UsageError(f"eps must be at least 0, got {self.eps}.")
        check_choice("weights", self.weights, WEIGHTS)
        check_choice("norm", self.norm, NORMS)
        check_choice("activation", self.activation, ACTIVATIONS)
        check_choice("order", self.order, ORDERS)

    def head(self, h: Tensor, layer: int) -> Tensor:
        """What layer ``layer`` (from 1) multiplies with its weights."""
        return self._activated(h, layer) if self.order == "activation-linear-norm" else h

    def tail(self, z: Tensor, layer: int) -> Tensor:
        """What layer ``layer`` (from 1) makes of its product."""
        if self.order == "linear-activation-norm":
            return self._normalised(self._activated(z, layer))
        z = self._normalised(z)
        return z if self.order == "activation-linear-norm" else self._activated(z, layer)

    def _normalised(self, z: Tensor) -> Tensor:
        return normalised(z, self.norm, alpha=self.alpha, centred=self.centred, eps=self.eps)

    def _activated(self, z: Tensor, layer: int) -> Tensor:
        return ACTIVATIONS[self.activation](z * layer**-self.gain_exponent if self.gain_exponent else z)
