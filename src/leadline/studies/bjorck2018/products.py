"""Products of Gaussian matrices: their singular values, and how ill conditioned they are."""

import math

import numpy as np
import pandas as pd
from scipy.integrate import quad

from leadline import theory
from leadline.studies.claims import Evidence, claim
from leadline.studies.parts import exact, mean


def singular_values(size: int, factors: int, rng: np.random.Generator) -> np.ndarray:
    x = np.eye(size)
    for _ in range(factors):
        x = x @ rng.standard_normal((size, size)) / math.sqrt(size)
    return np.linalg.svd(x, compute_uv=False)


@claim(
    "D3",
    "The singular values of a product of M Gaussian matrices have a known density.",
    where="section 4 and fig. 7",
    rule="M = 1, 2, 3, 5 by quadrature: mass 1 and mean square 1 to 1e-6, edge sqrt((M+1)^(M+1)/M^M) to 1e-12.",
    seconds=1,
    deviations="The density of the paper is of squared singular values; its figure shows singular values.",
)
def d3(seed: int) -> Evidence:
    rows = []
    for m in (1, 2, 3, 5):
        edge = theory.product_edge(m)

        def moment(power: int, m: int = m, edge: float = edge) -> float:
            # s = edge sin² t takes the singular ends away.
            def value(t: float) -> float:
                s = edge * math.sin(t) ** 2
                return float(theory.product_density(s, factors=m)) * s**power * edge * math.sin(2 * t)

            return quad(value, 0, math.pi / 2, limit=400)[0]

        known = math.sqrt((m + 1) ** (m + 1) / m**m)
        rows.append({"factors": m, "mass": moment(0), "mean square": moment(2), "edge": edge / known})
    data = pd.DataFrame(rows)
    parts = [
        exact(
            f"largest deviation of {name}",
            np.abs(data[name].to_numpy() - 1).max(),
            most=1e-12 if name == "edge" else 1e-6,
        )
        for name in ("mass", "mean square", "edge")
    ]
    return Evidence(parts=tuple(parts), data=data)


@claim(
    "D4",
    "Finite products follow it.",
    where="fig. 7",
    rule="400 x 400, M = 1, 3, 5, six products each: share of singular values below .1 within .01 of .064, .269 and"
    " .413. 99 % intervals.",
    seconds=6,
)
def d4(seed: int) -> Evidence:
    rng, parts, rows = np.random.default_rng(seed), [], []
    for m, expected in ((1, 0.064), (3, 0.269), (5, 0.413)):
        shares = [np.mean(singular_values(400, m, rng) < 0.1) for _ in range(6)]
        parts.append(mean(f"share below .1, M = {m}", shares, least=expected - 0.01, most=expected + 0.01))
        rows += [{"factors": m, "share": share} for share in shares]
    return Evidence(parts=tuple(parts), data=pd.DataFrame(rows))


@claim(
    "D5",
    "Products are the worse conditioned the more factors they have, whatever the scale.",
    where="section 4",
    rule="N = 64, M = 1, 3, 5, 1000 products: mean log10 of the condition number within .25 of 2.45, 5.09 and 7.65; "
    "a scale changes it by no more than 1e-9. 99 % intervals.",
    seconds=3,
    deviations="Means of logarithms in place of medians.",
)
def d5(seed: int) -> Evidence:
    rng, parts, rows = np.random.default_rng(seed), [], []
    for m, expected in ((1, 2.45), (3, 5.09), (5, 7.65)):
        conditions = []
        for _ in range(1000):
            s = singular_values(64, m, rng)
            conditions.append(math.log10(s[0] / s[-1]))
        parts.append(
            mean(f"log10 of the condition number, M = {m}", conditions, least=expected - 0.25, most=expected + 0.25)
        )
        rows += [{"factors": m, "log10 condition": value} for value in conditions]
    x = rng.standard_normal((64, 64))
    change = np.linalg.cond(1e6 * x) / np.linalg.cond(x) - 1
    parts.append(exact("change by a scale", abs(change), most=1e-9))
    return Evidence(parts=tuple(parts), data=pd.DataFrame(rows))
