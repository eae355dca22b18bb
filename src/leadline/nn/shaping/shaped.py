"""Any activation shaped for a depth, in closed form: near enough to a straight line that signals survive."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from leadline._core.errors import UsageError
from leadline.nn.activations import GELUTanh, Sin
from leadline.nn.shaping.adapted import Elementwise, without_inplace
from leadline.nn.shaping.root import root
from leadline.nn.shaping.split import Split, split
from leadline.theory import orthogonal_identity_rate

# Their backward does not need their output, which may so be changed in place.
_SAVES_ITS_INPUT_ONLY = (nn.GELU, GELUTanh, nn.SiLU, nn.Softplus, nn.Mish, nn.Hardswish, nn.Hardtanh, nn.ReLU6, Sin)
_NO_SIGN = 1e-9  # of E x³φ⊥: below it rounding, as for activations whose rest is even


class ShapedActivation(nn.Module):
    r"""$\varphi_\eta(x) = \sqrt{1-\eta}\,x \pm \sqrt\eta\,\varphi_\perp(x)$, computed as $a\,x + b\,\varphi(x) + k$.

    Made by ``leadline.shape``. It keeps unit variance and zero mean at a standard normal and has mean squared slope
    ``chi``. Parameters of the activation stay learnable; the split is that of their values when it was made.

    Attributes:
        activation: $\varphi$.
        depth: Layers it is shaped for.
        budget: $B$, what the log mean squared slopes may add up to.
        normalised: Whether a normalisation precedes it.
        split: $m$, $c$, $s$, $\chi_\perp$ of $\varphi$.
        eta: $\eta$, the share of the variance that is not linear.
        chi: $\chi = 1 + \eta(\chi_\perp - 1)$.
        sign: The sign of $\varphi_\perp$.
    """

    def __init__(
        self, activation: Elementwise, parts: Split, *, depth: int, budget: float, normalised: bool, eta: float
    ):
        super().__init__()
        self.activation = without_inplace(activation)
        self.split, self.depth, self.budget, self.normalised, self.eta = parts, depth, budget, normalised, eta
        self.chi = 1 + eta * (parts.slope - 1)
        self.sign = _sign(parts, normalised)
        self.of_phi = 0.0 if eta == 0 else self.sign * math.sqrt(eta) / parts.scale
        self.of_x = math.sqrt(1 - eta) - self.of_phi * parts.linear
        self.constant = -self.of_phi * parts.mean
        self._slope = _negative_slope(self.activation)

    def forward(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """The shaped activation of every entry, in the dtype of ``x``."""
        if self.of_phi == 0:
            return x
        at_right = self.of_x + self.of_phi
        if self._slope is not None and at_right != 0:
            # Two straight pieces are a leaky ReLU, scaled and shifted in place: its backward needs x only.
            pieces = F.leaky_relu(x, (self.of_x + self.of_phi * self._slope) / at_right)
            return pieces.mul_(at_right).add_(self.constant)
        if type(self.activation) in _SAVES_ITS_INPUT_ONLY:
            return _affine_(self.activation(x), self.of_phi, self.constant).add_(x, alpha=self.of_x)
        # A sum with scalar factors saves nothing for the backward pass, so that the second may be taken in place.
        constant = torch.tensor(self.constant, dtype=x.dtype)
        return torch.add(constant, self.activation(x), alpha=self.of_phi).add_(x, alpha=self.of_x)

    def gradient_growth(self, *, n: int | None = None, d: int | None = None) -> float:
        r"""Growth of the log gradient norm over all layers, towards the input, behind batch normalisation.

        $$\tfrac{L}{2} \log \chi + L\,r(n, d)$$

        The second part, that of the identity network with Haar weights at batch ``n`` and width ``d``, is there
        whatever the activation: shaping cannot lower it. It is 0 for $n \ge d$ (subtracting the mean costs one
        sample); a larger batch, or ``FractionalBatchNorm1d`` in place of batch normalisation, lowers it. Gaussian
        weights add a part of their own.

        Args:
            n: Samples of a batch, at least 3; without it the first part alone.
            d: Width, at least 3; needs ``n``.

        Returns:
            Nats over the whole depth; equal shares of all layers are assumed, so residual networks grow less.

        Raises:
            UsageError: If one of ``n`` and ``d`` is missing.
            AssumptionError: If either is below 3.

        Example:
            >>> act = shape(nn.ReLU(), 1000)
            >>> round(act.gradient_growth(), 3), round(act.gradient_growth(n=50, d=100), 2)
            (0.5, 5.65)
        """
        if (n is None) != (d is None):
            raise UsageError(f"Growth at a finite batch needs both n and d; got n={n} and d={d}.")
        rate = 0.0 if n is None or d is None else orthogonal_identity_rate(n=n, d=d)
        return self.depth * (0.5 * math.log(self.chi) + rate)

    def extra_repr(self) -> str:
        """What it was shaped for, and what that gave."""
        here = f"depth={self.depth}, budget={self.budget}, eta={self.eta:.4g}, chi={self.chi:.6g}"
        if not isinstance(self.activation, nn.Module):
            here = f"{self.split.name}, {here}"
        if not self.normalised:
            return f"{here}, normalised=False"
        return f"{here}; not lowered: growth of the identity at finite batch, see gradient_growth"


def shape(
    activation: Elementwise,
    depth: int,
    budget: float = 1.0,
    normalised: bool = True,
    *,
    branch_shares: Sequence[float] | None = None,
) -> ShapedActivation:
    r"""An activation shaped for a depth: any elementwise $\varphi$, in closed form.

    With $\varphi(x) = m + c x + s\varphi_\perp(x)$ at $x \sim N(0, 1)$,

    $$\varphi_\eta = \sqrt{1-\eta}\,x \pm \sqrt\eta\,\varphi_\perp, \qquad
      \chi = \mathrm{E}\,\varphi_\eta'^2 = 1 + \eta(\chi_\perp - 1), \qquad
      \eta = \frac{e^{B/L} - 1}{\chi_\perp - 1},$$

    so $\chi^L = e^B$ exactly. $\eta$ is at most $\varphi$'s own share, where $\varphi_\eta$ is $\pm\varphi$
    standardised: shallow networks get that.

    * Behind batch normalisation the log gradient norm grows by $B/2$ over the depth. Beyond that it grows by what the
      identity network grows at that batch size, width and law of weights; no activation lowers it, and
      ``ShapedActivation.gradient_growth`` says how much it is and what would.
    * Without normalisation (``normalised=False``; weights of variance 1/fan_in or orthogonal ones, inputs of unit
      mean square) variance one is a fixed point, $C(0) = 0$ and $C'(1)^L = e^B$. The sign is that with
      $\mathrm{E}\,x^3\varphi_\perp \le 0$, for which lengths return to one.
    * In residual networks give ``branch_shares``, $\lambda_l = \mathrm{Var}(\text{branch})/\mathrm{Var}(\text{stream
      behind it})$ of every block; $\chi$ then solves $\sum_l \log(1 + \lambda_l(\chi - 1)) = B$. Measured growth is
      4 to 12 % above it for branches that end in a linear map, and up to 65 % where they end in the activation, whose
      outputs do not add up as independent ones do.

    Args:
        activation: A module or callable, tensor to tensor of the same shape. It is not changed; parameters are shared.
        depth: Layers $L$ (or blocks) that the activation is used in, at least 1.
        budget: $B > 0$ in nats.
        normalised: Whether pre-activations are normalised.
        branch_shares: $\lambda_l$ in (0, 1], one for each of the ``depth`` blocks.

    Returns:
        The module. A straight line is given back standardised ($x$ itself) with ``eta`` 0.

    Raises:
        UsageError: If ``depth`` or ``budget`` is not positive, the shares do not fit, or the activation is constant,
            jumps, is not finite or not elementwise, or its mean squared slope is infinite.

    Source:
        leadline, shaping any activation; the controlled quantity is that of martens2021 and zhang2022.

    Example:
        >>> act = shape(nn.GELU(), 1000)
        >>> round(act.chi**1000, 9) == round(math.e, 9)
        True
        >>> shape(nn.Identity(), 1000).eta
        0.0
    """
    if depth < 1 or not budget > 0:
        raise UsageError(f"depth must be at least 1 and budget above 0; got depth={depth} and budget={budget}.")
    parts = split(activation)
    eta = 0.0 if parts.scale == 0 else _share(parts, depth, budget, branch_shares)
    return ShapedActivation(activation, parts, depth=depth, budget=budget, normalised=normalised, eta=eta)


def _affine_(y: Tensor, factor: float, constant: float) -> Tensor:
    """``factor * y + constant`` in place: in one pass, as a weighted mean, where that loses no digits."""
    if constant == 0 or abs(1 - factor) < 0.5:
        return y.mul_(factor).add_(constant) if constant else y.mul_(factor)
    return y.lerp_(torch.tensor(constant / (1 - factor), dtype=y.dtype), 1 - factor)


def _share(parts: Split, depth: int, budget: float, branch_shares: Sequence[float] | None) -> float:
    most = parts.own_share * (parts.slope - 1)
    if branch_shares is None:
        excess = math.expm1(budget / depth) if budget / depth < math.log1p(most) else most
        return excess / (parts.slope - 1)
    shares = np.asarray(branch_shares, np.float64)
    if shares.shape != (depth,) or not ((shares > 0) & (shares <= 1)).all():
        raise UsageError(f"branch_shares must be {depth} numbers in (0, 1], one a block; got {list(branch_shares)}.")

    def over_budget(excess: float) -> float:
        return float(np.log1p(shares * excess).sum()) - budget

    excess = most if over_budget(most) <= 0 else root(over_budget, 0.0, most)
    return excess / (parts.slope - 1)


def _sign(parts: Split, normalised: bool) -> float:
    if normalised or abs(parts.cubic) < _NO_SIGN:
        return math.copysign(1.0, parts.linear)
    return -math.copysign(1.0, parts.cubic)


def _negative_slope(activation: Elementwise) -> float | None:
    """Slope left of zero of an activation of two straight pieces, whose right one has slope 1."""
    if type(activation) is nn.ReLU:
        return 0.0
    return float(activation.negative_slope) if isinstance(activation, nn.LeakyReLU) else None
