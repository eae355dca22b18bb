"""Dense linear networks with (fractional) batch normalisation in plain NumPy; rows are samples."""

import math

import numpy as np


def haar(rng: np.random.Generator, d: int, draws: tuple[int, ...] = ()) -> np.ndarray:
    q, r = np.linalg.qr(rng.standard_normal((*draws, d, d)))
    return q * np.sign(np.diagonal(r, axis1=-2, axis2=-1))[..., None, :]


def weight(rng: np.random.Generator, d: int, weights: str, draws: tuple[int, ...] = ()) -> np.ndarray:
    return haar(rng, d, draws) if weights == "haar" else rng.standard_normal((*draws, d, d)) / math.sqrt(d)


def scales(y: np.ndarray, alpha: float = 1.0) -> np.ndarray:
    """What fractional batch normalisation divides each feature by; root mean squares."""
    squares = np.mean(y**2, axis=-2)
    return squares ** (alpha / 2) * squares.mean(axis=-1, keepdims=True) ** ((1 - alpha) / 2)


def backward(delta: np.ndarray, y: np.ndarray, alpha: float = 1.0) -> np.ndarray:
    """The gradient at ``y`` from that at its normalised value."""
    delta = delta / scales(y, alpha)
    along = np.sum(delta * y, axis=0)
    own = alpha * y * along / np.sum(y**2, axis=0)
    return delta - own - (1 - alpha) * y * along.sum() / np.sum(y**2)


def forward(x: np.ndarray, depth: int, rng: np.random.Generator, *, weights: str = "haar", alpha: float = 1.0) -> list:
    """Layers as (input, weight, pre-activation), and the output at the end."""
    layers = []
    for _ in range(depth):
        w = weight(rng, x.shape[1], weights)
        y = x @ w.T
        layers.append((x, w, y))
        x = y / scales(y, alpha)
    return [*layers, x]


def spectrum(x: np.ndarray) -> np.ndarray:
    return np.linalg.svd(x, compute_uv=False) ** 2


def gap(x: np.ndarray) -> float:
    values = spectrum(x)
    return float(np.log(values.mean()) - np.log(values).mean())


def growth(
    n: int, d: int, *, alpha: float, weights: str, depth: int, seed: int, networks: int = 32
) -> tuple[float, float]:
    """Mean growth of the log-norm of a tangent per layer and its standard error over networks, from isometry.

    The Jacobian and its transpose have the same exponents, so that nothing need be stored.
    """
    rng = np.random.default_rng(seed)
    x = math.sqrt(max(n, d)) * haar(rng, max(n, d), (networks,))[:, :n, :d]
    dx, total = rng.standard_normal((networks, n, d)), np.zeros(networks)
    for layer in range(depth):
        w = np.swapaxes(weight(rng, d, weights, (networks,)), -2, -1)
        y, dy = x @ w, dx @ w
        dx = tangent(dy, y, alpha)
        x = y / scales(y, alpha)[..., None, :]
        size = np.linalg.norm(dx, axis=(-2, -1))
        total += np.log(size) if layer >= depth // 4 else 0.0
        dx /= size[:, None, None]
    rates = total / (depth - depth // 4)
    return float(rates.mean()), float(rates.std(ddof=1) / math.sqrt(networks))


def tangent(dy: np.ndarray, y: np.ndarray, alpha: float = 1.0) -> np.ndarray:
    squares, along = np.sum(y**2, axis=-2, keepdims=True), np.sum(dy * y, axis=-2, keepdims=True)
    shared = along.sum(axis=-1, keepdims=True) / squares.sum(axis=-1, keepdims=True)
    return (dy - alpha * y * along / squares - (1 - alpha) * y * shared) / scales(y, alpha)[..., None, :]
