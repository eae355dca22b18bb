"""The noise of stochastic gradients."""

import numpy as np
import pandas as pd

from leadline import theory
from leadline.studies.claims import Evidence, claim
from leadline.studies.parts import exact, mean


@claim(
    "D1",
    "The squared noise of a step is at most the squared rate over the batch size times the gradients' variance.",
    where="section 3",
    rule="500 gradients in 20 dimensions, batches of 1, 8 and 64, 40,000 batches: with replacement the bound "
    "itself, without it (N-b)/(N-1) of it, within 3 %. 99 % intervals.",
    seconds=4,
    deviations="The paper's (N-b)/N is a bound; exact is (N-b)/(N-1).",
)
def d1(seed: int) -> Evidence:
    rng, parts, rows, count = np.random.default_rng(seed), [], [], 500
    gradients = rng.standard_normal((count, 20)) * np.exp(0.3 * rng.standard_normal((count, 1)))
    centre = gradients.mean(0)
    variance = float(np.mean(np.sum((gradients - centre) ** 2, axis=1)))
    for size in (1, 8, 64):
        for replaced in (True, False):
            if replaced:
                index = rng.integers(count, size=(40_000, size))
            else:
                index = np.argsort(rng.random((40_000, count)), axis=1)[:, :size]
            squares = np.sum((gradients[index].mean(1) - centre) ** 2, axis=1)
            factor = 1.0 if replaced else (count - size) / (count - 1)
            found = squares / (variance / size * factor)
            parts.append(
                mean(
                    f"over the formula, batch {size}, {'with' if replaced else 'without'} replacement",
                    found,
                    least=0.97,
                    most=1.03,
                )
            )
            rows.append({"batch": size, "replaced": replaced, "noise": squares.mean()})
    return Evidence(parts=tuple(parts), data=pd.DataFrame(rows))


@claim(
    "D2",
    "Noise goes with the squared rate over the batch size.",
    where="section 3",
    rule="The formula with replacement: four times at twice the rate, twice at half the batch, to 1e-12.",
    seconds=0.1,
)
def d2(seed: int) -> Evidence:
    def noise(rate: float, batch: int) -> float:
        return theory.step_noise(1.0, batch=batch, learning_rate=rate)

    return Evidence(
        parts=(
            exact("twice the rate", noise(0.2, 32) / noise(0.1, 32), least=4 - 1e-12, most=4 + 1e-12),
            exact("half the batch", noise(0.1, 16) / noise(0.1, 32), least=2 - 1e-12, most=2 + 1e-12),
        ),
        data=pd.DataFrame({"noise": [noise(0.1, 32)]}),
    )
