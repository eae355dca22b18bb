"""Chains have the law of dense networks: signal, gradient, and both together at several layers.

Sample sizes and the rate of false alarms are fixed before anything is drawn.
"""

import math

import pytest
import torch
from scipy import stats
from torch import Tensor

from leadline.metrics import isometry_gap
from leadline.simulate import Chain, LazyGaussian, LazyHaar, LazyMatrix, propagate
from leadline.simulate.propagate import _Run

FALSE_ALARM = 1e-6
DRAWS = 20_000

CASES = {
    "Haar weights and batch normalisation": (Chain(width=12, depth=6), 4),
    "Gaussian weights": (Chain(width=12, depth=6, weights="gaussian"), 4),
    "ReLU behind batch normalisation": (Chain(width=12, depth=6, activation="relu", centred=True), 4),
    "as many samples as features": (Chain(width=8, depth=8, activation="tanh", centred=True, gain_exponent=0.4), 8),
    "more samples than features": (Chain(width=6, depth=6, weights="gaussian", norm="layer", activation="sin"), 9),
    "skips": (Chain(width=8, depth=6, weights="gaussian", skip=0.5), 4),
    "fractional, activation first": (
        Chain(width=8, depth=6, alpha=0.5, activation="tanh", order="activation-linear-norm"), 3,
    ),
    "no normalisation": (Chain(width=8, depth=5, norm="none", gain=1.4, activation="relu"), 3),
}  # fmt: skip


def normalised(z: Tensor, chain: Chain) -> Tensor:
    """Samples are rows."""
    if chain.norm == "layer":
        return torch.nn.functional.layer_norm(z, z.shape[-1:], eps=0.0)
    if chain.norm == "none":
        return z
    if chain.centred:
        z = z - z.mean(-2, keepdim=True)
    root = z.pow(2).mean(-2, keepdim=True).sqrt()
    whole = z.pow(2).mean((-2, -1), keepdim=True).sqrt()
    return z / (root**chain.alpha * whole ** (1 - chain.alpha))


def through(chain: Chain, weights: list[Tensor], x: Tensor) -> list[Tensor]:
    """The states of dense networks; what ``Chain`` says, written the plain way."""
    phi = {"identity": lambda z: z, "relu": torch.relu, "tanh": torch.tanh, "sin": torch.sin}[chain.activation]
    states = [x]
    for layer, w in enumerate(weights, start=1):
        x, gain = states[-1], layer**-chain.gain_exponent
        first = chain.order == "activation-linear-norm"
        z = (phi(gain * x) if first else x) @ w.mT
        z = z if chain.skip is None else x + chain.skip * z
        z = normalised(z, chain)
        states.append(z if first else phi(gain * z))
    return states


def dense_weights(chain: Chain, draws: int, generator: torch.Generator) -> list[Tensor]:
    drawn = []
    for _ in range(chain.depth):
        g = torch.randn(draws, chain.width, chain.width, generator=generator, dtype=torch.float64)
        q, r = torch.linalg.qr(g)
        orthogonal = q * r.diagonal(dim1=-2, dim2=-1).sign()[:, None]
        drawn.append(chain.gain * (orthogonal if chain.weights == "haar" else g / math.sqrt(chain.width)))
    return drawn


def dense(chain: Chain, x: Tensor, draws: int, generator: torch.Generator) -> dict[str, Tensor]:
    """Log-norms of the gradients of states and weights, and gaps, by autograd."""
    weights = [w.requires_grad_() for w in dense_weights(chain, draws, generator)]
    states = through(chain, weights, x.expand(draws, -1, -1).clone().requires_grad_())
    cotangent = torch.randn(states[-1].shape, generator=generator, dtype=torch.float64)
    cotangent /= torch.linalg.vector_norm(cotangent, dim=(-2, -1), keepdim=True)
    grads = torch.autograd.grad((cotangent * states[-1]).sum(), [*states[:-1], *weights])
    norms = [torch.linalg.vector_norm(g, dim=(-2, -1)).log() for g in grads]
    inner = (states[0] * grads[0]).sum((-2, -1)) / torch.linalg.vector_norm(grads[0], dim=(-2, -1)) / x.norm()
    found = {"log_grad_norm": norms[: chain.depth], "log_weight_grad_norm": norms[chain.depth :]}
    return statistics(
        rms=torch.stack([s.detach().square().mean((-2, -1)).sqrt() for s in states], 1),
        gaps=torch.stack([isometry_gap(s.detach()) for s in states], 1),
        cosine=inner.detach(),
        **{name: torch.stack(values, 1) for name, values in found.items()},
    )


