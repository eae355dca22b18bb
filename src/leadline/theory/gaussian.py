"""Expectations over Gaussian pre-activations, by quadrature that splits at kinks."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from leadline.theory.activations import Activation, ArrayFunction, activation

# Beyond 12 standard deviations the density is below 1e-31.
_REACH = 12.0
# Up to this standard deviation panels of one size resolve the argument; beyond, they would be too many.
_FINE = 3.0
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(16)


def expectation(
    function: ArrayFunction, *, mean: ArrayLike = 0.0, std: ArrayLike = 1.0, breakpoints: tuple[float, ...] = ()
) -> NDArray[np.float64]:
    r"""Expectation of a function of a Gaussian.

    $$\mathrm{E}\, f(\mu + \sigma z) = \int f(\mu + \sigma z)\, e^{-z^2/2} \frac{dz}{\sqrt{2\pi}}$$

    by Gauss-Legendre panels of 16 nodes between the breakpoints, at most one wide both in $z$ and, for
    $|\mu + \sigma z| \le 40$, in the argument of $f$, so that a steep step at $\sigma \gg 1$ is resolved too.

    Args:
        function: $f$, of a float64 array of any shape; grows at most polynomially.
        mean: $\mu$, any shape.
        std: $\sigma \ge 0$, of a shape that broadcasts with ``mean``.
        breakpoints: Where $f$ or one of its derivatives jumps.

    Returns:
        The expectation in the broadcast shape of ``mean`` and ``std``. Absolute error about 1e-14 for functions that
        are analytic within a distance of about one of the real line between the breakpoints; $f(\mu)$ at
        $\sigma = 0$. Functions that oscillate beyond 40 (``sin``) are resolved to 1e-10 up to $\sigma$ = 12.

    Example:
        >>> float(expectation(lambda x: x**4).round(12))
        3.0
        >>> expectation(np.abs, std=[1.0, 100.0], breakpoints=(0.0,)) * np.sqrt(np.pi / 2)
        array([  1., 100.])
    """
    mu, sigma = np.broadcast_arrays(np.asarray(mean, np.float64), np.asarray(std, np.float64))
    mu, sigma = mu[..., None], sigma[..., None]
    marks, outer = np.asarray(breakpoints, np.float64), grid(float(sigma.max(initial=0.0)))
    if sigma.max(initial=0.0) > _FINE:
        marks = np.union1d(np.arange(-40.0, 41.0), marks)
    with np.errstate(divide="ignore", invalid="ignore"):
        inner = np.nan_to_num(np.clip((marks - mu) / sigma, -_REACH, _REACH))
    outer = np.broadcast_to(outer, (*inner.shape[:-1], len(outer)))
    edges = np.sort(np.concatenate([inner, outer], axis=-1), axis=-1)
    return integrate(lambda z: function(mu[..., None] + sigma[..., None] * z) * _density(z), edges)


def grid(std: float) -> NDArray[np.float64]:
    """Edges of panels of z, one wide in z, and in std · z too unless ``std`` is large."""
    panels = 2 * int(_REACH) * max(1, math.ceil(std) if std <= _FINE else 1)
    return np.linspace(-_REACH, _REACH, panels + 1)


def integrate(function: ArrayFunction, edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Integral of ``function`` over the panels between the last axis of ``edges``, 16 Gauss-Legendre nodes each.

    >>> float(integrate(np.square, np.array([0.0, 1.0, 3.0])))
    9.0
    """
    half = np.diff(edges, axis=-1)[..., None] / 2
    centre = (edges[..., 1:] + edges[..., :-1])[..., None] / 2
    return np.asarray(np.sum(function(centre + half * _NODES) * _WEIGHTS * half, axis=(-2, -1)))


def _density(z: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.exp(-np.square(z) / 2) / np.sqrt(2 * np.pi)


@dataclass(frozen=True, kw_only=True)
class Moments:
    r"""What theory needs to know of an activation $\varphi$ at a pre-activation $x = \sigma z$, $z \sim N(0, 1)$.

    Attributes:
        mean: $\mathrm{E}\,\varphi(x)$.
        second: $\mathrm{E}\,\varphi(x)^2$.
        slope_second: $\mathrm{E}\,\varphi'(x)^2$.
        linear: $c = \mathrm{E}\,z\varphi(x)$, the linear part.
    """

    mean: float
    second: float
    slope_second: float
    linear: float

    @property
    def variance(self) -> float:
        r"""$\mathrm{Var}\,\varphi(x)$."""
        return self.second - self.mean**2

    @property
    def nonlinear(self) -> float:
        r"""Variance of $\varphi$ that no straight line explains, $\mathrm{Var}\,\varphi - c^2 \ge 0$."""
        return max(self.variance - self.linear**2, 0.0)


def moments(phi: str | Activation, *, std: float = 1.0) -> Moments:
    r"""Moments of an activation and of its derivative at a Gaussian pre-activation.

    The linear part is taken by Stein's identity for continuous activations,
    $\mathrm{E}\,z\varphi(\sigma z) = \sigma\,\mathrm{E}\,\varphi'(\sigma z)$.

    Args:
        phi: The activation or its name.
        std: Standard deviation of the pre-activation.

    Returns:
        The moments, to about 1e-14 for activations as smooth as ``expectation`` asks for. Of oscillating ones
        (``sin``) the squares are resolved to 1e-11 up to $\sigma$ = 15, to 3e-7 at 20, and not beyond.

    Raises:
        UsageError: If no activation has that name.

    Example:
        >>> relu = moments("relu")
        >>> round(relu.second, 12), round(relu.mean**2 * 2 * np.pi, 12)
        (0.5, 1.0)
    """
    phi = activation(phi)

    def expect(function: ArrayFunction) -> float:
        return float(expectation(function, std=std, breakpoints=phi.breakpoints))

    return Moments(
        mean=expect(phi.function),
        second=expect(lambda x: np.square(phi.function(x))),
        slope_second=expect(lambda x: np.square(phi.derivative(x))),
        linear=std * expect(phi.derivative),
    )
