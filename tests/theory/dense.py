"""Dense linear networks with (fractional) batch normalisation in plain NumPy; rows are samples."""

import math

import numpy as np


def haar(rng: np.random.Generator, d: int) -> np.ndarray:
    q, r = np.linalg.qr(rng.standard_normal((d, d)))
    return q * np.sign(np.diag(r))


def weight(rng: np.random.Generator, d: int, weights: str) -> np.ndarray:
    return haar(rng, d) if weights == "haar" else rng.standard_normal((d, d)) / math.sqrt(d)


def scales(y: np.ndarray, alpha: float = 1.0) -> np.ndarray:
    """What fractional batch normalisation divides each feature by; root mean squares."""
    squares = np.mean(y**2, axis=0)
    return squares ** (alpha / 2) * squares.mean() ** ((1 - alpha) / 2)


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


def growth(n: int, d: int, *, alpha: float, weights: str, depth: int, seed: int) -> tuple[float, float]:
    """Mean growth of the log-norm of a tangent per layer and its standard error, from isometry.

    The Jacobian and its transpose have the same exponents, so that nothing need be stored.
    """
    rng = np.random.default_rng(seed)
    x = math.sqrt(d) * haar(rng, d)[:n] if n <= d else math.sqrt(n) * haar(rng, n)[:, :d]
    dx, steps = rng.standard_normal((n, d)), []
    for _ in range(depth):
        w = weight(rng, d, weights)
        y, dy = x @ w.T, dx @ w.T
        dx = tangent(dy, y, alpha)
        x = y / scales(y, alpha)
        size = np.linalg.norm(dx)
        steps.append(math.log(size))
        dx /= size
    blocks = np.asarray(steps[depth // 5 :])
    blocks = blocks[: len(blocks) // 20 * 20].reshape(20, -1).mean(1)
    return float(blocks.mean()), float(blocks.std(ddof=1) / math.sqrt(20))


def tangent(dy: np.ndarray, y: np.ndarray, alpha: float = 1.0) -> np.ndarray:
    along = np.sum(dy * y, axis=0)
    own = alpha * y * along / np.sum(y**2, axis=0)
    return (dy - own - (1 - alpha) * y * along.sum() / np.sum(y**2)) / scales(y, alpha)
