"""The metrics from their definitions, in 50 digits and by loops, on the matrix as it is stored."""

import mpmath
import torch
from mpmath import mpf

mpmath.mp.dps = 50


def matrix(x: torch.Tensor) -> mpmath.matrix:
    return mpmath.matrix([[mpf(float(entry)) for entry in row] for row in x.double().tolist()])


def centred(a: mpmath.matrix) -> mpmath.matrix:
    b = a.copy()
    for j in range(a.cols):
        mean = mpmath.fsum(a[i, j] for i in range(a.rows)) / a.rows
        for i in range(a.rows):
            b[i, j] -= mean
    return b


def eigenvalues(a: mpmath.matrix) -> list[mpf]:
    """Squares of the min(n, d) singular values."""
    tall = a if a.rows >= a.cols else a.T
    return [s**2 for s in mpmath.svd_r(tall, compute_uv=False)]


def isometry_gap(a: mpmath.matrix) -> mpf:
    e = eigenvalues(a)
    return mpmath.log(mpmath.fsum(e) / len(e)) - mpmath.fsum(mpmath.log(v) for v in e) / len(e)


def orthogonality_gap(a: mpmath.matrix) -> mpf:
    e = eigenvalues(a)
    total = mpmath.fsum(e)
    return mpmath.sqrt(mpmath.fsum((v / total - mpf(1) / len(e)) ** 2 for v in e))


def participation_ratio(a: mpmath.matrix) -> mpf:
    e = eigenvalues(a)
    return mpmath.fsum(e) ** 2 / mpmath.fsum(v**2 for v in e)


def effective_rank(a: mpmath.matrix) -> mpf:
    e = eigenvalues(a)
    shares = [v / mpmath.fsum(e) for v in e]
    return mpmath.exp(-mpmath.fsum(p * mpmath.log(p) for p in shares if p > 0))


def stable_rank(a: mpmath.matrix) -> mpf:
    e = eigenvalues(a)
    return mpmath.fsum(e) / max(e)


def numerical_rank(a: mpmath.matrix, eps: float) -> int:
    sigma = [mpmath.sqrt(v) for v in eigenvalues(a)]
    return sum(s > max(a.rows, a.cols) * mpf(eps) * max(sigma) for s in sigma)


def soft_rank(a: mpmath.matrix, tau: float = 0.5, relative_to: str = "features") -> int:
    e = eigenvalues(a)
    e += [mpf(0)] * (a.cols - len(e) if relative_to == "features" else 0)
    return sum(v >= mpf(tau) * mpmath.fsum(e) / len(e) for v in e)


def condition_number(a: mpmath.matrix) -> mpf:
    e = eigenvalues(a)
    return mpmath.sqrt(max(e) / min(e))


def cosines(a: mpmath.matrix) -> list[mpf]:
    """Over all pairs of different rows that are not zero."""
    rows = [[a[i, j] for j in range(a.cols)] for i in range(a.rows)]
    rows = [row for row in rows if any(v != 0 for v in row)]
    found = []
    for i, left in enumerate(rows):
        for right in rows[i + 1 :]:
            inner = mpmath.fsum(u * v for u, v in zip(left, right, strict=True))
            found.append(inner / mpmath.sqrt(mpmath.fsum(u * u for u in left) * mpmath.fsum(v * v for v in right)))
    return found


def mean_cosine(a: mpmath.matrix) -> mpf:
    c = cosines(a)
    return mpmath.fsum(c) / len(c)


def mean_abs_cosine(a: mpmath.matrix) -> mpf:
    c = cosines(a)
    return mpmath.fsum(abs(v) for v in c) / len(c)


def mean_square_cosine(a: mpmath.matrix) -> mpf:
    c = cosines(a)
    return mpmath.fsum(v**2 for v in c) / len(c)


def distinction(a: mpmath.matrix) -> mpf:
    total = mpmath.fsum(v**2 for v in a)
    means = [mpmath.fsum(a[i, j] for i in range(a.rows)) / a.rows for j in range(a.cols)]
    return 1 - a.rows * mpmath.fsum(m**2 for m in means) / total