def statistics(
    *, rms: Tensor, gaps: Tensor, cosine: Tensor, log_grad_norm: Tensor, log_weight_grad_norm: Tensor
) -> dict[str, Tensor]:
    """Of single layers, and of several at once."""
    middle = gaps.shape[1] // 2
    # Rank is lost where units die, so that some gaps are infinite: about the median, and within bounds.
    whole = (gaps[:, 1:] - gaps[:, 1:].median(0).values).clamp(-50, 50)
    grads = (log_grad_norm[:, :-1] - log_grad_norm[:, :-1].median(0).values).clamp(-50, 50)
    return {
        "gap in the middle": gaps[:, middle],
        "gap at the end": gaps[:, -1],
        "size at the end": rms[:, -1],
        "gaps of two layers": whole[:, middle - 1] * whole[:, -1],
        "gradient at the input": log_grad_norm[:, 0],
        "gradient in the middle": log_grad_norm[:, middle],
        "first weight gradient": log_weight_grad_norm[:, 0],
        "last weight gradient": log_weight_grad_norm[:, -1],
        "gradients of two layers": grads[:, 0] * grads[:, middle],
        "signal and gradient": whole[:, middle - 1] * grads[:, 0],
        "both ends": whole[:, -1] * grads[:, 0],
        "cosine of input and gradient": cosine,
    }


def simulated(chain: Chain, x: Tensor, draws: int, seed: int) -> dict[str, Tensor]:
    found = propagate(chain, x, draws=draws, seed=seed, metrics=("rms", "isometry_gap"))
    array = {name: torch.from_numpy(found.array(name)) for name in found.values}
    return statistics(
        rms=array["rms"],
        gaps=array["isometry_gap"],
        cosine=array["grad_cosine"][:, 0],
        log_grad_norm=array["log_grad_norm"][:, :-1],
        log_weight_grad_norm=array["log_weight_grad_norm"],
    )


def differing(one: dict[str, Tensor], other: dict[str, Tensor]) -> set[str]:
    """Two-sample Kolmogorov-Smirnov, at the rate of false alarms for all together; constants differ by rounding."""
    level = FALSE_ALARM / len(one)
    rounded = {
        name: [v[name].nan_to_num(0.0, posinf=1e9, neginf=-1e9).numpy().round(9) for v in (one, other)] for name in one
    }
    return {name for name, (a, b) in rounded.items() if stats.ks_2samp(a, b, method="asymp").pvalue < level}


def batch(chain: Chain, n: int) -> Tensor:
    return torch.randn(n, chain.width, generator=torch.Generator().manual_seed(7), dtype=torch.float64)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_chains_have_the_law_of_dense_networks(name: str, generator: torch.Generator) -> None:
    chain, n = CASES[name]
    x = batch(chain, n)
    assert differing(simulated(chain, x, DRAWS, 1), dense(chain, x, DRAWS, generator)) == set()


@pytest.mark.slow
@pytest.mark.parametrize("weights", ["haar", "gaussian"])
def test_deep_chains_have_the_law_of_dense_networks(weights: str, generator: torch.Generator) -> None:
    chain = Chain(width=64, depth=30, weights=weights, activation="relu", centred=True)
    x = batch(chain, 8)
    assert differing(simulated(chain, x, 500, 2), dense(chain, x, 500, generator)) == set()


class IndependentBackward(LazyHaar):
    """Wrong: the gradient meets other weights than the signal."""

    def rmatmul(self, y: Tensor) -> Tensor:
        return LazyHaar(self.d_in, draws=self.draws, generator=self.generator).rmatmul(y)


class MissingProjection(LazyGaussian):
    """Wrong: what the signal has revealed of the weights stays in the fresh part."""

    def rmatmul(self, y: Tensor) -> Tensor:
        known = self._revealed[0]
        fresh = torch.randn(*self.draws, y.shape[-1], self.d_in, generator=self.generator, dtype=y.dtype)
        lower = torch.linalg.cholesky(y.mT @ y)
        return known.directions.mT @ (known.images @ y) + (fresh.mT / math.sqrt(self.d_in)) @ lower.mT


@pytest.mark.parametrize(("wrong", "weights"), [(IndependentBackward, "haar"), (MissingProjection, "gaussian")])
def test_wrong_samplers_are_told_by_the_gradient_along_the_input(
    wrong: type[LazyMatrix], weights: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Networks behind batch normalisation do not feel the scale of their input: the product with the gradient is 0."""
    chain = Chain(width=12, depth=6, weights=weights)
    x = batch(chain, 4)
    right = simulated(chain, x, 100, 3)["cosine of input and gradient"]
    assert right.abs().max() < 1e-13

    def matrix(run: _Run, number: int) -> LazyMatrix:
        width = (12,) if wrong is IndependentBackward else (12, 12)
        return wrong(*width, draws=(run.draws,), generator=run._generator(number))

    monkeypatch.setattr(_Run, "_matrix", matrix)
    assert simulated(chain, x, 100, 3)["cosine of input and gradient"].abs().mean() > 0.05
