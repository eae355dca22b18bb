"""Statements on one layer: ranges, lemmas 4 and 6 to 8, theorem 5, and the integrals behind them."""

import math

import numpy as np
import pandas as pd
import torch

from leadline import theory
from leadline.metrics import orthogonality_gap
from leadline.simulate import LazyGaussian
from leadline.studies.claims import Evidence, claim
from leadline.studies.parts import exact, mean


def spectra(n: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """Spectra of sum 1 from nearly flat to nearly of rank one."""
    spread = np.exp(rng.uniform(-3, 2, (count, 1)))
    values = np.exp(spread * rng.standard_normal((count, n)))
    return values / values.sum(1, keepdims=True)


def grams(spectrum: np.ndarray, *, d: int, draws: int, seed: int) -> np.ndarray:
    """Gram matrices of sum 1 behind one layer of Gaussian weights, in the basis where that before it is diagonal."""
    x = torch.zeros(d, len(spectrum), dtype=torch.float64)
    x[: len(spectrum)] = torch.from_numpy(np.diag(np.sqrt(spectrum)))
    w = LazyGaussian(d, d, draws=(draws,), generator=torch.Generator().manual_seed(seed))
    y = w.matmul(x.expand(draws, -1, -1))
    y = y / torch.linalg.vector_norm(y, dim=-1, keepdim=True) / math.sqrt(d)
    return (y.mT @ y).numpy()


@claim(
    "B1",
    "Behind a layer every representation has Frobenius norm 1, whatever came in.",
    where="eq. 1",
    rule="200 inputs of sizes over ten decades: largest deviation at most 1e-12.",
    seconds=0.1,
)
def b1(seed: int) -> Evidence:
    rng = np.random.default_rng(seed)
    deviations = []
    for _ in range(200):
        n, d = rng.integers(2, 20), rng.integers(20, 60)
        h = rng.standard_normal((d, n)) * 10.0 ** rng.uniform(-5, 5, (1, n))
        y = rng.standard_normal((d, d)) @ h
        deviations.append(abs(np.linalg.norm(y / np.linalg.norm(y, axis=1, keepdims=True) / math.sqrt(d)) - 1))
    return Evidence(
        parts=(exact("largest deviation from 1", max(deviations), most=1e-12),),
        data=pd.DataFrame({"deviation": deviations}),
    )


@claim(
    "B2",
    "The orthogonality gap lies between 0 and sqrt(1 - 1/n), and reaches both.",
    where="eq. 2",
    rule="2000 random representations: none outside by more than 1e-12; orthogonal samples give 0, equal ones the "
    "maximum, to 1e-12.",
    seconds=1,
)
def b2(seed: int) -> Evidence:
    generator = torch.Generator().manual_seed(seed)
    shares = []
    for n in range(2, 22):
        x = torch.randn(100, n, 24, generator=generator, dtype=torch.float64)
        x[:, 1:] = x[:, :1] + torch.linspace(0, 3, 100, dtype=torch.float64)[:, None, None] ** 3 * x[:, 1:]
        shares.append((orthogonality_gap(x) / math.sqrt(1 - 1 / n)).numpy())
    share = np.concatenate(shares)
    flat = float(orthogonality_gap(torch.eye(5, 9, dtype=torch.float64)))
    return Evidence(
        parts=(
            exact("largest share of the maximum", share.max(), least=1 - 1e-9, most=1 + 1e-12),
            exact("smallest share of the maximum", share.min(), least=-1e-12),
            exact("gap of orthogonal samples", flat, most=1e-12),
        ),
        data=pd.DataFrame({"share": share}),
    )


@claim(
    "B7",
    "Theorem 5: the smallest eigenvalue's deficit contracts in expectation, up to 1/sqrt d; sharper with 2n/(n+2) "
    "for 2/3.",
    where="theorem 5",
    rule="60 spectra each of n = 2, 4, 8 at d = 1024, 200 draws: no mean above the sharp bound by four standard "
    "errors; and, as the noise 1/sqrt d is generous, the mean deficit's expectation obeys the sharp "
    "contraction without it.",
    seconds=6,
)
def b7(seed: int) -> Evidence:
    rng, rows = np.random.default_rng(seed), []
    for n in (2, 4, 8):
        for i, spectrum in enumerate(spectra(n, 60, rng)):
            found = grams(spectrum, d=1024, draws=200, seed=int(rng.integers(2**31)))
            deficits = 1 / n - np.linalg.eigvalsh(found)[:, 0]
            rows.append(
                {
                    "n": n,
                    "spectrum": i,
                    "mean": deficits.mean(),
                    "error": deficits.std(ddof=1) / math.sqrt(200),
                    "loose": theory.deficit_step_bound(spectrum, d=1024, form="loose"),
                    "sharp": theory.deficit_step_bound(spectrum, d=1024),
                    "expected": 1 / n - theory.expected_spectrum(spectrum).min(),
                    "contracted": theory.expected_deficit_bound(spectrum),
                }
            )
    data = pd.DataFrame(rows)
    return Evidence(
        parts=(
            exact("means above the sharp bound", (data["mean"] - 4 * data.error > data.sharp).sum(), most=0),
            exact("sharp bounds above the paper's", (data.sharp > data.loose + 1e-12).sum(), most=0),
            exact("expectations above the contraction", (data.expected > data.contracted + 1e-12).sum(), most=0),
        ),
        data=data,
    )


@claim(
    "B8",
    "Lemma 4: the gap is at most 2n times the deficit; sharp is sqrt(n(n-1)) times it.",
    where="lemma 4",
    rule="3000 spectra: no violation of the sharp form by 1e-12, which is reached where all but the largest "
    "eigenvalue agree.",
    seconds=1,
)
def b8(seed: int) -> Evidence:
    rng, rows = np.random.default_rng(seed), []
    for n in (2, 3, 5, 10, 20):
        for spectrum in spectra(n, 600, rng):
            deficit = theory.smallest_deficit(spectrum)
            gap = theory.spectrum_orthogonality_gap(spectrum)
            rows.append({"n": n, "ratio": gap / theory.orthogonality_gap_from_deficit(deficit, n=n)})
    reached = []
    for n in (2, 5, 20):
        spectrum = np.full(n, 1.0)
        spectrum[0] = 3.0
        deficit = theory.smallest_deficit(spectrum)
        reached.append(
            theory.spectrum_orthogonality_gap(spectrum) / theory.orthogonality_gap_from_deficit(deficit, n=n)
        )
    data = pd.DataFrame(rows)
    return Evidence(
        parts=(
            exact("largest gap over the sharp bound", data.ratio.max(), most=1 + 1e-12),
            exact("where it is reached", min(reached), least=1 - 1e-9),
        ),
        data=data,
    )


@claim(
    "B9",
    "Lemmas 6 and 7: the next Gram matrix and its smallest eigenvalue lie within 1/sqrt d of their expectations.",
    where="lemmas 6 and 7",
    rule="Three spectra of n = 4 at d = 32, 20,000 draws: mean squared distances over 1/d at most 1, and that of "
    "lemma 6 within 5 % of the exact (1 - sum p^2)/d. 99 % intervals.",
    seconds=1,
)
def b9(seed: int) -> Evidence:
    d, parts, rows = 32, [], []
    for i, spectrum in enumerate(np.array([[0.25] * 4, [0.4, 0.3, 0.2, 0.1], [0.7, 0.2, 0.07, 0.03]])):
        found = grams(spectrum, d=d, draws=20_000, seed=seed + i)
        p = theory.expected_spectrum(spectrum)
        distances = np.sum((found - np.diag(p)) ** 2, axis=(1, 2)) * d
        deficits = (np.linalg.eigvalsh(found)[:, 0] - p.min()) ** 2 * d
        exactly = theory.sampling_noise(spectrum, d=d) * d
        parts += [
            mean(f"lemma 6 times d, spectrum {i}", distances, most=1.0),
            mean(f"lemma 6 over the exact value, spectrum {i}", distances / exactly, least=0.95, most=1.05),
            mean(f"lemma 7 times d, spectrum {i}", deficits, most=1.0),
        ]
        rows += [{"spectrum": i, "distance": a, "deficit": b} for a, b in zip(distances, deficits, strict=True)]
    return Evidence(parts=tuple(parts), data=pd.DataFrame(rows))


@claim(
    "B10",
    "The eigenvalues of the expected Gram matrix are one-dimensional integrals.",
    where="lemma 9 and eq. 15",
    rule="Six spectra, 400,000 Gaussian vectors: every share within four standard errors of the integral; the "
    "integrals sum to 1 to 1e-8.",
    seconds=3,
    deviations="Eq. 15 prints the product over j != n with exponent +1/2; it is over all j with -1/2.",
)
def b10(seed: int) -> Evidence:
    rng, rows = np.random.default_rng(seed), []
    for n in (2, 5, 12):
        for spectrum in spectra(n, 2, rng):
            w = rng.standard_normal((400_000, n)) ** 2 * spectrum
            shares = w / w.sum(1, keepdims=True)
            p = theory.expected_spectrum(spectrum)
            errors = shares.std(0) / math.sqrt(len(w))
            rows += [
                {"n": n, "score": abs(s - q) / e, "sum": p.sum()}
                for s, q, e in zip(shares.mean(0), p, errors, strict=True)
            ]
    data = pd.DataFrame(rows)
    return Evidence(
        parts=(
            exact("largest deviation in standard errors", data.score.max(), most=4.0),
            exact("largest |sum - 1|", np.abs(data["sum"].to_numpy() - 1).max(), most=1e-8),
        ),
        data=data,
    )


@claim(
    "B11",
    "Lemma 8: the expected deficit contracts; with 2n/(n+2) for 2/3 it still does.",
    where="lemma 8",
    rule="1500 spectra by quadrature: no violation of the sharper form by 1e-12, and the sharper form is below the "
    "paper's.",
    seconds=8,
)
def b11(seed: int) -> Evidence:
    rng, rows = np.random.default_rng(seed), []
    for n in (2, 3, 6, 12, 24):
        for spectrum in spectra(n, 300, rng):
            expected = 1 / n - theory.expected_spectrum(spectrum).min()
            sharp, loose = (theory.expected_deficit_bound(spectrum, form=form) for form in ("sharp", "loose"))
            rows.append({"n": n, "excess": expected - sharp, "sharper": loose - sharp})
    data = pd.DataFrame(rows)
    return Evidence(
        parts=(
            exact("largest excess over the sharper bound", data.excess.max(), most=1e-12),
            exact("least gain over the paper's bound", data.sharper.min(), least=-1e-12),
        ),
        data=data,
    )
